"""The JSON Schema against the spaces that come with nas and against mistakes."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
import yaml

import nas
from nas.network.registry import block_names
from nas.resources import resource_dir
from nas.space.language.schema import space_schema

VALIDATOR = jsonschema.Draft202012Validator(space_schema())


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(space_schema())


@pytest.mark.parametrize("name", nas.space_names())
def test_every_space_follows_the_schema(name: str) -> None:
    VALIDATOR.validate(yaml.safe_load((resource_dir("search_spaces") / f"{name}.yaml").read_text()))


def test_every_block_is_in_it() -> None:
    assert {f"setting_{name}" for name in block_names()} <= set(space_schema()["$defs"])


GOOD: dict[str, Any] = {"stages": [{"block": "conv", "out_channels": 8}], "head": {"block": "classifier"}}


@pytest.mark.parametrize(
    "change",
    [
        {"stages": []},
        {"stages": [{"block": "conv", "out_channels": 8, "kernels": 3}]},
        {"stages": [{"block": "conv", "out_channels": "wide"}]},
        {"stages": [{"block": "convolution", "out_channels": 8}]},
        {"stages": [{"block": "conv", "out_channels": {"choose": []}}]},
        {"stages": [{"block": "conv", "out_channels": {"range": [4, 8], "step": 0}}]},
        {"stages": [{"block": "conv", "out_channels": {"range": [4, 8], "factor": 1}}]},
        {"stage": []},
        {"limits": {"parameters": 5}},
        {"assume": {"channels": 0}},
    ],
    ids=str,
)
def test_mistakes_do_not(change: dict[str, Any]) -> None:
    assert VALIDATOR.is_valid(GOOD)
    assert not VALIDATOR.is_valid({**GOOD, **change})


@pytest.mark.parametrize(
    "change",
    [
        {"stages": [{"block": "conv", "out_channels": {"choose": [8]}}]},
        {"stages": [{"block": "conv", "out_channels": {"range": [7, 8]}}]},
        {"stages": [{"block": "conv", "out_channels": {"range": [7, 8], "step": 1}}]},
        {"stages": [{"block": "conv", "out_channels": {"range": [4, 8], "factor": 2}}]},
        {"stages": [{"block": {"choose": ["conv"]}, "out_channels": 8}]},
        {"stages": [{"choose": {"only": {"block": "conv", "out_channels": 8}}}]},
        {"stages": [{"block": "conv", "out_channels": 8, "depth": 0}, {"block": "conv", "out_channels": 8}]},
        {"stages": [{"block": "parallel", "branches": [{"block": "conv", "out_channels": 8}]}]},
        {"stages": [{"block": "parallel", "branches": {"count": 1, "each": {"block": "conv", "out_channels": 8}}}]},
        {"assume": {"channels": 1, "resolution": 1, "num_classes": 1, "dims": 1}},
        {"limits": {"params": [None, 1e6]}},
    ],
    ids=str,
)
def test_the_least_that_is_read_does(change: dict[str, Any]) -> None:
    nas.SearchSpace.from_dict({**GOOD, **change})
    VALIDATOR.validate({**GOOD, **change})
