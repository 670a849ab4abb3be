"""A small space and evaluators that need no training."""

from __future__ import annotations

from typing import Any

import pytest

import nas
from nas.search.samplers import sampler_names

SAMPLERS = [pytest.param(name, marks=pytest.mark.slow) if name == "gp" else name for name in sampler_names()]
"""Every sampler; Optuna's Gaussian process takes a second a proposal."""

SMALL: dict[str, Any] = {
    "name": "small",
    "assume": {"channels": 1, "resolution": 16, "num_classes": 4},
    "stem": {"block": "conv", "out_channels": {"choose": [4, 8, 16]}, "stride": 2},
    "stages": [
        {
            "block": {"choose": ["mbconv", "residual_basic"]},
            "depth": {"range": [0, 2]},
            "out_channels": {"choose": [8, 16, 32]},
            "kernel": {"choose": [3, 5], "per": "block"},
        },
        {"block": "mbconv", "out_channels": {"choose": [16, 32, 64]}, "expand_ratio": {"choose": [1, 2, 4]}},
    ],
    "head": {"block": "classifier"},
}


@pytest.fixture
def space() -> nas.SearchSpace:
    return nas.SearchSpace.from_dict(SMALL)
