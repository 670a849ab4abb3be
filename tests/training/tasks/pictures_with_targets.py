"""Folders of small pictures with a table of what each is to be told as: one a task, which networks can learn."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nas.training.data.config import DataConfig

SIDE = 8
NAMES = ("blue", "green", "red")


def _picture(rng: np.random.Generator) -> NDArray[np.uint8]:
    return rng.integers(0, 40, (SIDE, SIDE, 3)).astype(np.uint8)


def _one_class(rng: np.random.Generator) -> tuple[NDArray[np.uint8], list[object]]:
    picture, place = _picture(rng), int(rng.integers(3))
    picture[:, :, 2 - place] += 150
    return picture, [NAMES[place]]


def _several_classes(rng: np.random.Generator) -> tuple[NDArray[np.uint8], list[object]]:
    picture, has = _picture(rng), rng.random(3) < (0.25, 0.4, 0.6)
    for place in np.flatnonzero(has):
        picture[2 * place : 2 * place + 3, :, 2 - place] += 150
    return picture, ["|".join(name for name, yes in zip(NAMES, has, strict=True) if yes)]


def _numbers(rng: np.random.Generator) -> tuple[NDArray[np.uint8], list[object]]:
    picture, light, right = _picture(rng), int(rng.integers(120)), int(rng.integers(90))
    picture[:, :4] += np.uint8(light)
    picture[:, 4:] += np.uint8(right)
    return picture, [1000 + 3 * light, -right / 50]


_DRAW: Mapping[str, tuple[list[str], Callable[[np.random.Generator], tuple[NDArray[np.uint8], list[object]]]]] = {
    "classification": (["label"], _one_class),
    "multilabel": (["label"], _several_classes),
    "regression": (["age", "depth"], _numbers),
}
"""By task the columns of the table, and what draws a picture with them."""


def _write_masks(root: Path, images: int) -> None:
    """Write pictures with a mask each: squares of two colours on a background, with two pixels that are ignored."""
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for number in range(images):
        picture, mask = _picture(rng), np.zeros((SIDE, SIDE), dtype=np.uint8)
        for place in np.flatnonzero(rng.random(2) < 0.7) + 1:
            row, column = rng.integers(0, SIDE - 3, 2)
            picture[row : row + 3, column : column + 3] = 0
            picture[row : row + 3, column : column + 3, place] = 200
            mask[row : row + 3, column : column + 3] = place
        mask[0, :2] = 255
        Image.fromarray(picture).save(root / "images" / f"{number}.png")
        Image.fromarray(mask).save(root / "masks" / f"{number}.png")
    (root / "classes.txt").write_text("\n".join(NAMES) + "\n")


def folder_for(task: str, root: Path, *, images: int = 160) -> DataConfig:
    """Write a folder for a task, and return the settings that read it."""
    if task == "segmentation":
        _write_masks(root, images)
        return DataConfig(name="mask_folder", root=str(root))
    rng, (columns, draw) = np.random.default_rng(0), _DRAW[task]
    root.mkdir(parents=True)
    with open(root / "labels.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", *columns])
        for number in range(images):
            picture, targets = draw(rng)
            Image.fromarray(picture).save(root / f"{number}.png")
            rows.writerow([f"{number}.png", *targets])
    target = "|".join(columns) if task == "regression" else None
    return DataConfig(name="image_folder", root=str(root), labels="labels.csv", target=target)
