"""Images in folders, one folder a class."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import torch
from torch import Tensor

from nas.errors import DataError
from nas.exporting.reading import Reading
from nas.machine import cores
from nas.training.data.cache.cached import cached
from nas.training.data.cached_images import load_cached
from nas.training.data.config import DataConfig
from nas.training.data.content import SPLITS, TRAIN
from nas.training.data.folders.layout import Target
from nas.training.data.folders.usable import REFUSE, Pictures, common_size, left_out, refusal, usable_pictures
from nas.training.data.in_threads import in_threads
from nas.training.data.pictures import (
    Seen,
    UndecodedError,
    fit_in_memory,
    held_by,
    pixels_of,
    reading_of,
    seen,
    settled,
    settling,
)
from nas.training.data.split_by_content import Source, split_by_content
from nas.training.data.split_by_place import split_indices, splits_by_place
from nas.training.data.splits import Images, MemoryImages, Splits
from nas.training.tasks.registry import DEFAULT


@dataclass(frozen=True, eq=False)
class FileImages:
    """Images read from disk when they are asked for."""

    files: tuple[Path, ...]
    labels: Tensor
    reading: Reading

    def read(self, indices: Tensor) -> Tensor:
        """Read those images as uint8 of shape `(len(indices), channels, height, width)`."""
        if not len(indices):
            return torch.empty((0, *self.reading.shape), dtype=torch.uint8)
        # The threads that torch has are this process's share of the cores.
        return torch.stack(in_threads(self._read_one, indices.tolist(), torch.get_num_threads()))

    def _read_one(self, index: int) -> Tensor:
        return read_image(self.files[index], self.reading)

    def take(self, indices: torch.Tensor) -> FileImages:
        """Return some of the images."""
        files = tuple(self.files[i] for i in indices.tolist())
        return FileImages(files, self.labels[indices], self.reading)


def read_image(path: Path, reading: Reading) -> Tensor:
    """Read an image as uint8 `(channels, height, width)`.

    Raises:
        DataError: not an image that can be read; names the file.
    """
    return torch.from_numpy(pixels_of(held_by(path, reading.max_pixels), reading, path))


def load_image_folder(config: DataConfig) -> Splits:
    """Pictures in folders that are classes, or splits of them, or with a table of their classes.

    Splits that the folder has not are drawn from the training images.

    Raises:
        DataError: the folder is of no known form, files that cannot be used, images of several sizes without
            `data.resolution`.
    """
    entry = cached(config)
    if entry is not None:
        with suppress(OSError):  # it was removed just now
            return load_cached(entry, config)
    pictures = usable_pictures(config)
    size = (config.resolution, config.resolution) if config.resolution else common_size(pictures)
    reading = reading_of(config, (config.channels, *size))
    given = {split: _images(files, reading) for split, files in pictures.files.items()}
    in_memory = fit_in_memory(sum(len(images.files) for images in given.values()), reading, config)
    if config.split_scheme == 1:
        return _split_by_place(config, pictures.classes, given, in_memory=in_memory)
    return split_files_by_content(config, pictures, given, in_memory=in_memory)


def _images(files: Sequence[tuple[Path, Target]], reading: Reading) -> FileImages:
    targets = [target for _, target in files]
    labels = torch.tensor(targets, dtype=torch.float32 if isinstance(targets[0], tuple) else torch.int64)
    return FileImages(tuple(path for path, _ in files), labels, reading)


@dataclass(frozen=True, eq=False)
class _Looked:
    """The files of a split, each of which was looked at once."""

    images: FileImages
    looks: tuple[Seen, ...]
    pixels: tuple[Tensor | None, ...]
    """Of each as training sees it, where they are kept in memory and its depth was known; else None."""
    in_memory: bool

    def take(self, places: Sequence[int], reading: Reading | None) -> Images:
        """Return some of the images, read as is said."""
        chosen = self.images.take(torch.tensor(places, dtype=torch.int64))
        chosen = chosen if reading is None else replace(chosen, reading=reading)
        if not self.in_memory or not places:
            return chosen
        kept = [self.pixels[place] for place in places]
        again = iter(chosen.read(torch.tensor([i for i, pixels in enumerate(kept) if pixels is None])))
        pixels = torch.stack([next(again) if pixels is None else pixels for pixels in kept])
        return MemoryImages(pixels, chosen.labels, chosen.files)


Look = tuple[Seen, Tensor | None]
"""What is kept of a file, and its pixels where they are kept in memory."""


def _looked(images: FileImages, config: DataConfig, bad: dict[Path, str], *, in_memory: bool) -> _Looked:
    """Look at each file: for its content, and for its pixels where they are kept in memory.

    Those that cannot be decoded are left out, and why is put into `bad`.
    """
    look = partial(_look, known=config.depth != "auto") if in_memory else _look_at_content
    look = partial(look, reading=images.reading, scheme=config.split_scheme)
    looks = in_threads(partial(_if_it_can_be, look), images.files, cores())
    bad |= {path: found for path, found in zip(images.files, looks, strict=True) if isinstance(found, str)}
    usable = [place for place, found in enumerate(looks) if not isinstance(found, str)]
    images = images.take(torch.tensor(usable, dtype=torch.int64))
    found = [one for one in looks if not isinstance(one, str)]
    return _Looked(images, tuple(one for one, _ in found), tuple(pixels for _, pixels in found), in_memory)


def _if_it_can_be(look: Callable[[Path], Look], path: Path) -> Look | str:
    """Look at an image, or return what is wrong with it."""
    try:
        return look(path)
    except UndecodedError as error:
        return error.why


def _look(path: Path, *, known: bool, reading: Reading, scheme: int) -> tuple[Seen, Tensor | None]:
    """Return what is kept of a file, and its pixels as training sees them; None where its depth is not known yet."""
    found = held_by(path, reading.max_pixels)
    look = seen(found, reading, scheme)
    return look, torch.from_numpy(pixels_of(found, reading, path)) if known or look.bits is None else None


def _look_at_content(path: Path, *, reading: Reading, scheme: int) -> tuple[Seen, Tensor | None]:
    known = os.stat(path)
    return _look_once(path, known.st_size, known.st_mtime_ns, reading, scheme), None


@lru_cache(maxsize=2**20)
def _look_once(path: Path, size: int, changed: int, reading: Reading, scheme: int) -> Seen:
    """Return what is kept of a file; a process decodes it for that once, while it is not changed."""
    return seen(held_by(path, reading.max_pixels), reading, scheme)


def split_files_by_content(
    config: DataConfig, pictures: Pictures, given: Mapping[str, FileImages], *, in_memory: bool
) -> Splits:
    """Split as schemes 2 and 3 do: by what the files hold.

    Args:
        config: of the data set.
        pictures: that can be used, as far as their beginnings show.
        given: the same with their labels, by split that the folder has.
        in_memory: whether their pixels are kept there.

    Raises:
        DataError: files that cannot be decoded, where these are refused; or as `split_by_content`.
    """
    bad = dict[Path, str]()
    looked = {split: _looked(images, config, bad, in_memory=in_memory) for split, images in given.items()}
    count = sum(len(images.files) for images in given.values())
    if bad and config.bad == REFUSE:
        raise DataError(refusal(pictures.root, bad, count, config.name))
    looks = [look for one in looked.values() for look in one.looks]
    files = [path for one in looked.values() for path in one.images.files]
    settle = settling(config, given[TRAIN].reading, looks, _name_in(pictures.root, files))
    sources = {split: _source(one, pictures) for split, one in looked.items()}
    notes = (*pictures.notes, *left_out(pictures.root, bad, count))
    shape = given[TRAIN].reading.shape
    return split_by_content(config, pictures.classes, shape, sources, notes=notes, settle=settle, task=pictures.task)


def _source(looked: _Looked, pictures: Pictures) -> Source:
    images = looked.images
    targets = None if pictures.task == DEFAULT else images.labels.numpy()
    labels = images.labels.tolist() if targets is None else [0] * len(targets)  # grouped over all splits together
    digests = [look.digest for look in looked.looks]
    return Source(labels, digests, _name_in(pictures.root, images.files), looked.take, targets=targets)


def _name_in(root: Path, files: Sequence[Path]) -> Callable[[int], str]:
    return lambda place: str(files[place].relative_to(root))


def _split_by_place(
    config: DataConfig, classes: tuple[str, ...], given: dict[str, FileImages], *, in_memory: bool
) -> Splits:
    """Split as scheme 1 does: what is no split of the folder's own is taken from the training images."""
    train, val, test = (given.get(split) for split in SPLITS)
    assert train is not None
    if test is None:
        train, test = _hold_out(train, config.test_fraction, config.split_seed)
    if val is None:
        train, val = _hold_out(train, config.val_fraction, config.split_seed + 1)
    reading = train.reading
    if config.depth == "auto":
        reading = settled(reading, config, _looked(train, config, {}, in_memory=False).looks)
    keep = _in_memory if in_memory else _as_it_is
    train, val, test = (replace(images, reading=reading) for images in (train, val, test))
    return splits_by_place(
        config, classes, reading.shape, train=keep(train), val=keep(val), test=keep(test), reading=reading
    )


def _hold_out(images: FileImages, fraction: float, seed: int) -> tuple[FileImages, FileImages]:
    rest, out = split_indices(images.labels.numpy(), fraction, seed)
    return images.take(torch.from_numpy(rest)), images.take(torch.from_numpy(out))


def _as_it_is(images: FileImages) -> Images:
    return images


def _in_memory(images: FileImages) -> Images:
    return MemoryImages(images.read(torch.arange(len(images.files))), images.labels, images.files)
