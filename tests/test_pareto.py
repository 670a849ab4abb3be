"""Fronts and hypervolumes against brute force and Optuna."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.study._multi_objective import _fast_non_domination_rank

from nas.pareto import farthest_first_order, front, hypervolume, knee, non_dominated_sort, strips


@st.composite
def points(draw: st.DrawFn) -> list[list[int]]:
    objectives = draw(st.integers(2, 4))
    row = st.lists(st.integers(0, 6), min_size=objectives, max_size=objectives)
    return draw(st.lists(row, min_size=1, max_size=8))


@given(points())
@settings(max_examples=150, deadline=None)
def test_the_front_is_what_nothing_dominates(rows: list[list[int]]) -> None:
    values = np.array(rows, float)
    found = set(front(values).tolist())
    for i, one in enumerate(rows):
        dominated = any(all(b >= a for a, b in zip(one, other, strict=True)) and other != one for other in rows)
        earlier = one in rows[:i]
        assert (i in found) == (not dominated and not earlier)


@given(points())
@settings(max_examples=150, deadline=None)
def test_the_hypervolume_counts_the_cells_that_are_dominated(rows: list[list[int]]) -> None:
    """With whole numbers it is the number of unit cells below some point."""
    cells = itertools.product(range(6), repeat=len(rows[0]))
    dominated = sum(any(all(p >= c + 1 for p, c in zip(row, cell, strict=True)) for row in rows) for cell in cells)
    assert hypervolume(np.array(rows, float), np.zeros(len(rows[0]))) == pytest.approx(dominated)


def test_the_hypervolume_of_one_objective_is_a_length() -> None:
    assert hypervolume(np.array([[1.0], [3.0], [2.0]]), np.array([0.5])) == 2.5
    assert hypervolume(np.array([[0.2]]), np.array([0.5])) == 0.0


def test_no_points_have_no_hypervolume() -> None:
    assert hypervolume(np.zeros((0, 2)), np.zeros(2)) == 0.0
    assert hypervolume(np.array([[-1.0, 5.0]]), np.zeros(2)) == 0.0


@given(points(), st.lists(st.integers(0, 8), min_size=4, max_size=4))
@settings(max_examples=100, deadline=None)
def test_the_strips_tell_what_a_point_would_add(rows: list[list[int]], new: list[int]) -> None:
    values, point = np.array(rows, float), np.array(new[: len(rows[0])], float)
    reference = np.zeros(len(point))
    found = strips(values, reference)
    sides = np.clip(np.minimum(point[:-1], found.high) - found.low, 0, None).prod(axis=1)
    added = float((sides * np.clip(point[-1] - found.floor, 0, None)).sum())
    both = hypervolume(np.vstack([values, point]), reference)
    assert added == pytest.approx(both - hypervolume(values, reference))


def test_the_knee_of_a_bend() -> None:
    """Of a front that is two straight lines it is where they meet."""
    values = np.array([[0.0, 1.0], [0.3, 0.95], [0.8, 0.9], [0.9, 0.5], [1.0, 0.0]])
    assert knee(values) == 2
    assert knee(values * [1e6, 1e-3]) == 2
    assert knee(values[:1]) == 0


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 3)), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_fronts_are_those_of_optuna(points: list[tuple[int, ...]]) -> None:
    """Its fast non-dominated sort, which minimizes."""
    values = np.array(points, float)
    ranks = _fast_non_domination_rank(-values)
    found = non_dominated_sort(values)
    assert sorted(place for places in found for place in places) == list(range(len(points)))
    for rank, places in enumerate(found):
        assert set(ranks[places]) == {rank}


def test_the_order_of_a_front_spreads_over_it() -> None:
    """By hand on a line: the end that is best in the first objective, the other end, the middle, the quarters."""
    line = np.array([(float(place), -(10.0**place)) for place in range(9)])  # units do not matter
    assert farthest_first_order(line)[:3] == [8, 0, 4]
    assert set(farthest_first_order(line)[3:5]) == {2, 6}
    assert farthest_first_order(line, taken=[4])[:3] == [4, 0, 8]
