"""Images in folders, one folder a class."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import torch
from PIL import ExifTags, Image
from torch import Tensor

from nas.errors import DataError, is_text, why_unreadable
from nas.exporting.reading import Reading
from nas.machine import cores
from nas.run_folder import user_path
from nas.training.data.config import DataConfig
from nas.training.data.content import SPLITS, TRAIN
from nas.training.data.pictures import Seen, check_memory, held_by, notes_of, pixels_of, reading_of, seen, settled
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
    reading: Reading

    def read(self, indices: Tensor) -> Tensor:
        """Read those images as uint8 of shape `(len(indices), channels, height, width)`."""
        if not len(indices):
            return torch.empty((0, *self.reading.shape), dtype=torch.uint8)
        # Decoding leaves Python's lock, so two threads read ahead of one another.
        with ThreadPoolExecutor(max_workers=2) as pool:
            pixels = list(pool.map(self._read_one, indices.tolist()))
        return torch.stack(pixels)

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
    return pixels_of(held_by(path, reading.max_pixels), reading, path)


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
    reading = reading_of(config, (config.channels, *size))
    given = {
        split: _find(root / split, classes, reading) for split in SPLITS if split == TRAIN or (root / split).is_dir()
    }
    if not given[TRAIN].files:
        raise DataError(f"data image_folder: no images in the training split. {_HOW}")
    count = sum(len(images.files) for images in given.values())
    in_memory = count * config.channels * size[0] * size[1] <= config.memory_mib * 2**20
    if in_memory:
        check_memory(count, reading)
    if config.split_scheme == 1:
        return _split_by_place(config, classes, given, in_memory=in_memory)
    return _split_by_content(config, classes, root, given, in_memory=in_memory)


def _find(folder: Path, classes: tuple[str, ...], reading: Reading) -> FileImages:
    if _classes(folder) != classes:
        raise DataError(f"data image_folder: {folder} has classes {_classes(folder)}, train has {classes}")
    files = [(path, i) for i, name in enumerate(classes) for path in _images(folder / name)]
    labels = torch.tensor([label for _, label in files], dtype=torch.int64)
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


def _looked(images: FileImages, config: DataConfig, *, in_memory: bool) -> _Looked:
    """Look at each file: for its content, and for its pixels where they are kept in memory."""
    depth_known = config.depth != "auto"
    look = partial(_look, known=depth_known) if in_memory else _look_at_content
    # Decoding, hashing and scaling leave Python's lock.
    with ThreadPoolExecutor(max_workers=min(8, cores())) as pool:
        found = list(pool.map(partial(look, reading=images.reading, scheme=config.split_scheme), images.files))
    return _Looked(images, tuple(one for one, _ in found), tuple(pixels for _, pixels in found), in_memory)


def _look(path: Path, *, known: bool, reading: Reading, scheme: int) -> tuple[Seen, Tensor | None]:
    """Return what is kept of a file, and its pixels as training sees them; None where its depth is not known yet."""
    found = held_by(path, reading.max_pixels)
    look = seen(found, reading, scheme)
    return look, pixels_of(found, reading, path) if known or look.bits is None else None


def _look_at_content(path: Path, *, reading: Reading, scheme: int) -> tuple[Seen, Tensor | None]:
    _refuse_special(path)
    known = os.stat(path)
    return _look_once(path, known.st_size, known.st_mtime_ns, reading, scheme), None


@lru_cache(maxsize=2**20)
def _look_once(path: Path, size: int, changed: int, reading: Reading, scheme: int) -> Seen:
    """Return what is kept of a file; a process decodes it for that once, while it is not changed."""
    return seen(held_by(path, reading.max_pixels), reading, scheme)


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
    # Pillow says the size of a TIFF as it is turned already.
    turned = image.format != "TIFF" and image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
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


def _split_by_content(
    config: DataConfig, classes: tuple[str, ...], root: Path, given: Mapping[str, FileImages], *, in_memory: bool
) -> Splits:
    """Split as schemes 2 and 3 do: by what the files hold."""
    looked = {split: _looked(images, config, in_memory=in_memory) for split, images in given.items()}
    looks = [look for one in looked.values() for look in one.looks]
    files = [path for one in looked.values() for path in one.images.files]

    def settle(places: Sequence[int]) -> tuple[Reading, list[str]]:
        trained_on = [looked[TRAIN].looks[place] for place in places]
        reading = settled(given[TRAIN].reading, config, trained_on)
        return reading, notes_of(looks, _name_in(root, files), reading, auto=config.depth == "auto")

    sources = {split: _source(one, root) for split, one in looked.items()}
    return split_by_content(config, classes, given[TRAIN].reading.shape, sources, settle)


def _source(looked: _Looked, root: Path) -> Source:
    return Source(
        looked.images.labels.tolist(),
        [look.digest for look in looked.looks],
        _name_in(root, looked.images.files),
        looked.take,
    )


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
        reading = settled(reading, config, _looked(train, config, in_memory=False).looks)
    keep = _in_memory if in_memory else _as_it_is
    train, val, test = (replace(images, reading=reading) for images in (train, val, test))
    return splits_by_place(
        config, classes, reading.shape, train=keep(train), val=keep(val), test=keep(test), reading=reading
    )


def _hold_out(images: FileImages, fraction: float, seed: int) -> tuple[FileImages, FileImages]:
    if not images.files:
        raise DataError(f"data image_folder: no images in the training split. {_HOW}")
    rest, out = split_indices(images.labels.numpy(), fraction, seed)
    return images.take(torch.from_numpy(rest)), images.take(torch.from_numpy(out))


def _as_it_is(images: FileImages) -> Images:
    return images


def _in_memory(images: FileImages) -> Images:
    return MemoryImages(images.read(torch.arange(len(images.files))), images.labels, images.files)
