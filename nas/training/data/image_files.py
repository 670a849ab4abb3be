"""Images in folders, one folder a class."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import ExifTags, Image
from torch import Tensor

from nas.errors import DataError, why_unreadable
from nas.export.predict import PictureError, read_picture
from nas.training.data.config import DataConfig
from nas.training.data.splits import ImageData, Images, MemoryImages, image_data, split_indices

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
    try:
        pixels = read_picture(path, (channels, *size))
    except PictureError as error:
        raise DataError(f"data image_folder: {path} cannot be read: {error}") from None
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def load_image_folder(config: DataConfig) -> ImageData:
    """Images under `root/train`, `root/val` and `root/test`; a missing val or test split is taken from train.

    Raises:
        DataError: missing folders, classes that differ, images of several sizes without `data.resolution`.
    """
    if not config.root:
        raise DataError(f"data image_folder: give data.root=FOLDER. {_HOW}")
    root = Path(config.root).expanduser().absolute()
    classes = _classes(root / "train")
    size = (config.resolution, config.resolution) if config.resolution else _common_size(root / "train")

    def find(split: str) -> FileImages | None:
        folder = root / split
        if split != "train" and not folder.is_dir():
            return None
        if _classes(folder) != classes:
            raise DataError(f"data image_folder: {folder} has classes {_classes(folder)}, train has {classes}")
        files = [(path, i) for i, name in enumerate(classes) for path in _images(folder / name)]
        labels = torch.tensor([label for _, label in files], dtype=torch.int64)
        return FileImages(tuple(path for path, _ in files), labels, size, config.channels)

    train, val, test = find("train"), find("val"), find("test")
    assert train is not None
    if test is None:
        train, test = _hold_out(train, config.test_fraction, config.split_seed)
    if val is None:
        train, val = _hold_out(train, config.val_fraction, config.split_seed + 1)
    count = sum(len(split.files) for split in (train, val, test))
    in_memory = count * config.channels * size[0] * size[1] <= config.memory_mib * 2**20
    keep = _in_memory if in_memory else _as_it_is
    return image_data(
        config,
        classes,
        (config.channels, *size),
        train=keep(train),
        val=keep(val),
        test=keep(test),
    )


def _classes(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        raise DataError(f"data image_folder: no folder {folder}. {_HOW}")
    classes = tuple(sorted(path.name for path in folder.iterdir() if path.is_dir()))
    if len(classes) < 2:
        raise DataError(f"data image_folder: {folder} has {len(classes)} class folders, two are needed. {_HOW}")
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


def _hold_out(images: FileImages, fraction: float, seed: int) -> tuple[FileImages, FileImages]:
    if not images.files:
        raise DataError(f"data image_folder: no images in the training split. {_HOW}")
    rest, out = split_indices(images.labels.numpy(), fraction, seed)
    return images.take(torch.from_numpy(rest)), images.take(torch.from_numpy(out))


def _as_it_is(images: FileImages) -> Images:
    return images


def _in_memory(images: FileImages) -> Images:
    return MemoryImages(images.read(torch.arange(len(images.files))), images.labels)
