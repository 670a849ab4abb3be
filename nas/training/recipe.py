"""How a network is trained. Never loads torch."""

from __future__ import annotations

from dataclasses import dataclass

from nas.settings import Range, check_settings, setting

OPTIMIZERS = ("adamw", "sgd")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")

SCORES = ("val_accuracy", "val_loss")
"""What training gives, of the last epoch."""

_SHARE = Range(0, 1, below=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """Settings of one training run.

    Ranges end far above what any network is trained with, so that a typing slip is found before it fills a memory or
    diverges.
    """

    epochs: int = setting(12, "walks over the training split", Range(1, 100_000, whole=True))
    batch_size: int = setting(64, "images a step", Range(2, 65_536, whole=True))
    optimizer: str = setting("adamw", f"{' or '.join(OPTIMIZERS)}; sgd is with Nesterov momentum", OPTIMIZERS)
    lr: float = setting(
        3e-3, "highest learning rate, reached at the end of the warm-up, then a cosine to 0", Range(0, 100, above=True)
    )
    weight_decay: float = setting(
        0.02, "on weights of convolution and linear layers; not on biases and normalisation", Range(0, 100)
    )
    momentum: float = setting(0.9, "of sgd", _SHARE)
    warmup_fraction: float = setting(0.1, "share of all steps in which the learning rate rises from 0", _SHARE)
    label_smoothing: float = setting(0.0, "Szegedy et al. 2016, Rethinking the Inception architecture, 7", _SHARE)
    gradient_clip: float | None = setting(
        5.0, "largest norm of the gradient; null does not clip", Range(0, 1e9, above=True)
    )
    zero_init_last: bool = setting(False, "start residual branches at zero")
    precision: str = setting("32-true", ", ".join(PRECISIONS), PRECISIONS)

    def __post_init__(self) -> None:
        check_settings(self, "train")
