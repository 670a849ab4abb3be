"""`nas.predict`: files and arrays through the same code, against the network itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import nas
from nas.errors import ConfigError, DataError
from tests.exporting.conftest import Trained


@pytest.fixture(scope="module")
def levels(trained: Trained) -> list[np.ndarray[Any, Any]]:
    """The first validation images, `(8, 8, 1)` each."""
    return [*trained.data.val.read(torch.arange(7)).permute(0, 2, 3, 1).numpy()]


def test_files_and_arrays_show_the_same(
    trained: Trained, exported: Path, levels: list[np.ndarray[Any, Any]], tmp_path: Path
) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(7)]
    for path, one in zip(paths, levels, strict=True):
        Image.fromarray(one[:, :, 0]).save(path)
    expected = trained.logits()[:7].softmax(1).numpy()
    found = nas.predict(exported, [*paths, *levels], top=10, batch=3, threads=1)
    assert [one.image for one in found] == [*map(str, paths), *map(str, range(7, 14))]
    shares = np.array([[dict(one.top)[str(digit)] for digit in range(10)] for one in found])
    np.testing.assert_allclose(shares, np.concatenate([expected, expected]), atol=1e-5)
    assert found[0].top[0][0] == str(expected[0].argmax())
    assert nas.predict(str(exported / "model.onnx"), iter(paths[:2]), top=1) == [
        type(one)(one.image, one.top[:1]) for one in nas.predict(exported, paths[:2])
    ]


def test_colours_and_sizes_are_brought_to_those_of_training(exported: Path, tmp_path: Path) -> None:
    """As those of a file are."""
    colours = np.random.default_rng(0).integers(0, 256, (30, 21, 4), dtype=np.uint8)
    colours[:, :, 3] = 255
    Image.fromarray(colours).save(tmp_path / "a.png")
    file, clear, solid = nas.predict(exported, [str(tmp_path / "a.png"), colours, colours[:, :, :3]])
    assert file.top == clear.top == solid.top


def test_files_that_cannot_be_read_are_told_in_their_place(exported: Path, levels: list[Any], tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    first, second, third = nas.predict(exported, [levels[0], tmp_path / "text.jpg", tmp_path / "gone.png"])
    assert first.error == ""
    assert second.top == ()
    assert "no format that is read" in second.error
    assert "No such file" in third.error
    assert nas.predict(exported, []) == []


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"pictures": "a.png"}, ConfigError, r"several paths or arrays, as in \[one\], but got 'a.png'"),
        ({"pictures": np.zeros((3, 3, 3), dtype=np.uint8)}, ConfigError, "several paths or arrays"),
        ({"pictures": 7}, ConfigError, "but got 7"),
        ({"pictures": [7]}, ConfigError, "picture 0 must be a path or an array, but got 7"),
        ({"pictures": [np.zeros((3, 3, 3))]}, DataError, r"picture 0 must be 8-bit .* is float64 of \(3, 3, 3\)"),
        ({"pictures": [np.zeros((3, 3), np.uint8)]}, DataError, r"uint8 of \(3, 3\)"),
        ({"pictures": [np.zeros((3, 3, 2), np.uint8)]}, DataError, "1, 3 or 4 channels"),
        ({"pictures": [np.zeros((0, 3, 3), np.uint8)]}, DataError, "but is uint8"),
        ({"top": 0}, ConfigError, "predict: top must be >= 1, but got 0"),
        ({"batch": 1.5}, ConfigError, "predict: batch must be a whole number"),
        ({"threads": -1}, ConfigError, "predict: threads must be >= 0"),
        ({"model": None}, ConfigError, "predict: model must be the path"),
        ({"model": "gone"}, ConfigError, "gone has no model.onnx; nas export RUN"),
    ],
)
def test_what_is_wrong_is_said(exported: Path, given: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        nas.predict(**{"model": exported, "pictures": [], **given})
