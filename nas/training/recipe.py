"""How a network is trained. Never loads torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nas.errors import ConfigError
from nas.own_code import referred
from nas.settings import Range, check_settings, setting

OPTIMIZERS = ("adamw", "sgd", "rmsprop")
SCHEDULES = ("cosine", "one_cycle", "triangle", "exponential")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")

HIGHEST_MAGNITUDE = 30
"""Of the operations of RandAugment and TrivialAugment."""

_SHARE = Range(0, 1, below=True)
_HALF = Range(0, 0.5)
_ALPHA = Range(0, 100)


def training_copies(optimizer: str) -> int:
    """Return the numbers kept for each parameter: itself, its gradient, and the one or two that are remembered."""
    return 3 if optimizer == "sgd" else 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """Settings of one training run.

    Ranges end far above what any network is trained with, so that a typing slip is found before it fills a memory or
    diverges.
    """

    epochs: int = setting(12, "walks over the training split", Range(1, 100_000, whole=True))
    batch_size: int = setting(64, "images a step", Range(2, 65_536, whole=True))
    accumulate: int = setting(
        1,
        "batches whose gradients are added up before a step, which is then one of batch_size times as many images; "
        "statistics of batch normalisation stay those of a batch",
        Range(1, 10_000, whole=True),
        before=1,
    )
    optimizer: str = setting(
        "adamw", f"{', '.join(OPTIMIZERS)}; rmsprop is TensorFlow's, as EfficientNet was trained with", OPTIMIZERS
    )
    lr: float = setting(
        3e-3,
        "highest learning rate, reached at the end of the warm-up; then as schedule says",
        Range(0, 100, above=True),
    )
    schedule: str = setting(
        "cosine",
        "cosine: a straight warm-up, then half a cosine to 0; one_cycle: from lr_start up to lr and down to lr_end by "
        "half cosines, Smith & Topin 2019, Super-convergence; triangle: the same in straight lines; exponential: a "
        "straight warm-up, then times lr_decay every lr_decay_epochs",
        SCHEDULES,
        before="cosine",
    )
    lr_start: float = setting(
        0.04, "of one_cycle and triangle: share of lr at the first step", Range(0, 1, above=True), before=0.04
    )
    lr_end: float = setting(4e-6, "of one_cycle and triangle: share of lr at the last step", Range(0, 1), before=4e-6)
    lr_decay: float = setting(
        0.97, "of exponential: factor of the learning rate, at once", Range(0, 1, above=True), before=0.97
    )
    lr_decay_epochs: float = setting(
        2.4, "of exponential: epochs between two decays, also parts of one", Range(0, 100_000, above=True), before=2.4
    )
    weight_decay: float = setting(
        0.02,
        "on weights of convolution and linear layers; not on biases, normalisation, position embeddings and class "
        "tokens",
        Range(0, 100),
    )
    momentum: float = setting(0.9, "of sgd and rmsprop", _SHARE)
    nesterov: bool = setting(True, "of sgd: Nesterov's momentum, not the plain one", before=True)
    rmsprop_decay: float = setting(0.9, "of rmsprop: decay of the mean of squared gradients", _SHARE, before=0.9)
    rmsprop_eps: float = setting(
        1e-3, "of rmsprop: added to that mean, under the root", Range(0, 1, above=True), before=1e-3
    )
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
    flip_vertical: bool = setting(
        False,
        "mirror half of the images top to bottom, whatever the data set says: for pictures from above",
        before=False,
    )
    crop_scale: float = setting(
        1.0,
        "least share of the area of a random crop, which is resized to the whole; 1: none; Szegedy et al. 2015, Going "
        "deeper with convolutions, 6, has 0.08",
        Range(0, 1, above=True),
        before=1.0,
    )
    crop_ratio: float = setting(
        0.75, "least width over height of a crop, and the most is 1 over it", Range(0, 1, above=True), before=0.75
    )
    rotation: float = setting(
        0.0,
        "turn each image by up to this many degrees, either way, the edge filling the gap",
        Range(0, 180),
        before=0.0,
    )
    brightness: float = setting(0.0, "multiply values by 1 and up to this share more or less", Range(0, 1), before=0.0)
    contrast: float = setting(
        0.0, "the same of the difference from the mean grey of the image", Range(0, 1), before=0.0
    )
    saturation: float = setting(
        0.0,
        "the same of the difference from the grey of the pixel, of images of 3 channels",
        Range(0, 1),
        before=0.0,
    )
    hue: float = setting(
        0.0, "turn the hue by up to this share of the colour circle, of images of 3 channels", _HALF, before=0.0
    )
    rand_augment: int = setting(
        0,
        "operations an image, drawn from 14, 0: none; Cubuk et al. 2020, RandAugment, has 2 for ImageNet",
        Range(0, 14, whole=True),
        before=0,
    )
    rand_augment_magnitude: int = setting(
        9,
        f"how far those operations go that have a strength, of {HIGHEST_MAGNITUDE}",
        Range(0, HIGHEST_MAGNITUDE, whole=True),
        before=9,
    )
    trivial_augment: bool = setting(
        False,
        "one of those operations an image, of a magnitude that is drawn, too; Mueller & Hutter 2021, TrivialAugment",
        before=False,
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
    progressive_stages: int = setting(
        1,
        "stages in which resolution and regularisation grow to what they are, evenly, 1: none; Tan & Le 2021, "
        "EfficientNetV2, has 4. Validation is at the whole resolution",
        Range(1, 1000, whole=True),
        before=1,
    )
    progressive_resolution: float = setting(
        0.5, "share of the height and width of images in the first stage", Range(0, 1, above=True), before=0.5
    )
    progressive_regularisation: float = setting(
        0.33,
        "share of rand_augment_magnitude, mixup and the rates of dropout in the first stage",
        Range(0, 1),
        before=0.33,
    )
    patience: int = setting(
        0,
        "epochs without a better score on the validation split after which training ends; what is kept is then the "
        "best epoch, also where all were trained; 0: the last one, after all of them",
        Range(0, 100_000, whole=True),
        before=0,
    )
    teacher: str | None = setting(
        None,
        "run folder of a training, exported folder, or .onnx file of a network for the same classes that is learned "
        "from beside the labels; Hinton et al. 2015, Distilling the knowledge in a neural network",
        typed="path",
    )
    teacher_weight: float = setting(
        0.9,
        "share of the loss that the teacher's answers have; the rest is that of the labels",
        Range(0, 1),
        before=0.9,
    )
    teacher_temperature: float = setting(
        2.0,
        "what the outputs of both are divided by before their softmax; its square multiplies the loss",
        Range(0, 1000, above=True),
        before=2.0,
    )
    loss: str | None = setting(
        None,
        "FILE.py:NAME, a function of yours of outputs and targets that training makes small in place of the loss of "
        "the task; validation and test keep that one",
        typed="code",
    )
    callbacks: Sequence[str] | None = setting(
        None,
        "[FILE.py:NAME, ...], classes of yours, or functions that make one, of Lightning callbacks, called in this "
        "order behind those of nas",
        typed="codes",
    )
    logger: str | None = setting(
        None,
        "FILE.py:NAME, a function or class of yours that makes the Lightning logger of a training, which is told the "
        "metrics of each epoch; it may take arch_id and seed",
        typed="code",
    )
    aux_weight: float = setting(
        0.3,
        "of the loss of each auxiliary classifier, where the network has some; Szegedy et al. 2015, Going deeper with "
        "convolutions, 5",
        Range(0, 100),
        before=0.3,
    )
    gradient_clip: float | None = setting(
        5.0, "largest norm of the gradient; null does not clip", Range(0, 1e9, above=True)
    )
    zero_init_last: bool = setting(False, "start residual branches at zero")
    memory_mib: float | None = setting(
        None,
        "MiB that training may take by prediction (training_memory_mib, in fp32): the cheapest blocks are computed "
        "again in the backward pass so that it does, Chen et al. 2016, Training deep nets with sublinear memory cost; "
        "a search trains no network that cannot be held to it; null: no limit",
        Range(0, 1e9, above=True),
    )
    precision: str = setting("32-true", ", ".join(PRECISIONS), PRECISIONS)
    deterministic: bool = setting(
        False,
        "use only algorithms that give the same numbers each time, which some are slower than and some operations of "
        "GPUs have none of; on a CPU numbers are the same without it",
        before=False,
    )

    def __post_init__(self) -> None:
        check_settings(self, "train")
        if self.rand_augment and self.trivial_augment:
            raise ConfigError(
                "train.rand_augment and train.trivial_augment are two policies of the same operations: set one of them"
            )

        if self.callbacks is not None:
            object.__setattr__(self, "callbacks", tuple(self.callbacks) or None)  # a recipe has a hash
        for where, text in self.own_code:
            referred(text, where)

    @property
    def own_code(self) -> tuple[tuple[str, str], ...]:
        """What it takes from files of the user's: the paths of settings, each with what it holds (`nas.own_code`)."""
        given = [("train.loss", self.loss), ("train.logger", self.logger)]
        given += [("train.callbacks", one) for one in self.callbacks or ()]
        return tuple((where, text) for where, text in given if text is not None)

    @property
    def training_copies(self) -> int:
        """Numbers kept for each parameter, as `training_copies` counts them."""
        return training_copies(self.optimizer)

    @property
    def changes_pixels(self) -> bool:
        """Whether pixels are changed in training beside shifts and mirror images."""
        places = self.flip_vertical or self.crop_scale < 1 or self.rotation > 0
        colours = max(self.brightness, self.contrast, self.saturation, self.hue) > 0
        return places or colours or self.rand_augment > 0 or self.trivial_augment
