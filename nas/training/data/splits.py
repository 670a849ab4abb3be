"""Images with labels, and a data set as a search has it: the training and the validation split.

Test images are in no object here that a search can get hold of: `nas.training.data.test_split` reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nas.errors import DataError, in_a_line
from nas.exporting.reading import READ_AS, Reading
from nas.exporting.series_files import SeriesReading
from nas.exporting.series_preprocess import SERIES
from nas.held_out import keeps_test_split
from nas.network.architecture import Architecture
from nas.network.lower import lower
from nas.network.ops import Shape
from nas.training.data.class_names import alike
from nas.training.data.config import DataConfig
from nas.training.data.content import TEST, TRAIN, VAL, first_part
from nas.training.data.folds import Fold, check_folds
from nas.training.data.pictures import reading_of
from nas.training.tasks.registry import DEFAULT
from nas.training.tasks.task import Scale, Task

Indices = NDArray[np.int64]
Statistics = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation a channel, in units of full white = 1."""


class Images(Protocol):
    """Images of one size and their labels, or series of one length.

    Of series, what is said to be uint8 of `(n, channels, height, width)` is float32 of `(n, channels, length)`.
    """

    @property
    def labels(self) -> Tensor:
        """What they are to be told as: of classification int64 of shape `(n,)`, see `Task`."""

    def read(self, indices: Tensor) -> Tensor:
        """Return those images as uint8 of shape `(len(indices), channels, height, width)`."""


@dataclass(frozen=True, eq=False)
class MemoryImages:
    """Images held in memory."""

    pixels: Tensor
    """uint8 of shape `(n, channels, height, width)`."""
    labels: Tensor
    files: tuple[Path, ...] = ()
    """That they were read from, one each; empty where they come from none of their own."""

    def read(self, indices: Tensor) -> Tensor:
        """Return those images as uint8 of shape `(len(indices), channels, height, width)`."""
        return self.pixels[indices]


@dataclass(frozen=True, eq=False)
class SomeImages:
    """A part of other images."""

    images: Images
    indices: Tensor
    """int64; which of them."""

    @property
    def labels(self) -> Tensor:
        """Those of the images, `(n, ...)`."""
        return self.images.labels[self.indices]

    def read(self, indices: Tensor) -> Tensor:
        """Return those images as uint8 of shape `(len(indices), channels, height, width)`."""
        return self.images.read(self.indices[indices])


@dataclass(frozen=True, eq=False)
class JoinedImages:
    """Images one behind another."""

    first: Images
    second: Images
    labels: Tensor
    """Of both."""

    @property
    def files(self) -> Sequence[Path]:
        """That they were read from, one each; empty where they come from none of their own."""
        parts = [getattr(images, "files", ()) for images in (self.first, self.second)]
        return [file for files in parts for file in files] if all(map(len, parts)) else ()

    def read(self, indices: Tensor) -> Tensor:
        """Return those images as uint8 of shape `(len(indices), channels, height, width)`."""
        count = len(self.first.labels)
        late = indices >= count
        if not late.any():
            return self.first.read(indices)
        if late.all():
            return self.second.read(indices - count)
        head, tail = self.first.read(indices[~late]), self.second.read(indices[late] - count)
        values = head.new_empty((len(indices), *head.shape[1:]))
        values[~late], values[late] = head, tail
        return values


def part_of(images: Images, indices: Tensor, *, keep: bool = True) -> Images:
    """Return some images: a copy of them in memory, so that the others can go, or read from where they are.

    Args:
        images: of which.
        indices: int64; which of them.
        keep: the copy in memory.
    """
    return MemoryImages(images.read(indices), images.labels[indices]) if keep else SomeImages(images, indices)


def some_of(images: Images, fraction: float) -> Images:
    """Return a random part of images; a smaller one is part of a larger one, always the same."""
    if fraction >= 1:
        return images
    order = torch.randperm(len(images.labels), generator=torch.Generator().manual_seed(0))
    return SomeImages(images, order[: max(2, round(fraction * len(order)))])


def statistics_of(images: Images, sample: int = 10_000) -> Statistics:
    """Return mean and standard deviation, over at most `sample` images spread over the split."""
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


