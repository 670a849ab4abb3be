"""Training recipes by size: rules for the settings that change with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log2

from nas.settings import Range, check_settings, setting
from nas.training.recipe import Recipe

_MOST_DROPOUT = 0.5
_POWER, _RATE = Range(-2, 2), Range(0, _MOST_DROPOUT)


@dataclass(frozen=True, kw_only=True, slots=True)
class BySize:
    """Settings that change with the size s of a network, s times the base's multiply-adds. 0 changes nothing."""

    lr: float = setting(0.0, "the learning rate is the recipe's times s to this power", _POWER)
    weight_decay: float = setting(0.0, "so is the weight decay", _POWER)
    epochs: float = setting(0.0, "so are the epochs, rounded", _POWER)
    dropout: float = setting(
        0.0, "added to the head's rate at each doubling, up to 0.5; EfficientNet adds 0.3 over 6.6 doublings", _RATE
    )
    drop_path: float = setting(
        0.0, "added to the rate of the last block at each doubling, up to 0.5; those before rise evenly", _RATE
    )

    def __post_init__(self) -> None:
        check_settings(self, "by_size")

    def recipe(self, recipe: Recipe, size: float) -> Recipe:
        """Return the recipe for a network of `size` times the base's multiply-adds."""
        return replace(
            recipe,
            lr=recipe.lr * size**self.lr,
            weight_decay=recipe.weight_decay * size**self.weight_decay,
            epochs=max(1, round(recipe.epochs * size**self.epochs)),
        )

    def rate(self, name: str, base: float, size: float) -> float | None:
        """Return the rate of `dropout` or `drop_path` at a size; None where it does not change with the size."""
        more = float(getattr(self, name)) * log2(size)
        return None if more == 0 else min(max(base, _MOST_DROPOUT), max(0.0, base + more))
