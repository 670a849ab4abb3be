"""Draws a folder of pictures for trying things out on: a class of shape in each, in clutter, shade and noise, as JPEG.

    python -m benchmarks.rendered_shapes FOLDER [--images 6000] [--size 64] [--seed 0]

Ten classes, as many pictures of each: FOLDER/CLASS/NUMBER.jpg. A shape has any place, size, turn and slant, and any
light colour; it lies on a mottled, darker background among lines and pieces of other things, partly under some of them;
light falls from one side; the picture is blurred, noisy and compressed as a cheap camera's. That shapes are lit and
their background is not is what networks of some 20 million multiply-adds learn it by within ten epochs of 4,000
pictures; with any colour on any other they stay at chance for as long.
The same seed gives the same pictures.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Points = NDArray[np.float64]
"""Corners of a polygon, `(n, 2)`, within a circle of radius 1 around 0."""
_GROUND, _CLUTTER, _SHAPE = (0, 130), (40, 220), (130, 256)
"""Levels of red, green and blue: what is looked at is lit, what is behind it darker, and other things are between."""
_LARGER = 3
"""Times the size that pictures are drawn at, so that edges are smooth."""


def _star(corners: int, inner: float) -> Points:
    angles = np.arange(2 * corners) * math.pi / corners
    radii = np.where(np.arange(2 * corners) % 2, inner, 1.0)
    return np.stack([radii * np.sin(angles), -radii * np.cos(angles)], axis=1)


def _polygon(corners: int) -> Points:
    return _star(corners, math.cos(math.pi / corners))[::2]


def _curve(x: Callable[[Points], Points], y: Callable[[Points], Points]) -> Points:
    t = np.linspace(0, 2 * math.pi, 64, endpoint=False)
    points = np.stack([x(t), y(t)], axis=1)
    return np.asarray(points / np.abs(points).max())


def _crescent() -> Points:
    outer, inner = np.linspace(0.6, 2 * math.pi - 0.6, 40), np.linspace(2 * math.pi - 0.85, 0.85, 40)
    bow = np.stack([np.cos(outer), np.sin(outer)], axis=1)
    hollow = np.stack([0.25 + 0.75 * np.cos(inner), 0.75 * np.sin(inner)], axis=1)
    return np.concatenate([bow, hollow])


SHAPES: Mapping[str, Points] = {
    "arrow": np.array([(-1, -0.25), (0.1, -0.25), (0.1, -0.7), (1, 0), (0.1, 0.7), (0.1, 0.25), (-1, 0.25)], float),
    "circle": _curve(np.cos, np.sin),
    "crescent": _crescent(),
    "cross": np.array(
        [
            *((-0.3, -1), (0.3, -1), (0.3, -0.3), (1, -0.3), (1, 0.3), (0.3, 0.3)),
            *((0.3, 1), (-0.3, 1), (-0.3, 0.3), (-1, 0.3), (-1, -0.3), (-0.3, -0.3)),
        ],
        float,
    ),
    "heart": _curve(
        lambda t: 16 * np.sin(t) ** 3,
        lambda t: -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)),
    ),
    "hexagon": _polygon(6),
    "pentagon": _polygon(5),
    "square": _polygon(4),
    "star": _star(5, 0.45),
    "triangle": _polygon(3),
}


def picture(shape: str, size: int, rng: np.random.Generator) -> Image.Image:
    """Return a picture of a shape, RGB, `size` pixels each way.

    Args:
        shape: one of `SHAPES`.
        size: in pixels.
        rng: draws all that is left to chance.
    """
    large = _LARGER * size
    image = mottled(large, rng)
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(2, 6)):
        _piece(draw, large, rng)
    place, radius = rng.uniform(0.3, 0.7, 2) * large, rng.uniform(0.16, 0.3) * large
    corners = place + turned(SHAPES[shape], rng) * radius
    colour = rng.integers(*_SHAPE, 3)
    draw.polygon([(float(x), float(y)) for x, y in corners], fill=(int(colour[0]), int(colour[1]), int(colour[2])))
    for _ in range(rng.integers(0, 3)):
        _line(draw, large, rng)
    return _photographed(image, size, rng)


def turned(points: Points, rng: np.random.Generator) -> Points:
    """Turn, slant and squeeze a shape."""
    angle, lean, squeeze = rng.uniform(0, 2 * math.pi), rng.uniform(-0.25, 0.25), rng.uniform(0.75, 1.0)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return np.asarray(points @ np.array([[1.0, lean], [0.0, squeeze]]) @ turn)


def mottled(size: int, rng: np.random.Generator) -> Image.Image:
    """Return a background: noise of several sizes between two colours."""
    noise = np.zeros((size, size))
    for cells in (2, 5, 12, 30):
        coarse = Image.fromarray(rng.random((cells, cells)).astype(np.float32))
        noise += np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC)) / cells**0.5
    noise = (noise - noise.min()) / (noise.max() - noise.min())
    first, second = rng.integers(*_GROUND, 3), rng.integers(*_GROUND, 3)
    return Image.fromarray((first + noise[..., None] * (second - first)).astype(np.uint8))


def _piece(draw: ImageDraw.ImageDraw, size: int, rng: np.random.Generator) -> None:
    """Draw a splinter with corners anywhere, smaller than a shape."""
    corners = rng.uniform(0, size, 2) + rng.uniform(-0.12, 0.12, (int(rng.integers(3, 6)), 2)) * size
    red, green, blue = (int(level) for level in rng.integers(*_CLUTTER, 3))
    draw.polygon([(float(x), float(y)) for x, y in corners], fill=(red, green, blue))


def _line(draw: ImageDraw.ImageDraw, size: int, rng: np.random.Generator) -> None:
    """Draw a line across the picture, in front of all."""
    red, green, blue = (int(level) for level in rng.integers(*_CLUTTER, 3))
    start, end = rng.uniform(0, size, 2), rng.uniform(0, size, 2)
    width = int(rng.uniform(0.01, 0.035) * size) + 1
    draw.line(
        [(float(start[0]), float(start[1])), (float(end[0]), float(end[1]))], fill=(red, green, blue), width=width
    )


def _photographed(image: Image.Image, size: int, rng: np.random.Generator) -> Image.Image:
    """Light a picture from one side, bring it to its size, blur it and add the noise of a camera."""
    across = np.linspace(-0.5, 0.5, size)
    slope = rng.uniform(-0.5, 0.5, 2)
    light = rng.uniform(0.6, 1.1) + slope[0] * across[:, None] + slope[1] * across[None, :]
    small = image.resize((size, size), Image.Resampling.BOX)
    blurred = small.filter(ImageFilter.GaussianBlur(rng.uniform(0.0, 1.0)))
    levels = np.asarray(blurred) * light[..., None] + rng.normal(0, rng.uniform(2, 14), (size, size, 3))
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))


def main() -> None:
    """Draw the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="that takes a folder a class; not there yet")
    parser.add_argument("--images", type=int, default=6000, help="of all classes together")
    parser.add_argument("--size", type=int, default=64, help="in pixels")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.folder.exists():
        parser.error(f"{options.folder} is there already")
    # Under another name first: who looks for the folder meanwhile finds all pictures or none.
    unfinished = options.folder.with_name(f".{options.folder.name}.{os.getpid()}.partial")
    for name in SHAPES:
        (unfinished / name).mkdir(parents=True)
    for number in range(options.images):
        name = [*SHAPES][number % len(SHAPES)]
        rng = np.random.default_rng([options.seed, number])
        quality = int(rng.integers(60, 95))
        picture(name, options.size, rng).save(unfinished / name / f"{number:05}.jpg", quality=quality)
    try:
        unfinished.rename(options.folder)
    except OSError:
        shutil.rmtree(unfinished)
        if not options.folder.is_dir():
            raise
        print(f"{options.folder} was made by another command meanwhile, and is left as it is")


if __name__ == "__main__":
    main()
