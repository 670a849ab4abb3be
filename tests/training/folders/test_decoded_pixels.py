"""The pixels of a folder of pictures, against what Pillow itself decodes, cuts, pads and resizes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.data.splits import Images

SUFFIXES = ("bmp", "gif", "jpg", "png", "ppm", "tif", "webp")


def _photos(root: Path, size: tuple[int, int]) -> None:
    """Write a smooth colour picture of each kind of file for each of two classes and three splits."""
    rng = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for name in ("a", "b"):
            (root / split / name).mkdir(parents=True)
            for suffix in SUFFIXES:
                coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
                coarse.resize(size, Image.Resampling.BICUBIC).save(root / split / name / f"photo.{suffix}")


def _read(images: Images) -> list[tuple[Path, NDArray[np.uint8], int]]:
    """Return each file with its pixels, `(height, width, channels)`, and the number of its class."""
    inner: Any = getattr(images, "images", images)  # in memory, or read from the files
    pixels = images.read(torch.arange(len(images.labels))).permute(0, 2, 3, 1).numpy()
    return [*zip(inner.files, pixels, images.labels.tolist(), strict=True)]


@pytest.mark.parametrize("memory_mib", [0, 100])
def test_each_kind_of_file_has_the_pixels_that_pillow_decodes(memory_mib: int, tmp_path: Path) -> None:
    _photos(tmp_path, (14, 10))
    data = load_data(DataConfig(name="image_folder", root=str(tmp_path), memory_mib=memory_mib))
    for split, images in (("train", data.train), ("val", data.val)):
        found = _read(images)
        assert sorted(path.suffix[1:] for path, _, _ in found) == sorted(2 * SUFFIXES)
        for path, pixels, label in found:
            np.testing.assert_array_equal(pixels, np.asarray(Image.open(path).convert("RGB")))
            assert (path.parent.parent.name, path.parent.name) == (split, data.classes[label])


BY_PILLOW: dict[str, Callable[[Image.Image], Image.Image]] = {
    "crop": lambda picture: ImageOps.fit(picture, (12, 12), Image.Resampling.BILINEAR),
    "pad": lambda picture: ImageOps.pad(picture, (12, 12), Image.Resampling.BILINEAR, "black"),
    "squash": lambda picture: picture.resize((12, 12), Image.Resampling.BILINEAR),
}


@pytest.mark.parametrize("fit", BY_PILLOW)
def test_a_resolution_is_reached_as_by_pillow(fit: str, tmp_path: Path) -> None:
    _photos(tmp_path, (48, 24))
    config = DataConfig(name="image_folder", root=str(tmp_path), resolution=12, fit=fit, background="black")
    # Pillow cuts before it resizes, and so sees nothing beyond the cut: the columns beside it may differ.
    inside = slice(1, -1) if fit == "crop" else slice(None)
    for path, pixels, _ in _read(load_data(config).train):
        expected = np.asarray(BY_PILLOW[fit](Image.open(path).convert("RGB")))
        np.testing.assert_array_equal(pixels[:, inside], expected[:, inside])
