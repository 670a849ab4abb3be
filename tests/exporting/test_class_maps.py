"""Masks follow their pictures to the size of a network and back, and are written as numbers that can be looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nas.exporting.class_maps import NO_CLASS, fitted_mask, palette, restored, write_mask
from nas.exporting.reading import RESIZES, SQUASH, Reading, fitted

SIDES = st.integers(1, 40)


@given(SIDES, SIDES, SIDES, SIDES, st.sampled_from(RESIZES))
def test_a_mask_lies_where_its_picture_does(height: int, width: int, tall: int, wide: int, resize: str) -> None:
    """White pictures on black: where pixels are the picture's, the mask has a class, and nowhere else."""
    reading = Reading((1, height, width), background="#000000", resize=resize)
    white = Image.new("L", (wide, tall), 255)
    mask = fitted_mask(np.ones((tall, wide), dtype=np.uint8), reading)
    np.testing.assert_array_equal(mask == 1, fitted(white, reading)[:, :, 0] == 255)
    assert set(np.unique(mask)) <= {1, NO_CLASS}


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("size", [(30, 44), (51, 20), (24, 24), (97, 96)])
def test_halves_of_a_picture_stay_halves(resize: str, size: tuple[int, int]) -> None:
    """The edge between black and white is in the mask where it is in the picture, to within the blur of its scaling."""
    reading = Reading((1, 24, 24), background="#000000", resize=resize)
    levels = np.zeros(size, dtype=np.uint8)
    levels[:, size[1] // 2 :] = 255
    levels[: size[0] // 3] = 0
    told = fitted_mask((levels > 0).astype(np.uint8), reading)
    shown = fitted(Image.fromarray(levels), reading)[:, :, 0]
    sure = ((shown < 64) | (shown > 191)) & (told != NO_CLASS)
    assert sure.mean() > 0.3
    np.testing.assert_array_equal(told[sure], (shown > 127)[sure])


@pytest.mark.parametrize("resize", RESIZES)
def test_a_mask_comes_back_to_the_size_of_the_picture(resize: str) -> None:
    reading, rng = Reading((1, 24, 24), resize=resize, background="#000000"), np.random.default_rng(0)
    mask = np.repeat(np.repeat(rng.integers(0, 5, (9, 12)).astype(np.uint8), 8, axis=0), 8, axis=1)  # 72 x 96
    back = restored(fitted_mask(mask, reading), (72, 96), reading)
    assert back.shape == mask.shape
    seen = back != NO_CLASS
    assert (back == mask)[seen].mean() > 0.8
    # A square out of the middle of what is wider by a third leaves an eighth at each side.
    assert seen[:, 12:84].all()
    assert seen.mean() == pytest.approx(0.75 if resize == "cover_crop" else 1.0)


def test_of_the_same_size_nothing_changes() -> None:
    mask = np.random.default_rng(0).integers(0, 256, (7, 9)).astype(np.uint8)
    for resize in RESIZES:
        reading = Reading((3, 7, 9), resize=resize, background="#000000")
        np.testing.assert_array_equal(fitted_mask(mask, reading), mask)
        np.testing.assert_array_equal(restored(mask, (7, 9), reading), mask)


def test_rows_are_taken_as_pillow_takes_the_nearest() -> None:
    mask: np.ndarray[Any, Any] = np.random.default_rng(0).integers(0, 9, (31, 50)).astype(np.uint8)
    theirs = np.asarray(Image.fromarray(mask).resize((18, 64), Image.Resampling.NEAREST))
    np.testing.assert_array_equal(fitted_mask(mask, Reading((1, 64, 18), resize=SQUASH)), theirs)


def test_the_file_has_classes_as_levels_and_the_colours_of_pascal_voc(tmp_path: Path) -> None:
    mask = np.arange(256, dtype=np.uint8).reshape(16, 16)
    write_mask(tmp_path / "mask.png", mask)
    with Image.open(tmp_path / "mask.png") as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), mask)
    # As the development kit of PASCAL VOC lists them: background, aeroplane, bicycle, ..., tv/monitor; and the void.
    voc = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 15: (192, 128, 128), 20: (0, 64, 128), 255: (224, 224, 192)}
    assert {number: tuple(palette()[number].tolist()) for number in voc} == voc
