"""Which files were read before split scheme 3: studies from then go on with the images that they have."""

from __future__ import annotations

from pathlib import Path

from nas.errors import DataError
from nas.training.data.content import SPLITS, TRAIN
from nas.training.data.folders.layout import HOW, Layout

_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}


def earlier_layout(root: Path) -> Layout:
    """Return the layout of `root/train`, `root/val` and `root/test`: files by their suffix, hidden ones too.

    Raises:
        DataError: a folder is missing, or has other classes than the training split.
    """
    classes = _classes(root / TRAIN)
    files = {}
    for split in SPLITS:
        folder = root / split
        if split == TRAIN or folder.is_dir():
            if _classes(folder) != classes:
                raise DataError(f"data image_folder: {folder} has classes {_classes(folder)}, train has {classes}")
            files[split] = [(path, label) for label, name in enumerate(classes) for path in _images(folder / name)]
    return Layout(root, classes, files)


def _classes(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        raise DataError(f"data image_folder: no folder {folder}. {HOW}")
    return tuple(sorted(path.name for path in folder.iterdir() if path.is_dir()))


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
