"""How a network is trained. Never loads torch."""

from __future__ import annotations

from dataclasses import dataclass

from nas.errors import ConfigError, nearest
from nas.settings import Range, check_ranges

OPTIMIZERS = ("adamw", "sgd")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")

_SHARE = Range(0, 1, below=True)
# Far above what any network is trained with, so that a typing slip is found before it fills a memory or diverges.
_RANGES = {
    "epochs": Range(1, 100_000, whole=True),
    "batch_size": Range(2, 65_536, whole=True),
    "lr": Range(0, 100, above=True),
    "weight_decay": Range(0, 100),
    "momentum": _SHARE,
    "warmup_fraction": _SHARE,
    "label_smoothing": _SHARE,
    "gradient_clip": Range(0, 1e9, above=True),
}


SCORES = ("val_accuracy", "val_loss")
"""What training gives, of the last epoch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """Settings of one training run."""

    epochs: int = 12
    """Walks over the training split."""
    batch_size: int = 64
    """Images a step."""
    optimizer: str = "adamw"
    """One of `OPTIMIZERS`; sgd is with Nesterov momentum."""
    lr: float = 3e-3
    """Highest learning rate, reached at the end of the warm-up, then lowered to 0 by a cosine."""
    weight_decay: float = 0.02
    """On weights of convolution and linear layers; not on biases and normalisation."""
    momentum: float = 0.9
    """For sgd."""
    warmup_fraction: float = 0.1
    """Share of all steps in which the learning rate rises from 0."""
    label_smoothing: float = 0.0
    """Szegedy et al. 2016, "Rethinking the Inception architecture", section 7."""
    gradient_clip: float | None = 5.0
    """Largest norm of the gradient; null does not clip."""
    zero_init_last: bool = False
    """Start residual branches at zero."""
    precision: str = "32-true"
    """One of `PRECISIONS`."""

    def __post_init__(self) -> None:
        for name, known in (("optimizer", OPTIMIZERS), ("precision", PRECISIONS)):
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"train.{name}: unknown {getattr(self, name)!r}. {nearest(getattr(self, name), known)}"
                )
        check_ranges(self, "train", _RANGES)