@dataclass(frozen=True, eq=False)
class ImageData:
    """A data set as a search has it: two splits that share no image with each other or with the test split."""

    name: str
    classes: tuple[str, ...]
    """Names of what a network gives, in order: of classes, of which a label is a place here, or of numbers."""
    input_shape: Shape
    """`(channels, height, width)`."""
    train: Images
    val: Images
    """What a search scores on."""
    mean: tuple[float, ...]
    """Of the training split, a channel, in units of full white = 1."""
    std: tuple[float, ...]
    fingerprint: str
    """Hash of the images and labels of the three splits: equal where the splits are equal."""
    split_scheme: int
    """How they were split (`DataConfig.split_scheme`)."""
    test_by_class: tuple[int, ...]
    """Number of test images of each class (`Task.counts`). Their pixels are kept by `nas.training.data.test_split`
    alone."""
    test_images: int
    """Number of test images."""
    reading: Reading | SeriesReading
    """How files of images are read; of data that are no files, how those are that a network is shown later. Of series,
    how they are brought to one length; `read` then gives float32 of `input_shape`, NaN where there is no value."""
    notes: tuple[str, ...] = ()
    """What a user should know of the splits and of how files are read, in sentences."""
    task: Task = DEFAULT
    """What is to be learned."""
    scale: Scale | None = None
    """Of the targets, where these are numbers."""
    folds: tuple[Fold, ...] = ()
    """Of the images of `train` and, behind them, of `val`, where there are folds (`DataConfig.folds`)."""
    divide: Callable[[int], tuple[Fold, ...]] | None = None
    """Divides these images into so many folds; None where they are split by place."""
    statistics: Callable[[Images], Statistics] = statistics_of
    """Gives mean and deviation of training images."""
    fold: tuple[int, int] | None = None
    """Of what is trained on with one of the folds: its number, from 1, and how many there are."""

    @property
    def num_classes(self) -> int:
        """Number of classes, or of numbers: what a network gives for an image."""
        return len(self.classes)

    def in_fold(self, number: int, count: int) -> ImageData:
        """Return the data of one training of k-fold validation: `val` is a fold, and `train` all of the others.

        Mean, deviation and scale are those of what is trained on; how inputs are read is as without folds.

        Args:
            number: of the fold, from 1.
            count: of folds.
        """
        assert self.divide is not None
        fold = (self.folds if len(self.folds) == count else self.divide(count))[number - 1]
        joined = JoinedImages(self.train, self.val, torch.cat([self.train.labels, self.val.labels]))
        train, val = (SomeImages(joined, torch.from_numpy(places)) for places in (fold.train, fold.val))
        mean, std = self.statistics(train)
        scale = self.task.scale(train.labels.numpy())
        return replace(
            self, train=train, val=val, mean=mean, std=std, scale=scale, folds=(), divide=None, fold=(number, count)
        )

    @property
    def fold_images_by_class(self) -> tuple[tuple[int, ...], ...]:
        """Number of images of each class (`Task.counts`) in each fold."""
        labels = torch.cat([self.train.labels, self.val.labels]).numpy() if self.folds else None
        return tuple(self.task.counts(labels[fold.val], self.num_classes) for fold in self.folds if labels is not None)

    @property
    def scored_images(self) -> int:
        """Number of images that a network is scored on: those of the validation split, or of all folds together."""
        return sum(len(fold.val) for fold in self.folds) or len(self.val.labels)

    def part_of_train(self, fraction: float) -> Images:
        """Return a part of the training split; a smaller one is part of a larger one, always the same.

        It holds the classes in their proportions, and at least one image of each (`content.first_part`), but for scheme
        1, where it is random.
        """
        if self.split_scheme == 1 or fraction >= 1:
            return some_of(self.train, fraction)
        return SomeImages(
            self.train, torch.from_numpy(first_part(self.task.strata(self.train.labels.numpy()), fraction))
        )

    def check_fits(self, architecture: Architecture) -> None:
        """Raise `DataError` where an architecture takes other channels, or gives something else than the classes.

        An image of another size is resized, and a series of another length, but neither is the other.
        """
        if len(architecture.input_shape) != len(self.input_shape):
            raise DataError(
                f"data {self.name} has inputs of shape {self.input_shape}, but the architecture takes "
                f"{architecture.input_shape}: they must have as many dimensions"
            )
        (channels, *size), gives = architecture.input_shape, lower(architecture).out_shapes
        if (channels, gives) != (self.input_shape[0], self.task.out_shapes(self.num_classes, tuple(size))):
            raise DataError(
                f"data {self.name} has {self.input_shape[0]} channels and {self.num_classes} {self.task.outputs}, "
                f"but the architecture takes {channels} channels and gives {gives}"
            )

    @property
    def images_by_class(self) -> Mapping[str, tuple[int, ...]]:
        """Number of images of each class (`Task.counts`), by split."""
        splits = {TRAIN: self.train, VAL: self.val}
        counts = {split: self.task.counts(own.labels.numpy(), self.num_classes) for split, own in splits.items()}
        return counts | {TEST: self.test_by_class}

    @property
    def images(self) -> Mapping[str, int]:
        """Number of images, by split."""
        return {TRAIN: len(self.train.labels), VAL: len(self.val.labels), TEST: self.test_images}

    def record(self) -> dict[str, Any]:
        """Return what a study records about its data."""
        by_class = {split: list(counts) for split, counts in self.images_by_class.items()}
        return {
            "name": self.name,
            "task": self.task.name,
            "input_shape": list(self.input_shape),
            "num_classes": self.num_classes,
            "classes": list(self.classes),
            **{f"{split}_images": count for split, count in self.images.items()},
            "images_by_class": by_class,
            "mean": list(self.mean),
            "std": list(self.std),
            "split_scheme": self.split_scheme,
            "split_fingerprint": self.fingerprint,
            **({"fold_images": [len(fold.val) for fold in self.folds]} if self.folds else {}),
            **({"fold": list(self.fold)} if self.fold is not None else {}),
            **read_as_said(self.reading),
            "notes": list(self.notes),
        }


