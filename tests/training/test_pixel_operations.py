"""Operations on pixels, against Pillow, the standard library's `colorsys`, and values worked out by hand."""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from nas.training.data import pixel_operations as operations

_CHANNELS = (1, 3)


def _images(channels: int, count: int = 6, size: tuple[int, int] = (20, 26)) -> Tensor:
    """Images of few and many levels, dark, bright, and of one level."""
    rng = np.random.default_rng(channels)
    pixels = rng.integers(0, 256, (count, channels, *size))
    pixels[1] = pixels[1] // 4 + 40
    pixels[2] = np.linspace(60, 200, size[0]).astype(int)[None, :, None]
    pixels[3] = 77
    pixels[4] = rng.choice([3, 90, 250], (channels, *size), p=[0.8, 0.15, 0.05])
    return torch.from_numpy(pixels.astype(np.uint8))


def _by_pillow(pixels: Tensor, change: Callable[[Image.Image, int], Image.Image]) -> Tensor:
    """Change images one by one, each with its number."""
    found = []
    for number, image in enumerate(pixels.numpy()):
        picture = Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))
        changed = np.array(change(picture, number))
        found.append(changed[None] if changed.ndim == 2 else changed.transpose(2, 0, 1))
    return torch.from_numpy(np.stack(found))


def _largest_difference(first: Tensor, second: Tensor) -> int:
    return int((first.int() - second.int()).abs().max())


@pytest.mark.parametrize("channels", _CHANNELS)
@pytest.mark.parametrize(
    ("ours", "pillow"),
    [
        (operations.brightened, ImageEnhance.Brightness),
        (operations.contrasted, ImageEnhance.Contrast),
        (operations.saturated, ImageEnhance.Color),
        (operations.sharpened, ImageEnhance.Sharpness),
    ],
)
def test_enhancement_is_that_of_pillow(
    channels: int, ours: Callable[[Tensor, Tensor], Tensor], pillow: Callable[[Image.Image], ImageEnhance._Enhance]
) -> None:
    """Within one level, since Pillow cuts fractions off; each image by its own factor."""
    pixels, factors = _images(channels), [0.0, 0.1, 0.7, 1.0, 1.3, 1.99]
    expected = _by_pillow(pixels, lambda picture, number: pillow(picture).enhance(factors[number]))
    found = ours(pixels, torch.tensor(factors))
    assert found.dtype == torch.uint8
    assert _largest_difference(found, expected) <= 1
    assert torch.equal(ours(pixels, torch.ones(6)), pixels)


@pytest.mark.parametrize("channels", _CHANNELS)
def test_posterized_and_solarized_are_those_of_pillow(channels: int) -> None:
    pixels, bits, thresholds = _images(channels), [1, 2, 4, 6, 7, 8], [0, 1, 100, 128, 255, 256]
    found = operations.posterized(pixels, torch.tensor(bits, dtype=torch.float32) + 0.2)
    assert torch.equal(found, _by_pillow(pixels, lambda picture, number: ImageOps.posterize(picture, bits[number])))
    found = operations.solarized(pixels, torch.tensor(thresholds, dtype=torch.float32))
    assert torch.equal(
        found, _by_pillow(pixels, lambda picture, number: ImageOps.solarize(picture, thresholds[number]))
    )


@pytest.mark.parametrize("channels", _CHANNELS)
def test_equalized_and_autocontrasted_are_those_of_pillow(channels: int) -> None:
    pixels = _images(channels)
    assert torch.equal(operations.equalized(pixels), _by_pillow(pixels, lambda picture, _: ImageOps.equalize(picture)))
    expected = _by_pillow(pixels, lambda picture, _: ImageOps.autocontrast(picture))
    assert _largest_difference(operations.autocontrasted(pixels), expected) <= 1
    assert torch.equal(operations.autocontrasted(pixels)[3], pixels[3]), "one level is left alone"


def test_the_hue_is_turned_as_colorsys_says() -> None:
    pixels, turns = _images(3), [-0.5, -0.21, 0.0, 0.1, 0.33, 0.5]
    found = operations.hue_turned(pixels, torch.tensor(turns))
    expected = torch.empty_like(pixels)
    for number, turn in enumerate(turns):
        for row in range(pixels.shape[2]):
            for column in range(pixels.shape[3]):
                hue, saturation, value = colorsys.rgb_to_hsv(*(pixels[number, :, row, column] / 255).tolist())
                colour = colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)
                expected[number, :, row, column] = (torch.tensor(colour) * 255).round().to(torch.uint8)
    assert _largest_difference(found, expected) <= 1
    assert torch.equal(found[2], pixels[2])


def test_small_images_have_nothing_inside_to_sharpen() -> None:
    """A series as an image of one row."""
    pixels = torch.arange(20, dtype=torch.uint8).view(2, 1, 1, 10)
    assert torch.equal(operations.sharpened(pixels, torch.tensor([0.0, 2.0])), pixels)


def test_images_are_resampled_from_the_places_that_maps_give() -> None:
    """A move by a whole pixel, a half turn, half a pixel between two, and the edge beyond the image."""
    row = torch.tensor([10, 20, 40, 80], dtype=torch.uint8)
    pixels = row.view(1, 1, 1, 4).repeat(5, 1, 1, 1)
    maps = torch.eye(2, 3).repeat(5, 1, 1)
    maps[1, 0, 2] = 2 / 4  # 2 is the width
    maps[2, 0, 0] = -1
    maps[3, 0, 2] = 1 / 4
    maps[4, 0, 2] = -4
    found = operations.resampled(pixels, maps)
    expected = [[10, 20, 40, 80], [20, 40, 80, 80], [80, 40, 20, 10], [15, 30, 60, 80], [10, 10, 10, 10]]
    assert found.view(5, 4).tolist() == expected
