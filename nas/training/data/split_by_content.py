"""Splits of schemes 2 and 3: images in the splits that `nas.training.data.division` puts them into."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from nas.errors import DataError
from nas.exporting.reading import Reading
from nas.network.ops import Shape
from nas.training.data.config import DataConfig
from nas.training.data.content import TEST, TRAIN, VAL, digests_of
from nas.training.data.division import Contents, divide
from nas.training.data.split_by_place import split_images_by_place
from nas.training.data.splits import Images, Splits, part_of, splits_of
from nas.training.tasks.registry import DEFAULT
from nas.training.tasks.task import Task

_WORDS = {TRAIN: "training", VAL: "validation", TEST: "test"}


@dataclass(frozen=True, eq=False)
class Source(Contents):
    """Images before they are split, and how to get them."""

    take: Callable[[Sequence[int], Reading | None], Images]
    """Returns some of the images, by their places; those of files read as is said."""


def source_of(images: Images, what: str = "image", *, keep: bool = True, task: Task = DEFAULT) -> Source:
    """Return images as what is to be split.

    Args:
        images: of which a thousand at a time are looked at.
        what: they are, for messages.
        keep: the pixels of a split in memory, else it is read from where the images are.
        task: what their labels are of.
    """
    digests = list[bytes]()
    for places in torch.split(torch.arange(len(images.labels)), 1024):
        digests += digests_of(images.read(places).numpy())
    one_class = task == DEFAULT
    return Source(
        images.labels.tolist() if one_class else [0] * len(images.labels),
        digests,
        lambda place: f"{what} {place}",
        lambda places, reading: part_of(images, torch.tensor(places, dtype=torch.int64), keep=keep),
        targets=None if one_class else images.labels.numpy(),
    )


def split_images(
    config: DataConfig,
    classes: tuple[str, ...],
    given: Mapping[str, Images],
    *,
    keep: bool = True,
    notes: Sequence[str] = (),
    task: Task = DEFAULT,
) -> Splits:
    """Split images into training, validation and test as the config says, as far as they have no such splits.

    Args:
        config: of the data set.
        classes: their names.
        given: the splits that there are, all of one size: training images, and those of the others where they are.
        keep: as in `source_of`.
        notes: what else a user should know, in sentences.
        task: what is to be learned.

    Raises:
        DataError: an empty split, or a class without training images, or a split by place where there is none.
    """
    shape = tuple(given[TRAIN].read(torch.arange(min(1, len(given[TRAIN].labels)))).shape[1:])
    if 0 in shape or not len(given[TRAIN].labels):
        raise DataError(f"data {config.name}: there are {len(given[TRAIN].labels)} training images of shape {shape}")
    if config.split_scheme == 1 and task != DEFAULT:
        raise DataError(f"data {config.name} is split by content alone: data.split_scheme must be 2 or 3, but got 1")
    if config.split_scheme == 1:
        return split_images_by_place(config, classes, given, keep=keep, notes=notes)
    names = {split: f"{_WORDS[split]} image" if len(given) > 1 else "image" for split in given}
    sources = {split: source_of(images, names[split], keep=keep, task=task) for split, images in given.items()}
    return split_by_content(config, classes, shape, sources, notes=notes, task=task)


def split_by_content(
    config: DataConfig,
    classes: tuple[str, ...],
    input_shape: Shape,
    given: Mapping[str, Source],
    *,
    notes: Sequence[str] = (),
    settle: Callable[[Sequence[int]], tuple[Reading, Sequence[str]]] | None = None,
    task: Task = DEFAULT,
) -> Splits:
    """Split the training images of a data set as `divide` does, and put it together.

    Args:
        config: of the data set.
        classes: their names.
        input_shape: `(channels, height, width)`.
        given: see `divide`.
        notes: see `divide`.
        settle: see `divide`; asked before any image is taken.
        task: what is to be learned.

    Raises:
        DataError: an empty split, one of which more than half is in another, or a class without training images.
    """
    division = divide(config, classes, given, notes=notes, settle=settle, task=task)
    places = division.with_part(config.train_fraction)

    def take(split: str) -> Images:
        return _take(given, places[split], division.reading)

    return splits_of(
        config,
        classes,
        input_shape,
        train=take(TRAIN),
        val=take(VAL),
        test_labels=torch.from_numpy(division.targets_of(places[TEST])),
        test=lambda: take(TEST),
        fingerprint=division.fingerprint(config.train_fraction, input_shape),
        notes=division.notes,
        reading=division.reading,
        task=task,
        divide=partial(division.folds, seed=config.split_seed),
    )


def _take(given: Mapping[str, Source], places: Sequence[int], reading: Reading | None) -> Images:
    """Return some images, which are all of one split of the data set's own, by their places among all."""
    first, of = 0, given[TRAIN]
    for source in given.values():
        if places and first <= places[0] < first + len(source.labels):
            of = source
            break
        first += len(source.labels)
    return of.take([place - first for place in places], reading)
