"""What is done to a picture: against torch, and against what training does."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch.nn import functional as F

from nas.errors import DataError
from nas.exporting.preprocess import Preprocess, resize_matrix
from nas.training.data.batches import Batches
from tests.exporting.conftest import Trained

KNOWN: dict[str, Any] = {"shape": (3, 8, 6), "mean": (0.1, 0.2, 0.3), "std": (1.0, 0.5, 0.25), "classes": ("a", "b")}


@given(st.integers(1, 40), st.integers(1, 40))
@example(40, 37)
def test_the_matrix_resizes_as_torch_does(before: int, after: int) -> None:
    row = torch.randn(1, 1, 1, before, generator=torch.Generator().manual_seed(before))
    # In 32 bits torch's own weights are off by 1e-5.
    expected = F.interpolate(row.double(), (1, after), mode="bilinear", antialias=True)
    np.testing.assert_allclose(row[0, 0].numpy() @ resize_matrix(before, after), expected[0, 0].numpy(), atol=2e-6)


def test_halving_is_the_triangle_of_pillow() -> None:
    """Distances of .5 and 1.5 old pixels under a triangle of half width 2: weights 3/4 and 1/4, together 2."""
    np.testing.assert_allclose(resize_matrix(6, 3)[:, 1], [0, 0.125, 0.375, 0.375, 0.125, 0], atol=1e-7)


def test_the_input_is_that_of_training(trained: Trained) -> None:
    inputs, _ = next(iter(Batches(trained.data.val, trained.data, 20, trained.architecture.input_shape)))
    pixels = trained.data.val.read(torch.arange(20)).permute(0, 2, 3, 1).numpy()
    assert trained.preprocess.size == (12, 12) != trained.preprocess.shape[1:]
    np.testing.assert_allclose(trained.preprocess.network_input(pixels), inputs.numpy(), atol=1e-5)


def test_plain_values_are_read_back() -> None:
    for size in (None, (4, 5)):
        preprocess = Preprocess(**KNOWN, network_size=size)
        assert Preprocess.from_dict(json.loads(json.dumps(preprocess.to_dict()))) == preprocess


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"shape": [3, 8]}, r"preprocess.shape must be channels, height and width, but got \(3, 8\)"),
        ({"shape": [2, 8, 8]}, "shape must be 1 or 3 channels"),
        ({"shape": [3, 8, 0]}, "shape must be 3 sizes > 0"),
        ({"shape": [3, 8, True]}, "shape must be a list of whole numbers"),
        ({"mean": [0.1]}, "mean must be a number for each channel"),
        ({"mean": "abc"}, "mean must be a list of numbers, but got 'abc'"),
        ({"mean": [0.1, 0.2, float("nan")]}, "mean must be a number for each channel"),
        ({"std": [1, 1, 0]}, "std must be a number > 0"),
        ({"classes": []}, "classes must be a name for each output"),
        ({"classes": [1, 2]}, "classes must be a list of names"),
        ({"network_size": [4]}, "network_size must be height and width"),
        ({"resize": "stretch"}, "resize must be one of cover_crop, pad, squash, but got 'stretch'"),
        ({"size": 3}, "preprocess must have shape, mean, std, classes of .*, but got .*'size'"),
    ],
)
def test_what_is_no_preprocessing_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Preprocess.from_dict({**Preprocess(**KNOWN).to_dict(), **changed})
    with pytest.raises(DataError, match="preprocess must have"):
        Preprocess.from_dict([1])
