"""How a network is trained. Never loads torch."""

from __future__ import annotations

from dataclasses import dataclass

from nas.errors import ConfigError, nearest

OPTIMIZERS = ("adamw", "sgd")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")


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
        for name, low in (("epochs", 1), ("batch_size", 2), ("weight_decay", 0)):
            if not getattr(self, name) >= low:
                raise ConfigError(f"train.{name} must be >= {low}, but got {getattr(self, name)}")
        if not 0 < self.lr < float("inf"):
            raise ConfigError(f"train.lr must be > 0, but got {self.lr}")
        for name in ("momentum", "warmup_fraction", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"train.{name}: `0 <= {name} < 1` must hold, but got {getattr(self, name)}")
        if self.gradient_clip is not None and not self.gradient_clip > 0:
            raise ConfigError(f"train.gradient_clip must be > 0 or null, but got {self.gradient_clip}")
