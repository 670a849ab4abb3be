"""Images with labels, and a data set as its three splits."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nas.errors import DataError
from nas.network.architecture import Architecture
from nas.network.lower import lower
from nas.network.ops import Shape
from nas.training.data.config import DataConfig

Indices = NDArray[np.int64]


class Images(Protocol):
    """Images of one size and their labels."""

    @property
    def labels(self) -> Tensor:
        """int64 of shape `(n,)`."""

    def read(self, indices: Tensor) -> Tensor:
        """Return those images as uint8 of shape `(len(indices), channels, height, width)`."""


@dataclass(frozen=True, eq=False)
class MemoryImages:
    """Images held in memory."""

    pixels: Tensor
    """uint8 of shape `(n, channels, height, width)`."""
    labels: Tensor

    def read(self, indices: Tensor) -> Tensor:
        """Return those images as uint8 of shape `(len(indices), channels, height, width)`."""
        return self.pixels[indices]

    def take(self, indices: Indices) -> MemoryImages:
        """Return some of the images."""
        chosen = torch.from_numpy(indices)
        return MemoryImages(self.pixels[chosen], self.labels[chosen])


@dataclass(frozen=True, eq=False)
class SomeImages:
    """A part of other images."""

    images: Images
    indices: Tensor
    """int64; which of them."""

    @property
    def labels(self) -> Tensor:
        """Classes of the images, int64 of shape `(n,)`."""
        return self.images.labels[self.indices]

    def read(self, indices: Tensor) -> Tensor:
        """Return those images as uint8 of shape `(len(indices), channels, height, width)`."""
        return self.images.read(self.indices[indices])


def some_of(images: Images, fraction: float) -> Images:
    """Return a random part of images; a smaller one is part of a larger one, always the same."""
    if fraction >= 1:
        return images
    order = torch.randperm(len(images.labels), generator=torch.Generator().manual_seed(0))
    return SomeImages(images, order[: max(2, round(fraction * len(order)))])


@dataclass(frozen=True, eq=False)
class ImageData:
    """A data set: three splits that share no image, and the statistics of the training split."""

    name: str
    classes: tuple[str, ...]
    input_shape: Shape
    """`(channels, height, width)`."""
    train: Images
    val: Images
    """What a search scores on."""
    test: Images
    """Never seen by a search."""
    mean: tuple[float, ...]
    """Of the training split, a channel, in units of full white = 1."""
    std: tuple[float, ...]
    fingerprint: str
    """Hash of the labels of the three splits in order: equal where the splits are equal."""

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    def check_fits(self, architecture: Architecture) -> None:
        """Raise `DataError` where an architecture takes other channels, or gives something else than the classes.

        An image of another size is resized.
        """
        channels, gives = architecture.input_shape[0], lower(architecture).out_shapes
        if (channels, gives) != (self.input_shape[0], ((self.num_classes,),)):
            raise DataError(
                f"data {self.name} has {self.input_shape[0]} channels and one of {self.num_classes} classes an image, "
                f"but the architecture takes {channels} channels and gives {gives}"
            )

    def record(self) -> dict[str, Any]:
        """Return what a study records about its data."""
        return {
            "name": self.name,
            "input_shape": list(self.input_shape),
            "num_classes": self.num_classes,
            "train_images": len(self.train.labels),
            "val_images": len(self.val.labels),
            "test_images": len(self.test.labels),
            "mean": list(self.mean),
            "std": list(self.std),
            "split_fingerprint": self.fingerprint,
        }


def image_data(
    config: DataConfig, classes: tuple[str, ...], input_shape: Shape, *, train: Images, val: Images, test: Images
) -> ImageData:
    """Put a data set together: as much of the training split as the config says, its mean and standard deviation.

    Raises:
        DataError: an empty split, or a class without training images.
    """
    name, train = config.name, some_of(train, config.train_fraction)
    for split_name, split in (("training", train), ("validation", val), ("test", test)):
        if len(split.labels) == 0:
            raise DataError(f"data {name}: the {split_name} split has no images")
    missing = sorted(set(range(len(classes))) - set(train.labels.tolist()))
    if missing:
        names = ", ".join(classes[i] for i in missing[:5])
        raise DataError(f"data {name}: {len(missing)} classes have no training images: {names}")
    digest = hashlib.sha256()
    for split in (train, val, test):
        digest.update(len(split.labels).to_bytes(8, "little") + split.labels.numpy().tobytes())
        # Labels alone would not tell two splits of balanced classes apart; some pixels do.
        probe = torch.linspace(0, len(split.labels) - 1, steps=min(32, len(split.labels))).long()
        digest.update(split.read(probe).contiguous().numpy().tobytes())
    mean, std = _statistics(train)
    return ImageData(name, classes, input_shape, train, val, test, mean, std, digest.hexdigest()[:16])


def _statistics(images: Images, sample: int = 10_000) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation a channel, over at most `sample` images spread over the split."""
    count = len(images.labels)
    indices = torch.linspace(0, count - 1, steps=min(count, sample)).long()
    total = squares = torch.zeros(1, dtype=torch.float64)
    pixels = 0
    for part in torch.split(indices, 256):
        values = images.read(part).double().div_(255)
        total = total + values.sum(dim=(0, 2, 3))
        squares = squares + values.square().sum(dim=(0, 2, 3))
        pixels += values.shape[0] * values.shape[2] * values.shape[3]
    mean = total / pixels
    # A channel without contrast would divide by zero; one grey level (1/255) is then the unit.
    std = (squares / pixels - mean.square()).clamp_min(0).sqrt().clamp_min(1 / 255)
    return tuple(mean.tolist()), tuple(std.tolist())


def split_indices(labels: Indices, fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Split indices into `(rest, held out)` by seed, with `fraction` of every class held out (at least one image
    of each class that has two), both in random order.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    held_out = []
    for label in np.unique(labels):
        members = order[labels[order] == label]
        count = min(max(1, round(fraction * len(members))), len(members) - 1)
        held_out.append(members[:count])
    out = rng.permutation(np.concatenate(held_out))
    rest = order[~np.isin(order, out)]
    return rest, out


def split_memory(classes: tuple[str, ...], images: MemoryImages, config: DataConfig) -> ImageData:
    """Split one set of images in memory into training, validation and test, as the config says."""
    labels = images.labels.numpy()
    rest, test_part = split_indices(labels, config.test_fraction, config.split_seed)
    kept, val_part = split_indices(labels[rest], config.val_fraction, config.split_seed + 1)
    shape = tuple(images.pixels.shape[1:])
    return image_data(
        config,
        classes,
        shape,
        train=images.take(rest[kept]),
        val=images.take(rest[val_part]),
        test=images.take(test_part),
    )
