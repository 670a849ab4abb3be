"""Images in folders, one folder a class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image
from torch import Tensor

from nas.errors import DataError, is_text, why_unreadable
from nas.exporting.predict import PictureError, decoded, fitted
from nas.machine import cores
from nas.run_folder import user_path
from nas.training.data.config import DataConfig
from nas.training.data.content import SPLITS, TRAIN, digests_of
from nas.training.data.split_by_content import Source, split_by_content
from nas.training.data.split_by_place import split_indices, splits_by_place
from nas.training.data.splits import Images, MemoryImages, Splits

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
_HOW = "Expected ROOT/train/CLASS/*.png (or .jpg, ...), and the same under val/ and test/ where you have them."


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
        raise DataError(f"data image_folder: {path} cannot be read: {error}") from None


def _pixels(picture: Image.Image, size: tuple[int, int], path: Path) -> Tensor:
    """Return the pixels of a picture that is fitted to a size, `(channels, height, width)`.

    Raises:
        DataError: it cannot be; names the file.
    """
    try:
        return torch.from_numpy(fitted(picture, size)).permute(2, 0, 1).contiguous()
    except PictureError as error:
        raise DataError(f"data image_folder: {path}: {error}") from None


def load_image_folder(config: DataConfig) -> Splits:
    """Images under `root/train`, `root/val` and `root/test`; a missing val or test split is taken from train.

    Raises:
        DataError: missing folders, classes that differ, images of several sizes without `data.resolution`.
    """
    if not config.root:
        raise DataError(f"data image_folder: give data.root=FOLDER. {_HOW}")
    root = user_path(config.root).absolute()
    classes = _classes(root / TRAIN)
    size = (config.resolution, config.resolution) if config.resolution else _common_size(root / TRAIN)
    given = {
        split: _find(root / split, classes, size, config.channels)
        for split in SPLITS
        if split == TRAIN or (root / split).is_dir()
    }
    if not given[TRAIN].files:
        raise DataError(f"data image_folder: no images in the training split. {_HOW}")
    count = sum(len(images.files) for images in given.values())
    in_memory = count * config.channels * size[0] * size[1] <= config.memory_mib * 2**20
    if config.split_scheme == 1:
        return _split_by_place(config, classes, given, in_memory=in_memory)
    sources = {split: _source(images, root, in_memory=in_memory) for split, images in given.items()}
    return split_by_content(config, classes, (config.channels, *size), sources)


def _find(folder: Path, classes: tuple[str, ...], size: tuple[int, int], channels: int) -> FileImages:
    if _classes(folder) != classes:
        raise DataError(f"data image_folder: {folder} has classes {_classes(folder)}, train has {classes}")
    files = [(path, i) for i, name in enumerate(classes) for path in _images(folder / name)]
    labels = torch.tensor([label for _, label in files], dtype=torch.int64)
    return FileImages(tuple(path for path, _ in files), labels, size, channels)


def _source(images: FileImages, root: Path, *, in_memory: bool) -> Source:
    """Look at each image once: for its content, and for its pixels where they are kept in memory."""
    look = partial(_look, size=images.size, channels=images.channels) if in_memory else _look_at_content
    # Decoding, hashing and scaling leave Python's lock.
    with ThreadPoolExecutor(max_workers=min(8, cores())) as pool:
        seen = list(pool.map(look, images.files))

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


def _look(path: Path, size: tuple[int, int], channels: int) -> tuple[bytes, Tensor | None]:
    """Return the digest of an image's content, and its pixels as training sees them.

    Its content is its pixels at full size and in colour, whatever training makes of them: so its split is the same at
    any resolution, and where it was saved in another format without loss.
    """
    colour, seen = _decoded(path, 3, channels)
    return digests_of(np.asarray(colour)[None])[0], _pixels(seen, size, path)


def _look_at_content(path: Path) -> tuple[bytes, Tensor | None]:
    _refuse_special(path)
    known = os.stat(path)
    return _digest(path, known.st_size, known.st_mtime_ns), None


@lru_cache(maxsize=2**20)
def _digest(path: Path, size: int, changed: int) -> bytes:
    """Return the digest of an image's content; a process decodes a file for it once, while that is not changed."""
    return digests_of(np.asarray(_decoded(path, 3)[0])[None])[0]


def _classes(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        raise DataError(f"data image_folder: no folder {folder}. {_HOW}")
    classes = tuple(sorted(path.name for path in folder.iterdir() if path.is_dir()))
    if len(classes) < 2:
        raise DataError(f"data image_folder: {folder} has {len(classes)} class folders, two are needed. {_HOW}")
    for name in classes:
        if not is_text(name):  # it goes into files that are UTF-8
            raise DataError(
                f"data image_folder: the class folder {name!a} in {folder} must have a name in UTF-8: rename "
                "it, since the folder's name is that of the class"
            )
    return classes


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def _refuse_special(path: Path) -> None:
    """Raise `DataError` where an image is no file: a pipe would be waited for, a device be read without end."""
    if not path.is_file():
        raise DataError(f"data image_folder: {path} is not a file, but a folder, a pipe, a device or a broken link")


def _size(image: Image.Image) -> tuple[int, int]:
    """Height and width as a person sees the image: cameras store a turn beside the pixels."""
    turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
    return (image.width, image.height) if turned else (image.height, image.width)


def _common_size(folder: Path) -> tuple[int, int]:
    """Height and width that all images of a split share."""
    sizes: dict[tuple[int, int], Path] = {}
    for path in _images(folder):
        _refuse_special(path)
        try:
            with Image.open(path) as image:
                sizes.setdefault(_size(image), path)
        except Exception as error:  # as in `read_image`
            raise DataError(f"data image_folder: {path} cannot be read: {why_unreadable(error)}") from None
        if len(sizes) > 1:
            raise DataError(f"data image_folder: images have several sizes {list(sizes)}; give data.resolution=64")
    if not sizes:
        raise DataError(f"data image_folder: no images under {folder}. {_HOW}")
    return next(iter(sizes))


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
    if not images.files:
        raise DataError(f"data image_folder: no images in the training split. {_HOW}")
    rest, out = split_indices(images.labels.numpy(), fraction, seed)
    return images.take(torch.from_numpy(rest)), images.take(torch.from_numpy(out))


def _as_it_is(images: FileImages) -> Images:
    return images


def _in_memory(images: FileImages) -> Images:
    return MemoryImages(images.read(torch.arange(len(images.files))), images.labels, images.files)
