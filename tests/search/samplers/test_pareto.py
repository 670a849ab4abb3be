"""Fronts, hypervolumes and gains against brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from nas.search.pareto import front, hypervolume, knee, strips
from nas.search.samplers.acquisition import expected_excess, expected_hypervolume_gain


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


@pytest.mark.parametrize(("mean", "sd", "threshold"), [(0.0, 1.0, 0.5), (2.0, 0.3, 1.0), (-1.0, 2.0, 3.0)])
def test_expected_excess_is_the_integral(mean: float, sd: float, threshold: float) -> None:
    integral, _ = quad(lambda x: (x - threshold) * norm.pdf(x, mean, sd), threshold, np.inf)
    assert expected_excess(np.array(mean), np.array(sd), threshold) == pytest.approx(integral, rel=1e-6)


def test_the_excess_of_what_is_known() -> None:
    found = expected_excess(np.array([1.0, 3.0, 3.0]), np.zeros(3), np.array([2.0, 2.0, np.inf]))
    np.testing.assert_array_equal(found, [0.0, 1.0, 0.0])


@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_the_expected_gain_of_hypervolume_is_the_mean_of_draws(objectives: int) -> None:
    rng = np.random.default_rng(objectives)
    values = rng.random((6, objectives))
    reference = np.zeros(objectives)
    means, sds = rng.random((3, objectives)), 0.3 * rng.random((3, objectives))
    sds[0, 0] = 0.0  # known
    before = hypervolume(values, reference)
    found = expected_hypervolume_gain(means, sds, values[front(values)], reference)
    for mean, sd, gain in zip(means, sds, found, strict=True):
        draws = mean + sd * rng.normal(size=(1500, objectives))
        gains = [hypervolume(np.vstack([values, draw]), reference) - before for draw in draws]
        error = np.std(gains) / np.sqrt(len(gains))
        assert gain == pytest.approx(np.mean(gains), abs=4 * error + 1e-9)


def test_a_front_of_thousands_is_thinned() -> None:
    """Of 3,001 points on the quarter of a circle fewer than 1,000 give what a point beyond it adds."""
    angles = np.linspace(0, np.pi / 2, 3001)
    points, reference = np.column_stack([np.cos(angles), np.sin(angles)]), np.zeros(2)
    means = np.array([[0.8, 0.8], [0.5, 0.5]])
    gain = expected_hypervolume_gain(means, np.zeros_like(means), points, reference)
    # The square below (0.8, 0.8) less what the circle covers of it: its area up to x = 0.8, where y = 0.8 or less.
    covered = 0.6 * 0.8 + (np.arcsin(0.8) + 0.8 * 0.6) / 2 - (np.arcsin(0.6) + 0.6 * 0.8) / 2
    assert gain == pytest.approx([0.64 - covered, 0.0], abs=2e-3)
    assert gain[0] > 0.01
