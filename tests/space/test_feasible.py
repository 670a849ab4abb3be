"""Guided sampling: candidates that hold limits which random ones hardly ever do."""

from __future__ import annotations

import random

import pytest

import nas
from nas.cost import BATCH_OF_ONE, Constraint, constraints_from
from nas.space.feasible import examine, feasible


def test_a_hundred_where_one_in_ten_thousand_is_feasible() -> None:
    space = nas.load_space("mbconv")
    rng = random.Random(0)
    drawn = sorted(nas.cost_of(space.decode(space.sample(rng))).params for _ in range(10_000))
    limits = constraints_from({"params": drawn[0]})
    found = [feasible(space, limits, rng)[0] for _ in range(100)]
    assert all(one.accepted and one.cost is not None and one.cost.params <= drawn[0] for one in found)
    assert len({one.architecture.arch_id for one in found}) > 90


def test_limits_from_both_sides() -> None:
    space = nas.load_space("mbconv")
    limits = constraints_from({"params": [180_000, 185_000], "macs": [None, 8e6], "receptive_field": [60, 120]})
    candidate, looked = feasible(space, limits, random.Random(1))
    assert candidate.accepted
    assert looked < 20_000
    cost = nas.cost_of(space.decode(candidate.genotype))
    assert 180_000 <= cost.params <= 185_000
    assert cost.macs <= 8e6
    assert cost.receptive_field is not None
    assert 60 <= cost.receptive_field <= 120


@pytest.mark.parametrize("name", ["nasbench_macro", "reference/resnet18"])
def test_what_nothing_holds_ends_with_the_nearest(name: str) -> None:
    space = nas.load_space(name)
    candidate, looked = feasible(space, constraints_from({"params": 1000}), random.Random(0), most=500)
    assert not candidate.accepted
    assert looked >= 500
    assert "is over 1,000" in candidate.problem


def test_it_begins_where_it_is_told() -> None:
    space = nas.load_space("mbconv")
    limits = constraints_from({"params": 5e5})
    start = next(
        candidate
        for candidate in (examine(space, space.sample(seed), limits) for seed in range(100))
        if 0 < candidate.distance < 0.1
    )
    found, _ = feasible(space, limits, random.Random(0), start=start)
    assert found.accepted
    changed = [path for path in start.genotype if found.genotype.get(path) != start.genotype[path]]
    assert 1 <= len(changed) <= 6


def test_soft_limits_and_latency_do_not_reject() -> None:
    space = nas.load_space("mbconv")
    limits = (Constraint("params", high=1, soft=True), Constraint("latency_ms", high=0.001))
    candidate = examine(space, space.sample(0), limits, BATCH_OF_ONE)
    assert candidate.accepted
    assert [one.metric for one in candidate.violations] == ["params"]
    assert candidate.violations[0].excess > 0


def test_what_is_no_network_is_farthest() -> None:
    space = nas.SearchSpace.from_dict(
        {
            "stem": {"block": "conv", "out_channels": 16},
            "stages": [{"block": "conv", "out_channels": {"choose": [16, 18]}, "groups": {"choose": [1, 4]}}],
            "head": {"block": "classifier"},
        }
    )
    candidate = examine(space, {"stages.0.out_channels": 18, "stages.0.groups": 4}, ())
    assert not candidate.accepted
    assert candidate.distance == float("inf")
    assert "groups must divide" in candidate.problem
    assert all(feasible(space, (), random.Random(seed))[0].accepted for seed in range(10))
