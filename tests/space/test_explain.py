"""Explanations against brute force over a space that can be enumerated, and against scipy."""

from __future__ import annotations

import math

import pytest
from scipy.stats import binomtest

import nas
from nas.cost import Cost, Interval, constraints_from
from nas.space import explain as module
from nas.space.explain import Share, explain
from nas.space.explain_text import lines

LIMITS = {"params": [5e5, 1.2e6], "macs": 5e7}


@pytest.fixture(scope="module")
def space() -> nas.SearchSpace:
    return nas.load_space("nasbench_macro")


@pytest.fixture(scope="module")
def costs(space: nas.SearchSpace) -> list[Cost]:
    return [nas.cost_of(space.decode(genotype)) for genotype in space.enumerate()]


def _params(cost: Cost) -> bool:
    return 5e5 <= cost.params <= 1.2e6


def _macs(cost: Cost) -> bool:
    return cost.macs <= 5e7


def test_small_spaces_are_looked_at_in_full(space: nas.SearchSpace, costs: list[Cost]) -> None:
    found = explain(space, constraints_from(LIMITS))
    accepted = sum(_params(cost) and _macs(cost) for cost in costs)
    assert found.accepted == Share(accepted, 6561, exact=True)
    assert found.accepted.interval() == (accepted / 6561, accepted / 6561)
    params, macs = found.effects
    assert params.excluded.count == sum(not _params(cost) for cost in costs)
    assert params.alone.count == sum(not _params(cost) and _macs(cost) for cost in costs)
    assert macs.alone.count == sum(_params(cost) and not _macs(cost) for cost in costs)
    assert not found.infeasible
    assert found.nearest.cost is not None
    assert _params(found.nearest.cost)


def test_a_relaxed_bound_lets_a_tenth_through(space: nas.SearchSpace, costs: list[Cost]) -> None:
    for limits, low in (({"params": 4e5}, False), ({"macs": [1.6e8, None]}, True)):
        (effect,) = explain(space, constraints_from(limits)).effects
        assert effect.relaxed is not None
        assert effect.relaxed_low == low
        (metric,) = limits
        values = [getattr(cost, metric) for cost in costs]
        wanted = math.ceil(0.1 * len(values))
        let_through = sum(value >= effect.relaxed if low else value <= effect.relaxed for value in values)
        tighter = sum(value > effect.relaxed if low else value < effect.relaxed for value in values)
        assert tighter < wanted <= let_through


def test_no_relaxation_of_what_is_not_in_the_way(space: nas.SearchSpace) -> None:
    params, macs = explain(space, constraints_from({"params": 4e5, "macs": 1e9})).effects
    assert params.relaxed is not None
    assert macs.relaxed is None


def test_what_nothing_holds(space: nas.SearchSpace, costs: list[Cost]) -> None:
    found = explain(space, constraints_from({"params": 1000}))
    assert found.infeasible
    assert found.accepted.count == 0
    assert found.nearest.cost is not None
    assert found.nearest.cost.params == min(cost.params for cost in costs)


@pytest.mark.parametrize("found", [0, 1, 17, 399, 400])
def test_intervals_are_clopper_and_pearsons(found: int) -> None:
    for confidence in (0.9, 0.99):
        exact = binomtest(found, 400).proportion_ci(confidence, method="exact")
        assert Share(found, 400, exact=False).interval(confidence) == pytest.approx((exact.low, exact.high))


@pytest.mark.parametrize("limits", [LIMITS, {"params": 4.5e5}, {"macs": [2e7, 9e7], "peak_memory_mib": 0.6}])
def test_estimates_cover_the_true_share(
    limits: dict[str, object], space: nas.SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interval holds the share of the whole space in at least 99 of 100 samples, by its definition; of 100 samples,
    fewer than 95 would be a chance of less than one in a hundred; of 40, fewer than 38 as well."""
    true = explain(space, constraints_from(limits)).accepted.value
    monkeypatch.setattr(module, "_ENUMERATED", 0)
    monkeypatch.setattr(module, "_GUIDED", 0)
    covered = 0
    for seed in range(40):
        low, high = explain(space, constraints_from(limits), samples=300, seed=seed).accepted.interval()
        covered += low <= true <= high
    assert covered >= 38


def test_the_decision_that_matters_is_found() -> None:
    stage = {"block": "conv", "out_channels": {"choose": [8, 64]}, "kernel": 3}
    space = nas.SearchSpace.from_dict(
        {"stages": [stage], "head": {"block": "classifier", "dropout": {"choose": [0, 0.2]}}, "let": {}}
    )
    found = explain(space, constraints_from({"params": 1e9}))
    assert [(one.decision, round(one.explained, 6)) for one in found.weights] == [
        ("stages.0.out_channels", 1.0),
        ("head.0.dropout", 0.0),
    ]


def test_where_the_costs_are() -> None:
    space = nas.load_space("reference/vgg16")
    found = explain(space, constraints_from({"params": 1e9}))
    sections = {name: (params, macs) for name, params, macs in found.sections}
    assert sum(params for params, _ in sections.values()) == pytest.approx(1)
    assert sum(macs for _, macs in sections.values()) == pytest.approx(1)
    # 123,642,856 of its 138,357,544 parameters are in the three linear layers.
    assert sections["head"][0] == pytest.approx(123_642_856 / 138_357_544)


def _predicted(arch: nas.Architecture) -> Interval:
    """Milliseconds by multiply-adds, within 10 %; nothing of those whose parameters four divides."""
    cost = nas.cost_of(arch)
    ms = cost.macs / 1e5
    return Interval(ms, 0.0, math.inf) if cost.params % 4 == 0 else Interval(ms, ms / 1.1, ms * 1.1)


def test_latency_is_explained_by_what_is_predicted() -> None:
    space = _small()
    costs = [nas.cost_of(space.decode(genotype)) for genotype in space.enumerate()]
    known = [cost for cost in costs if cost.params % 4]
    bound = sorted(cost.macs / 1e5 for cost in known)[len(known) // 20]
    found = explain(space, constraints_from({"latency_ms": bound}), predict=_predicted)
    assert found.accepted.value == sum(cost.macs / 1e5 <= bound for cost in known) / len(costs)
    assert found.unsure.value == sum(cost.params % 4 == 0 for cost in costs) / len(costs)
    (effect,) = found.effects
    assert effect.excluded.value == sum(cost.macs / 1e5 > bound for cost in known) / len(costs)
    assert effect.relaxed is not None
    relaxed = explain(space, constraints_from({"latency_ms": effect.relaxed * (1 + 1e-9)}), predict=_predicted)
    assert 0.1 <= relaxed.accepted.value < 0.12
    assert not found.nearest.unsure
    assert "measures them" in "\n".join(lines(found))


def test_unknown_latency_is_no_acceptance() -> None:
    found = explain(_small(), constraints_from({"latency_ms": 1e-6}), predict=lambda _: Interval(1.0, 0.0, math.inf))
    assert found.accepted.value == 0
    assert found.unsure.value == 1
    assert found.nearest.unsure
    assert not found.infeasible


def _small() -> nas.SearchSpace:
    return nas.SearchSpace.from_dict(
        {
            "name": "small",
            "assume": {"channels": 1, "resolution": 16, "num_classes": 3},
            "stages": [
                {"block": "conv", "out_channels": {"choose": [3, 4, 6, 8, 9]}, "kernel": {"choose": [1, 3, 5]}},
                {"block": "conv", "depth": {"range": [1, 3]}, "out_channels": {"choose": [5, 8, 11, 16]}, "stride": 2},
            ],
            "head": {"block": "classifier"},
        }
    )
