"""Limits: reading them, and signed distances."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.cost import FREE_METRICS, Constraint, Cost, Workload, check, constraints_from, value_of
from nas.errors import ConfigError


def test_upper_lower_and_open_bounds() -> None:
    found = constraints_from({"params": 1e6, "macs": [1e5, 2e5], "activations": (None, 7), "size_mib": None})
    assert found == (
        Constraint("params", high=1e6),
        Constraint("macs", 1e5, 2e5),
        Constraint("activations", high=7),
    )
    assert constraints_from({"params": [5, None]}) == (Constraint("params", low=5),)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"flops": 1}, "unknown metric 'flops'"),
        ({"parms": 1}, "Did you mean 'params'"),
        ({"params": "1e5"}, r"constraints\.params must be an upper bound or \[lower, upper\], but got '1e5'"),
        ({"params": True}, "but got True"),
        ({"params": [1, 2, 3]}, r"but got \[1, 2, 3\]"),
        ({"params": [2, 1]}, "the lower bound 2 is over the upper bound 1"),
        ({"params": math.nan}, "must be a number >= 0"),
        ({"params": -1}, r"must be a number >= 0, but got \[-inf, -1\]"),
    ],
)
def test_bad_limits(limits: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        constraints_from(limits)


@pytest.mark.parametrize(
    ("value", "excess", "bound"),
    [(50, 1.0, 100), (100, 0.0, 100), (150, -0.25, 200), (200, 0.0, 200), (300, 0.5, 200)],
)
def test_excess_is_the_share_by_which_a_bound_is_broken(value: int, excess: float, bound: float) -> None:
    (violation,) = check(Cost(params=value), [Constraint("params", 100, 200)])
    expected = (100 - value) / 100 if value < 100 else excess
    assert violation.excess == pytest.approx(expected if value < 100 else excess)
    assert (violation.value, violation.bound) == (value, bound)


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_limit_holds_where_the_value_is_within(value: int, a: int, b: int) -> None:
    low, high = min(a, b), max(a, b)
    (violation,) = check(Cost(macs=value), [Constraint("macs", low, high)])
    assert (violation.excess <= 0) == (low <= value <= high)


def test_every_metric_is_a_cost() -> None:
    assert all(isinstance(value_of(Cost(1, 2, 3, 4), metric, Workload()), float) for metric in FREE_METRICS)
