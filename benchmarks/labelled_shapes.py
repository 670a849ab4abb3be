"""Draws a folder of pictures that show several things each, for trying multi-label tasks out on.

    python -m benchmarks.labelled_shapes FOLDER [--images 2000] [--size 24] [--seed 0]

Grey pictures FOLDER/NUMBER.png of none to three shapes side by side, and FOLDER/labels.csv, which names what each
shows, as `circle|star`, or nothing. A shape has any turn and slant, and may be there twice; it is lighter than the
mottled background; the picture has the noise of a camera. The same seed gives the same pictures, whatever their number
the same ones first.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.rendered_shapes import SHAPES, Points, mottled, turned

CLASSES = ("circle", "cross", "square", "star", "triangle")
TABLE = "labels.csv"
_MOST = 3
_LARGER = 4
"""Times the size that pictures are drawn at, so that edges are smooth."""
_RADIUS = (0.12, 0.18)
_APART = 1.25
"""Times the sum of two radii that shapes are apart at least: a slant makes a shape longer by up to an eighth."""
_TRIES = 200
_LEVELS, _NOISE = (130, 256), 10.0


@dataclass(frozen=True)
class Drawn:
    """A shape of a picture."""

    name: str
    corners: Points
    """`(n, 2)`, of a picture whose sides are 1."""


def scene(rng: np.random.Generator) -> list[Drawn]:
    """Draw what a picture shows: none to three shapes that do not touch.

    Args:
        rng: draws all that is left to chance.
    """
    found: list[Drawn] = []
    places: list[tuple[Points, float]] = []
    for _ in range(int(rng.integers(0, _MOST, endpoint=True))):
        name = CLASSES[int(rng.integers(len(CLASSES)))]
        for _ in range(_TRIES):
            radius = float(rng.uniform(*_RADIUS))
            centre = rng.uniform(_APART * radius, 1 - _APART * radius, 2)
            if all(np.linalg.norm(centre - other) > _APART * (radius + its) for other, its in places):
                places.append((centre, radius))
                found.append(Drawn(name, centre + turned(SHAPES[name], rng) * radius))
                break
    return found


def labels(shapes: Sequence[Drawn]) -> str:
    """Return the cell of the table: the classes that are shown, each once, in their order, with `|` between."""
    return "|".join(sorted({shape.name for shape in shapes}))


def mask(shapes: Sequence[Drawn], size: int) -> Image.Image:
    """Return the shapes in white on black, grey of `size` pixels each way."""
    image = Image.new("L", (size, size))
    draw = ImageDraw.Draw(image)
    for shape in shapes:
        draw.polygon([(float(x), float(y)) for x, y in size * shape.corners], fill=255)
    return image


def picture(shapes: Sequence[Drawn], size: int, rng: np.random.Generator) -> Image.Image:
    """Return a picture of shapes, grey of `size` pixels each way.

    Args:
        shapes: what it shows.
        size: in pixels.
        rng: draws background, levels and noise.
    """
    large = _LARGER * size
    image = mottled(large, rng).convert("L")
    for shape in shapes:
        image.paste(int(rng.integers(*_LEVELS)), mask=mask([shape], large))
    small = np.asarray(image.resize((size, size), Image.Resampling.BOX), float)
    return Image.fromarray(np.clip(small + rng.normal(0, _NOISE, small.shape), 0, 255).astype(np.uint8))


def write(folder: Path, images: int, size: int, seed: int) -> None:
    """Draw the pictures and their table, which is written last; what is there of an earlier call is written anew."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [("file", "label")]
    for number in range(images):
        rng = np.random.default_rng([seed, number])
        shapes = scene(rng)
        name = f"{number:05}.png"
        picture(shapes, size, rng).save(folder / name)
        rows.append((name, labels(shapes)))
    with (folder / TABLE).open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def main() -> None:
    """Draw the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="that takes the pictures and their table; not there yet")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--size", type=int, default=24, help="in pixels")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.folder.exists():
        parser.error(f"{options.folder} is there already")
    write(options.folder, options.images, options.size, options.seed)


if __name__ == "__main__":
    main()
