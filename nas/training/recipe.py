"""How a network is trained. Never loads torch."""

from __future__ import annotations

from dataclasses import dataclass

from nas.settings import Range, check_settings, setting

OPTIMIZERS = ("adamw", "sgd")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")

SCORES = ("val_accuracy", "val_loss", "val_balanced_accuracy", "val_macro_f1", "val_top5")
"""What training gives, of the last epoch (`nas.training.scores`)."""

_SHARE = Range(0, 1, below=True)
_HALF = Range(0, 0.5)
_ALPHA = Range(0, 100)


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
    shift: float = setting(
        0.0,
        "move each image by up to this share of its size, the edge filling the gap; 0: as data.augment says",
        _HALF,
        before=0.0,
    )
    flip: bool = setting(
        False, "mirror half of the images, where the data set says that a mirror image shows the same", before=False
    )
    erase: float = setting(
        0.0,
        "share of the images that lose a random rectangle; Zhong et al. 2020, Random erasing",
        Range(0, 1),
        before=0.0,
    )
    mixup: float = setting(
        0.0,
        "alpha of its beta distribution, 0: none; Zhang et al. 2018, mixup: beyond empirical risk",
        _ALPHA,
        before=0.0,
    )
    cutmix: float = setting(
        0.0, "the same of Yun et al. 2019, CutMix; with both, each image is mixed by one of the two", _ALPHA, before=0.0
    )
    drop_path: float = setting(
        0.0,
        "rate of the last residual block, those before rise evenly; Huang et al. 2016, Stochastic depth",
        _SHARE,
        before=0.0,
    )
    ema: float = setting(
        0.0,
        "decay a step of a moving average of the weights, which is what is scored and kept; 0: none",
        _SHARE,
        before=0.0,
    )
    gradient_clip: float | None = setting(
        5.0, "largest norm of the gradient; null does not clip", Range(0, 1e9, above=True)
    )
    zero_init_last: bool = setting(False, "start residual branches at zero")
    precision: str = setting("32-true", ", ".join(PRECISIONS), PRECISIONS)

    def __post_init__(self) -> None:
        check_settings(self, "train")
