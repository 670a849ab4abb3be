"""Limits at the ends of what a number can be, and excess worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from nas.cost import SEARCH_METRICS, Constraint, Cost, check, constraints_from
from nas.errors import ConfigError

# value, low, high; then the bound that is nearest and the signed distance over it, as a share of the bound.
EXCESS = [
    (75, -math.inf, 100, 100, -0.25),
    (125, -math.inf, 100, 100, 0.25),
    (100, -math.inf, 100, 100, 0.0),
    (75, 50, math.inf, 50, -0.5),
    (25, 50, math.inf, 50, 0.5),
    (50, 50, math.inf, 50, 0.0),
    # Between two bounds the nearer one, as a share of itself: (90-200)/200 = -0.55 and (80-90)/80 = -0.125.
    (90, 80, 200, 80, -0.125),
    (190, 80, 200, 200, -0.05),
    (100, 100, 100, 100, 0.0),
    (101, 100, 100, 100, 0.01),
    (99, 100, 100, 100, 0.01),
]


@pytest.mark.parametrize(("value", "low", "high", "bound", "excess"), EXCESS)
def test_excess_by_hand(value: int, low: float, high: float, bound: float, excess: float) -> None:
    (violation,) = check(Cost(params=value), [Constraint("params", low, high)])
    assert (violation.metric, violation.value, violation.bound) == ("params", value, bound)
    assert violation.excess == pytest.approx(excess)


def test_nothing_may_be_over_zero() -> None:
    """A share of zero is not defined; the sign still is."""
    (none,) = check(Cost(params=0), [Constraint("params", high=0)])
    (one,) = check(Cost(params=1), [Constraint("params", high=0)])
    assert none.excess <= 0 < one.excess < math.inf


def test_size_is_limited_in_mib() -> None:
    """3 MiB are 3 * 1024 * 1024 bytes."""
    cost = Cost(size_bytes=3 * 1024 * 1024)
    assert [v.excess for v in check(cost, constraints_from({"size_mib": 3}))] == [0.0]
    assert [v.excess for v in check(cost, constraints_from({"size_mib": 2}))] == [0.5]


def test_every_constraint_is_measured_in_order() -> None:
    limits = constraints_from({"macs": 10, "params": [5, 8], "activations": None})
    found = check(Cost(params=4, macs=15), limits)
    assert [v.metric for v in found] == ["macs", "params"]
    assert [v.excess for v in found] == pytest.approx([0.5, 0.2])
    assert [str(v) for v in found] == ["macs 15 is over 10", "params 4 is under 5"]


@pytest.mark.parametrize("open_", [None, math.inf, [None, None], [None, math.inf], [-math.inf, math.inf]])
def test_open_limits_are_none(open_: Any) -> None:
    assert constraints_from({"params": open_}) == ()


@pytest.mark.parametrize(
    ("metric", "near"),
    [("param", "'params'"), ("mac", "'macs'"), ("activation", "'activations'"), ("size_mb", "'size_mib'")],
)
def test_unknown_metric_names_the_nearest(metric: str, near: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown metric '{metric}'. Did you mean {near}"):
        constraints_from({metric: 1})


def test_unknown_metric_far_from_all_lists_all() -> None:
    with pytest.raises(ConfigError) as caught:
        constraints_from({"watts": None})
    assert all(name in str(caught.value) for name in SEARCH_METRICS)


@pytest.mark.parametrize(
    "bound",
    [
        math.nan,
        [math.nan, None],
        -1,
        -math.inf,
        [None, -1],
        [3, 2],
        [math.inf, None],
        [],
        [1],
        [1, 2, 3],
        ["1", 2],
        [True, 2],
        {"high": 3},
        10**400,
        [10**400, None],
    ],
    ids=lambda bound: str(bound)[:12],
)
def test_bounds_that_no_cost_can_keep_are_refused(bound: Any) -> None:
    with pytest.raises(ConfigError, match=r"constraints\.params"):
        constraints_from({"params": bound})
