"""Which data set, and how it is split and augmented. Never loads torch."""

from __future__ import annotations

from dataclasses import dataclass

from nas.errors import ConfigError, nearest
from nas.settings import Range, check_ranges

DATA_SETS = ("digits", "fashion_mnist", "image_folder", "synthetic")
AUGMENTATIONS = ("none", "shift", "shift_flip")


SYNTHETIC_RESOLUTION = 16
_RANGES = {
    "val_fraction": Range(0, 1, above=True, below=True),
    "test_fraction": Range(0, 1, above=True, below=True),
    "train_fraction": Range(0, 1, above=True),
    # The validation split is drawn with the next seed.
    "split_seed": Range(0, 2**32 - 2, whole=True),
    "num_classes": Range(2, 2**20, whole=True),
    "samples": Range(10, 10_000_000, whole=True),
    "memory_mib": Range(0, 2**24, whole=True),
    "resolution": Range(1, 16_384, whole=True),
}
_SHAPES = {"digits": ((1, 8, 8), 10), "fashion_mnist": ((1, 28, 28), 10)}


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """Settings of a data set. What a data set does not use is ignored by it."""

    name: str = "digits"
    """One of `DATA_SETS`."""
    root: str | None = None
    """Folder with the files, for `fashion_mnist` and `image_folder`."""
    split_seed: int = 0
    """Seed of the split; kept apart from the search's seed, so that studies share their test split."""
    val_fraction: float = 0.2
    """Share of the training images held out for validation, where the data set has no validation split."""
    test_fraction: float = 0.2
    """Share of all images held out for the test, where the data set has no test split."""
    train_fraction: float = 1.0
    """Share of the training split that is trained on, drawn at random and always the same; validation and test splits
    stay whole."""
    augment: str = "none"
    """One of `AUGMENTATIONS`: random shifts by up to an eighth of the size, and mirror images."""
    resolution: int | None = None
    """Size to which `image_folder` brings its images, and the size of `synthetic` ones; null keeps the images'."""
    channels: int = 3
    """1 for grey or 3 for colour, for `image_folder` and `synthetic`."""
    num_classes: int = 10
    """For `synthetic`."""
    samples: int = 1000
    """Number of images of `synthetic`."""
    memory_mib: int = 4096
    """An image folder up to this size is kept in memory; a larger one is read from disk batch by batch."""

    def known_shape(self) -> tuple[tuple[int, ...], int] | None:
        """Return shape and number of classes where they are known without reading the data, else None."""
        if self.name == "synthetic":
            size = self.resolution or SYNTHETIC_RESOLUTION
            return (self.channels, size, size), self.num_classes
        return _SHAPES.get(self.name)

    def __post_init__(self) -> None:
        if self.name not in DATA_SETS:
            raise ConfigError(f"data.name: unknown data set {self.name!r}. {nearest(self.name, DATA_SETS)}")
        if self.augment not in AUGMENTATIONS:
            raise ConfigError(f"data.augment: unknown {self.augment!r}. {nearest(self.augment, AUGMENTATIONS)}")
        check_ranges(self, "data", _RANGES)
        if self.name != "fashion_mnist" and self.val_fraction + self.test_fraction >= 1:
            raise ConfigError(
                f"data: `val_fraction + test_fraction < 1` must hold, so that something is left to train on, but got "
                f"{self.val_fraction:g} + {self.test_fraction:g}"
            )
        if self.channels not in (1, 3):
            raise ConfigError(f"data.channels must be 1 or 3, but got {self.channels}")
        if self.resolution is not None and self.name in ("digits", "fashion_mnist"):
            raise ConfigError(
                f"data.resolution is of image_folder and synthetic; {self.name} keeps its size, "
                f"but got {self.resolution}"
            )
