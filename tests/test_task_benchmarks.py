"""What the benchmarks of tasks train on: whether labels are right, and splits as they are said to be."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter
from math import pi
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from scipy.spatial import ConvexHull

from benchmarks import labelled_shapes, tasks, uneven_fashion

# Both stay as they are where a shape is turned, slanted and squeezed. Area over that of the convex hull: 1 of convex
# shapes, 2.04 / 3.02 of a cross with arms .6 wide and 2 long, .5562 of a star with five points and inner radius .45.
# The first affine moment invariant (Flusser & Suk 1993), (mu20 mu02 - mu11^2) / mu00^4: 1 / (16 pi^2) of an ellipse,
# 1 / 144 of a parallelogram, 1 / 108 of a triangle.
SOLID = {"cross": 2.04 / 3.02, "star": 0.5562}
MOMENTS = {"circle": 1 / (16 * pi**2), "square": 1 / 144, "triangle": 1 / 108}


def _named(pixels: NDArray[np.bool_]) -> str:
    """Return what a white shape is, by its pixels alone."""
    points = np.argwhere(pixels).astype(float)
    corners = np.concatenate([points + shift for shift in ((0, 0), (0, 1), (1, 0), (1, 1))])
    solidity = len(points) / ConvexHull(corners).volume
    if solidity < 0.85:
        return min(SOLID, key=lambda name: abs(SOLID[name] - solidity))
    spread = np.cov(points.T, bias=True) + np.eye(2) / 12
    invariant = np.linalg.det(spread) / len(points) ** 2
    return min(MOMENTS, key=lambda name: abs(np.log(MOMENTS[name] / invariant)))


def test_the_labels_of_a_picture_are_what_its_pixels_show() -> None:
    told = Counter[str]()
    for number in range(60):
        shapes = labelled_shapes.scene(np.random.default_rng([0, number]))
        regions, count = ndimage.label(np.asarray(labelled_shapes.mask(shapes, 400)) > 0, np.ones((3, 3)))
        seen = {_named(regions == region) for region in range(1, count + 1)}
        assert count == len(shapes)
        assert labelled_shapes.labels(shapes) == "|".join(sorted(seen))
        told.update(seen or {"nothing"})
    assert min(told.values()) >= 5
    assert set(told) == {*SOLID, *MOMENTS, "nothing"}


def test_a_picture_is_lighter_where_its_table_says_that_something_is(tmp_path: Path) -> None:
    labelled_shapes.write(tmp_path, 5, size=32, seed=0)
    labelled_shapes.write(tmp_path / "more", 8, size=32, seed=0)
    with (tmp_path / "labels.csv").open() as file:
        rows = {row["file"]: row["label"] for row in csv.DictReader(file)}
    assert len(rows) == 5
    for number, (name, label) in enumerate(rows.items()):
        assert (tmp_path / name).read_bytes() == (tmp_path / "more" / name).read_bytes()
        shapes = labelled_shapes.scene(np.random.default_rng([0, number]))
        assert label == labelled_shapes.labels(shapes)
        levels = np.asarray(Image.open(tmp_path / name), float)
        inside = np.asarray(labelled_shapes.mask(shapes, 32)) > 0
        if shapes:
            assert levels[inside].mean() > levels[~inside].mean() + 20


def test_classes_are_100_to_1_and_no_image_is_in_two_splits(tmp_path: Path) -> None:
    assert uneven_fashion.sizes(2000) == [2000, 1199, 719, 431, 258, 155, 93, 56, 33, 20]
    labels = np.repeat(np.arange(10, dtype=np.uint8), 3100)
    train, val = uneven_fashion.split(labels, seed=0)
    assert sorted(np.bincount(labels[train]), reverse=True) == uneven_fashion.sizes(2000)
    assert sorted(np.bincount(labels[val]), reverse=True) == uneven_fashion.sizes(1000)
    assert np.bincount(labels[train]).argmax() == np.bincount(labels[val]).argmax()
    assert len({*train, *val}) == len(train) + len(val)
    assert (np.bincount(labels[train]) != np.bincount(labels[uneven_fashion.split(labels, seed=1)[0]])).any()


def test_the_arrays_are_the_images_of_the_files_by_their_labels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = {
        "train": rng.permutation(np.repeat(np.arange(10, dtype=np.uint8), 3000)),
        "t10k": np.arange(10, dtype=np.uint8),
    }
    for which, own in labels.items():
        images = np.zeros((len(own), 28, 28), np.uint8)
        images[:, 0, 0], images[:, 27, 27] = own, 255 - own  # each image says its class
        head = b"".join(number.to_bytes(4, "big") for number in (2051, len(own), 28, 28))
        (tmp_path / f"{which}-images-idx3-ubyte.gz").write_bytes(gzip.compress(head + images.tobytes(), 1))
        head = b"".join(number.to_bytes(4, "big") for number in (2049, len(own)))
        (tmp_path / f"{which}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(head + own.tobytes(), 1))
    uneven_fashion.write(tmp_path / "made" / "uneven.npz", 0, tmp_path)
    made = np.load(tmp_path / "made" / "uneven.npz")
    for split in ("train", "val", "test"):
        assert (made[f"x_{split}"][:, 0, 0] == made[f"y_{split}"]).all()
        assert (made[f"x_{split}"][:, 27, 27] == 255 - made[f"y_{split}"]).all()
    assert [len(made[f"y_{split}"]) for split in ("train", "val", "test")] == [4964, 2480, 10]


def test_a_table_has_means_and_paired_differences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = ([0.90, 0.92, 0.94], [0.89, 0.90, 0.94])

    def network(scores: list[float]) -> dict[str, object]:
        seeds = {str(seed): {"val_mean_iou": 0.5, "test_mean_iou": score} for seed, score in enumerate(scores)}
        return {"params": 1234, "macs": 56789, "search": {"trained": 7}, "seeds": seeds}

    record = {
        "date": "2026-12-01",
        "machine": "M",
        "networks": {"cells_winner": network(first), "cells_unet": network(second)},
    }
    (tmp_path / "cells.json").write_text(json.dumps(record))
    monkeypatch.setattr(tasks, "RECORDS", tmp_path)
    lines = [*tasks._table("cells")]
    # t(.975, 2) = 4.3027 times .02 / sqrt(3), and times .01 / sqrt(3).
    assert "| winner | 1,234 | 56,789 | 7 | 50.00 (nan to nan) | 92.00 (87.03 to 96.97) |" in lines
    assert any(line.endswith("| +1.00 (-1.48 to +3.48) |") for line in lines)
    assert [*tasks._table("labels")] == []
