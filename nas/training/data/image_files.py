"""Images in folders, one folder a class."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from nas.errors import DataError
from nas.exporting.predict import PictureError, decoded, fitted
from nas.machine import cores
from nas.training.data.config import DataConfig
from nas.training.data.content import SPLITS, digests_of
from nas.training.data.folders.usable import REFUSE, common_size, left_out, refusal, usable_pictures
from nas.training.data.split_by_content import Source, split_by_content
from nas.training.data.split_by_place import split_indices, splits_by_place
from nas.training.data.splits import Images, MemoryImages, Splits


class UndecodedError(DataError):
    """A file that is no picture, or one that cannot be brought to its size."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"data image_folder: {path} cannot be read: {why}")
        self.why = why


@dataclass(frozen=True, eq=False)
class FileImages:
    """Images read from disk when they are asked for."""

    files: tuple[Path, ...]
    labels: Tensor
    size: tuple[int, int]
    channels: int

    def read(self, indices: Tensor) -> Tensor:
        """Read those images as uint8 of shape `(len(indices), channels, height, width)`."""
        if not len(indices):
            return torch.empty((0, self.channels, *self.size), dtype=torch.uint8)
        # Decoding leaves Python's lock, so two threads read ahead of one another.
        with ThreadPoolExecutor(max_workers=2) as pool:
            pixels = list(pool.map(self._read_one, indices.tolist()))
        return torch.stack(pixels)

    def _read_one(self, index: int) -> Tensor:
        return read_image(self.files[index], self.size, self.channels)

    def take(self, indices: torch.Tensor) -> FileImages:
        """Return some of the images."""
        files = tuple(self.files[i] for i in indices.tolist())
        return FileImages(files, self.labels[indices], self.size, self.channels)


def read_image(path: Path, size: tuple[int, int], channels: int) -> Tensor:
    """Read an image as uint8 `(channels, height, width)`: scaled to cover `size`, then cut at the centre.

    Raises:
        DataError: not an image that can be read; names the file.
    """
    return _pixels(_decoded(path, channels)[0], size, path)


def _decoded(path: Path, *channels: int) -> list[Image.Image]:
    """Read an image at its full size, as `nas.exporting.predict.decoded`; raises `DataError`, which names the file."""
    try:
        return decoded(path, *channels)
    except PictureError as error:
        raise UndecodedError(path, str(error)) from None


def _pixels(picture: Image.Image, size: tuple[int, int], path: Path) -> Tensor:
    """Return the pixels of a picture that is fitted to a size, `(channels, height, width)`.

    Raises:
        DataError: it cannot be; names the file.
    """
    try:
        return torch.from_numpy(fitted(picture, size)).permute(2, 0, 1).contiguous()
    except PictureError as error:
        raise UndecodedError(path, str(error)) from None


def load_image_folder(config: DataConfig) -> Splits:
    """Pictures in folders that are classes, or splits of them, or with a table of their classes.

    Splits that the folder has not are drawn from the training images.

    Raises:
        DataError: the folder is of no known form, files that cannot be used, images of several sizes without
            `data.resolution`.
    """
    pictures = usable_pictures(config)
    size = (config.resolution, config.resolution) if config.resolution else common_size(pictures)
    given = {split: _images(files, size, config.channels) for split, files in pictures.files.items()}
    count = sum(len(images.files) for images in given.values())
    in_memory = count * config.channels * size[0] * size[1] <= config.memory_mib * 2**20
    if config.split_scheme == 1:
        return _split_by_place(config, pictures.classes, given, in_memory=in_memory)
    shape = (config.channels, *size)
    sources, bad = {}, dict[Path, str]()
    for split, images in given.items():
        sources[split] = _source(images, pictures.root, bad, in_memory=in_memory)
    if bad and config.bad == REFUSE:
        raise DataError(refusal(pictures.root, bad, count))
    notes = (*pictures.notes, *left_out(pictures.root, bad, count))
    return split_by_content(config, pictures.classes, shape, sources, notes)


def _images(files: Sequence[tuple[Path, int]], size: tuple[int, int], channels: int) -> FileImages:
    labels = torch.tensor([label for _, label in files], dtype=torch.int64)
    return FileImages(tuple(path for path, _ in files), labels, size, channels)


def _source(images: FileImages, root: Path, bad: dict[Path, str], *, in_memory: bool) -> Source:
    """Look at each image once: for its content, and for its pixels where they are kept in memory.

    Images that cannot be decoded are left out, and why is put into `bad`.
    """
    look = partial(_look, size=images.size, channels=images.channels) if in_memory else _look_at_content
    # Decoding, hashing and scaling leave Python's lock.
    with ThreadPoolExecutor(max_workers=min(8, cores())) as pool:
        looks = list(pool.map(partial(_if_it_can_be, look), images.files))
    bad |= {path: found for path, found in zip(images.files, looks, strict=True) if isinstance(found, str)}
    usable = [place for place, found in enumerate(looks) if not isinstance(found, str)]
    images = images.take(torch.tensor(usable, dtype=torch.int64))
    seen = [found for found in looks if not isinstance(found, str)]

    def take(places: Sequence[int]) -> Images:
        indices = torch.tensor(places, dtype=torch.int64)
        pixels = [kept for place in places if (kept := seen[place][1]) is not None]
        chosen = images.take(indices)
        return MemoryImages(torch.stack(pixels), chosen.labels, chosen.files) if pixels else chosen

    return Source(
        images.labels.tolist(),
        [digest for digest, _ in seen],
        lambda place: str(images.files[place].relative_to(root)),
        take,
    )


Look = tuple[bytes, Tensor | None]
"""The digest of an image's content, and its pixels where they are kept."""


def _if_it_can_be(look: Callable[[Path], Look], path: Path) -> Look | str:
    """Look at an image, or return what is wrong with it."""
    try:
        return look(path)
    except UndecodedError as error:
        return f"cannot be decoded ({error.why})"


def _look(path: Path, size: tuple[int, int], channels: int) -> tuple[bytes, Tensor | None]:
    """Return the digest of an image's content, and its pixels as training sees them.

    Its content is its pixels at full size and in colour, whatever training makes of them: so its split is the same at
    any resolution, and where it was saved in another format without loss.
    """
    colour, seen = _decoded(path, 3, channels)
    return digests_of(np.asarray(colour)[None])[0], _pixels(seen, size, path)


def _look_at_content(path: Path) -> tuple[bytes, Tensor | None]:
    known = os.stat(path)
    return _digest(path, known.st_size, known.st_mtime_ns), None


@lru_cache(maxsize=2**20)
def _digest(path: Path, size: int, changed: int) -> bytes:
    """Return the digest of an image's content; a process decodes a file for it once, while that is not changed."""
    return digests_of(np.asarray(_decoded(path, 3)[0])[None])[0]


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
    keep = _in_memory if in_memory else _as_it_is
    shape = (config.channels, *train.size)
    return splits_by_place(config, classes, shape, train=keep(train), val=keep(val), test=keep(test))


def _hold_out(images: FileImages, fraction: float, seed: int) -> tuple[FileImages, FileImages]:
    rest, out = split_indices(images.labels.numpy(), fraction, seed)
    return images.take(torch.from_numpy(rest)), images.take(torch.from_numpy(out))


def _as_it_is(images: FileImages) -> Images:
    return images


def _in_memory(images: FileImages) -> Images:
    return MemoryImages(images.read(torch.arange(len(images.files))), images.labels, images.files)
