"""Limits of a space and of a search on the same metric hold together."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nas
from nas.cost.constraints import Constraint, tightest
from nas.errors import ConfigError
from tests.search.conftest import SMALL

BOUNDS = st.tuples(st.integers(0, 50), st.integers(50, 100))


@given(st.lists(st.tuples(st.sampled_from(["params", "macs"]), st.booleans(), BOUNDS), max_size=6), st.integers(0, 120))
def test_what_holds_all_limits_holds_the_merged_ones(
    limits: list[tuple[str, bool, tuple[int, int]]], value: int
) -> None:
    every = [Constraint(metric, low, high, soft) for metric, soft, (low, high) in limits]
    merged = tightest(every)
    assert len(merged) == len({(limit.metric, limit.soft) for limit in every})
    for metric in ("params", "macs"):
        for soft in (False, True):
            held = [c.low <= value <= c.high for c in every if (c.metric, c.soft) == (metric, soft)]
            together = [c.low <= value <= c.high for c in merged if (c.metric, c.soft) == (metric, soft)]
            assert all(held) == all(together)


def test_a_search_can_only_narrow_what_its_space_demands() -> None:
    space = nas.SearchSpace.from_dict({**SMALL, "limits": {"params": [1000, 5000]}})

    def bounds(constraints: dict[str, object]) -> tuple[float, float]:
        (limit,) = space.limits_with(constraints)
        return limit.low, limit.high

    assert bounds({}) == (1000, 5000)
    assert bounds({"params": 9000}) == (1000, 5000)
    assert bounds({"params": 4000}) == (1000, 4000)
    assert bounds({"params": (500, 6000)}) == (1000, 5000)
    assert bounds({"params": (2000, None)}) == (2000, 5000)
    with pytest.raises(ConfigError, match="lower bound"):
        bounds({"params": 900})
    soft, hard = sorted(space.limits_with(None, {"params": 2000}), key=lambda limit: limit.high)
    assert (soft.soft, soft.low, soft.high) == (True, -math.inf, 2000)
    assert (hard.soft, hard.low, hard.high) == (False, 1000, 5000)
