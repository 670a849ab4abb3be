"""The table of published accuracies, against what the papers and the reference numbers say."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from nas.advise.networks import candidates
from nas.advise.published import IMAGENET, OTHER_TASKS, SMALL_IMAGES, SPACES, Published
from nas.advise.request import Request
from nas.space import load_space, space_names

# Column paper_top1 of the reference numbers that the project was given, where it has one figure for the network.
PAPER = {
    "resnet18": 69.8,
    "resnet34": 73.3,
    "googlenet": 69.8,
    "densenet121": 74.98,
    "densenet169": 76.2,
    "densenet201": 77.42,
    "mobilenet_v1 --let width=0.25": 50.6,
    "mobilenet_v1 --let width=0.5": 63.7,
    "mobilenet_v1 --let width=0.75": 68.4,
    "mobilenet_v1": 70.6,
    "mobilenet_v2": 72.0,
    "mobilenet_v2 --let width=1.4": 74.7,
    "mobilenet_v3_small": 67.4,
    "mobilenet_v3_large": 75.2,
    "squeezenet1_0": 57.5,
    "efficientnet_b0": 77.1,
    "efficientnet_b1": 79.1,
    "efficientnet_b2": 80.1,
    "efficientnet_b3": 81.6,
    "efficientnet_b4": 82.9,
    "efficientnet_b5": 83.6,
    "efficientnet_b6": 84.0,
    "efficientnet_b7": 84.3,
}
# Where it gives several, for other crops or trainings.
PAPER_BETWEEN = {
    "resnet50": (75.3, 77.1),
    "resnet152": (77.0, 78.6),
    "inception_v3": (77.5, 78.8),
    "vgg16": (71.5, 74.4),
}

ROWS = list(csv.DictReader((Path(__file__).parents[1] / "data" / "reference_networks.csv").open()))


def test_accuracies_are_those_of_the_papers() -> None:
    table = {one.name.removeprefix("reference/"): one.top1 or 0 for one in IMAGENET}
    assert {name: table[name] for name in PAPER} == PAPER
    for name, (low, high) in PAPER_BETWEEN.items():
        assert low <= table[name] <= high
    assert len(table) == len(IMAGENET)
    assert all(50 < one < 85 for one in table.values())


def test_every_entry_has_a_space_and_a_source() -> None:
    names = space_names()
    every = [*IMAGENET, *SMALL_IMAGES, *(one for table in OTHER_TASKS.values() for one in table)]
    for one in every:
        assert f"reference/{one.space}" in names
        assert one.source
        load_space(f"reference/{one.space}", **dict(one.let))
    assert set(SPACES.values()) <= set(names)
    assert set(SPACES) <= {one.family for one in IMAGENET}


def _row(one: Published) -> dict[str, str] | None:
    for row in ROWS:
        let = {name: value for name, value in json.loads(row["let"] or "{}").items() if value != 1.0}
        size = int(row["input"].rpartition("x")[2])
        if row["space"] == f"reference/{one.space}" and let == dict(one.let) and size == one.resolution:
            return row
    return None


@pytest.mark.parametrize("task", ["classification", *OTHER_TASKS])
def test_costs_are_the_reference_numbers(task: str) -> None:
    """Counted at the published input, every network has the parameters and multiply-adds of the reference table."""
    found, refused = candidates(Request(task=task, images=2_000_000))
    assert not refused
    assert len(found) == len(OTHER_TASKS.get(task, IMAGENET))
    for one in found:
        if one.published.space == "convnext_tiny":  # not in the table; torchvision's page gives both
            assert (one.cost.params, round(one.cost.macs / 1e9, 2)) == (28_589_128, 4.46)
            continue
        row = _row(one.published)
        assert row is not None, one.name
        macs = int(row["macs_conv_linear"]) + int(row["macs_attention_matmul"])
        assert (one.cost.params, one.cost.macs, one.published_macs) == (int(row["params"]), macs, macs), one.name
