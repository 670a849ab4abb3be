"""Made-up pictures of cells with a class for each pixel, for trying segmentation out. Never loads torch before they are
made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.errors import DataError
from nas.training.data.data_set import DataSet
from nas.training.tasks.segmentation import SEGMENTATION

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nas.training.data.config import DataConfig
    from nas.training.data.splits import Splits

    Grid = NDArray[np.float64]
    Mask = NDArray[np.uint8]

CLASSES = ("background", "round", "long")
"""Long cells are ellipses more than twice as long as wide; of round ones both axes are nearly alike. Both are as large
and as bright, so that a class is told by a shape and not by a level."""
_RESOLUTION = 48
"""Where `data.resolution` says nothing."""
_LEAST = 16
"""Pixels of a side, below which no cell can be told from another."""
_CELLS = (3, 8)
"""In a picture, the least and the most."""


def _shape(config: DataConfig) -> tuple[tuple[int, ...], int]:
    size = config.resolution or _RESOLUTION
    return (config.channels, size, size), len(CLASSES)


def load_cells(config: DataConfig) -> Splits:
    """Make `data.samples` pictures from `data.split_seed`, whatever their number the same ones first.

    Overlapping ellipses of two classes with a rim, lit unevenly, on a background with dust that is no cell, blurred,
    and with noise.

    Raises:
        DataError: another number of classes than three, or sides of fewer than 16 pixels.
    """
    import numpy as np
    import torch

    from nas.training.data.content import TRAIN
    from nas.training.data.split_by_content import split_images
    from nas.training.data.splits import MemoryImages

    (channels, size, _), _ = _shape(config)
    if size < _LEAST:
        raise DataError(f"data cells: data.resolution must be >= {_LEAST}, but got {size}")
    made = [picture(np.random.default_rng((config.split_seed, number)), size) for number in range(config.samples)]
    levels, masks = (torch.from_numpy(np.stack(parts)) for parts in zip(*made, strict=True))
    images = MemoryImages(levels[:, None].repeat(1, channels, 1, 1), masks)
    return split_images(config, CLASSES, {TRAIN: images}, task=SEGMENTATION)


def picture(rng: np.random.Generator, size: int) -> tuple[Mask, Mask]:
    """Return a picture and the class of each of its pixels, both uint8 of `(size, size)`."""
    import numpy as np

    rows, columns = np.mgrid[0:size, 0:size] + 0.5
    mask = np.zeros((size, size), dtype=np.uint8)
    levels = _background(rng, rows, columns, size)
    for _ in range(int(rng.integers(*_CELLS, endpoint=True))):
        kind = int(rng.integers(1, len(CLASSES)))
        distance = _ellipse(rng, kind, rows, columns, size)
        inside, bright = distance < 1, rng.uniform(-0.1, 0.35)
        cell = 0.45 + bright + 0.15 * np.exp(-(((distance - 0.9) / 0.12) ** 2)) - 0.1 * (distance < 0.4)
        levels = np.where(inside, cell, levels)
        mask[inside] = kind
    light = 1 + rng.uniform(-0.4, 0.4) * (rows / size - 0.5) + rng.uniform(-0.4, 0.4) * (columns / size - 0.5)
    noisy = _blurred(levels * light) + rng.normal(0, 0.07, levels.shape)
    return (255 * np.clip(noisy, 0, 1)).round().astype(np.uint8), mask


def _ellipse(rng: np.random.Generator, kind: int, rows: Grid, columns: Grid, size: int) -> Grid:
    """Return how far each pixel is from the centre of a random ellipse, in units of its radius there."""
    import numpy as np

    # Of one area whatever its shape is.
    ratio = rng.uniform(1, 1.25) if kind == 1 else rng.uniform(2.2, 3.2)
    radius = size * rng.uniform(0.09, 0.15)
    turn, (row, column) = rng.uniform(0, np.pi), rng.uniform(0, size, 2)
    along = (columns - column) * np.cos(turn) + (rows - row) * np.sin(turn)
    across = (rows - row) * np.cos(turn) - (columns - column) * np.sin(turn)
    distance: Grid = np.hypot(along / (radius * np.sqrt(ratio)), across / (radius / np.sqrt(ratio)))
    return distance


def _background(rng: np.random.Generator, rows: Grid, columns: Grid, size: int) -> Grid:
    """Return a background of slow waves with specks and lines of dust, as bright as cells."""
    import numpy as np

    waves = 0.3 + 0.08 * np.sin(
        rng.uniform(0, 6) + rows / size * rng.uniform(2, 8) + columns / size * rng.uniform(2, 8)
    )
    for _ in range(int(rng.integers(2, 7))):
        row, column = rng.uniform(0, size, 2)
        speck = np.hypot(rows - row, columns - column) < size * rng.uniform(0.01, 0.035)
        waves = np.where(speck, rng.uniform(0.4, 0.9), waves)
    for _ in range(int(rng.integers(1, 4))):
        turn, offset = rng.uniform(0, np.pi), rng.uniform(0.2, 0.8) * size
        line = np.abs(rows * np.cos(turn) + columns * np.sin(turn) - offset) < size * 0.012
        waves = np.where(line, rng.uniform(0.4, 0.8), waves)
    found: Grid = waves
    return found


def _blurred(levels: Grid) -> Grid:
    """Return levels smoothed by 1 2 1 over rows and columns, with their edges repeated."""
    import numpy as np

    wide = np.pad(levels, 1, mode="edge")
    rows = (wide[:-2] + 2 * wide[1:-1] + wide[2:]) / 4
    found: Grid = (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 4
    return found


CELLS = DataSet(
    load=load_cells, has_files=False, shape=_shape, task=lambda config: SEGMENTATION, resizes=True, mirrors=True
)