def read_as_said(reading: Reading | SeriesReading) -> dict[str, Any]:
    """Return what records and files of weights say of how a network's inputs are read."""
    if isinstance(reading, SeriesReading):
        return {"kind": SERIES, "mask": reading.mask, "missing": reading.missing}
    return {name: getattr(reading, name) for name in READ_AS}


@dataclass(frozen=True, eq=False)
class Splits:
    """What the loader of a data set returns."""

    data: ImageData
    test: Images | None
    """None but where `nas.held_out.keeps_test_split`: the images are then dropped before they can be reached."""


def model_input(images: Images, indices: Tensor, reading: Reading | SeriesReading) -> NDArray[Any]:
    """Return what an exported model takes of some images or series, which makes the mask of series itself."""
    values = images.read(indices)
    if isinstance(reading, SeriesReading):
        return np.ascontiguousarray(values[:, : reading.channels].numpy())
    return values.permute(0, 2, 3, 1).contiguous().numpy()


def shown_values(images: Images, indices: Tensor, reading: Reading | SeriesReading) -> NDArray[Any]:
    """Return pixels of some images, `(n, channels, height, width)`, or the values of series without their mask."""
    values = images.read(indices).numpy()
    return values[:, : reading.channels] if isinstance(reading, SeriesReading) else values


def splits_of(
    config: DataConfig,
    classes: tuple[str, ...],
    input_shape: Shape,
    *,
    train: Images,
    val: Images,
    test_labels: Tensor,
    test: Callable[[], Images],
    fingerprint: str,
    notes: Sequence[str] = (),
    reading: Reading | SeriesReading | None = None,
    statistics: Callable[[Images], Statistics] = statistics_of,
    task: Task = DEFAULT,
    divide: Callable[[int], tuple[Fold, ...]] | None = None,
) -> Splits:
    """Put a data set together.

    Args:
        config: of the data set.
        classes: their names.
        input_shape: `(channels, height, width)`.
        train: what is trained on.
        val: the validation split.
        test_labels: of the test split, `(n, ...)`.
        test: gives the test images; called only where they are asked for.
        fingerprint: of the splits.
        notes: see `ImageData`.
        reading: how files are read; None: as the config says.
        statistics: gives those of the training images.
        task: what is to be learned.
        divide: divides the images of training and validation into folds; None where they are split by place.

    Raises:
        DataError: an empty split, or one that cannot be learned, such as a class without training images; likewise of
            the folds, where there are some.
    """
    kind = "series" if len(input_shape) == 2 else "images"
    for split, labels in (("training", train.labels), ("validation", val.labels), ("test", test_labels)):
        if len(labels) == 0:
            raise DataError(
                f"data {config.name}: the {split} split has no {kind}. Where it is drawn from the training {kind}, "
                f"copies are in one split: add some that differ, or give it {kind} of its own"
            )
    targets = train.labels.numpy()
    task.check(targets, classes, f"data {config.name}")
    folds = divide(config.folds) if config.folds and divide is not None else ()
    if folds:
        divided = np.concatenate([targets, val.labels.numpy()])
        notes = [*notes, check_folds(folds, divided, classes, f"data {config.name}", task, kind=kind)]
    mean, std = statistics(train)
    if len(input_shape) == len(mean) == 3 and len(set(mean)) == len(set(std)) == 1:
        notes = [
            *notes,
            "all training images are grey although they are read in colour: data.channels=1 would do",
        ]
    scale = task.scale(targets)
    data = ImageData(
        name=config.name,
        classes=classes,
        input_shape=input_shape,
        train=train,
        val=val,
        mean=mean,
        std=std,
        fingerprint=fingerprint,
        split_scheme=config.split_scheme,
        test_by_class=task.counts(test_labels.numpy(), len(classes)),
        test_images=len(test_labels),
        reading=reading or reading_of(config, input_shape),
        # Names of files and classes may hold ends of lines, and what controls a terminal.
        notes=tuple(in_a_line(note, len(note)) for note in (*notes, *(alike(classes) if scale is None else ()))),
        task=task,
        scale=scale,
        folds=folds,
        divide=divide,
        statistics=statistics,
    )
    return Splits(data, test() if keeps_test_split() else None)
