"""Training recipes by size: rules for the settings that change with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log2

from nas.errors import ConfigError
from nas.training.recipe import Recipe

_MOST_DROPOUT = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class BySize:
    """Settings that change with the size s of a network, s times the base's multiply-adds. 0 changes nothing."""

    lr: float = 0.0
    """The learning rate is the recipe's times s to this power."""
    weight_decay: float = 0.0
    """The weight decay is the recipe's times s to this power."""
    epochs: float = 0.0
    """The epochs are the recipe's times s to this power, rounded."""
    dropout: float = 0.0
    """Added to the head's rate at each doubling of s, up to 0.5; EfficientNet adds 0.3 over 6.6 doublings."""
    drop_path: float = 0.0
    """Added to the rate of the last block at each doubling of s, up to 0.5; the rates before it rise evenly."""

    def __post_init__(self) -> None:
        for name in ("lr", "weight_decay", "epochs"):
            if not -2 <= getattr(self, name) <= 2:
                raise ConfigError(f"by_size.{name} is a power, from -2 to 2, but got {getattr(self, name)}")
        for name in ("dropout", "drop_path"):
            if not 0 <= getattr(self, name) <= _MOST_DROPOUT:
                raise ConfigError(f"by_size.{name} must be from 0 to {_MOST_DROPOUT}, but got {getattr(self, name)}")

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
