"""Intervals and recommendations against SciPy, a textbook, and definitions."""

from __future__ import annotations

from math import isnan

import numpy as np
import pytest
from scipy import stats

from nas.finishing.intervals import compare, interval_of


def test_the_interval_is_students() -> None:
    values = [91.2, 90.4, 91.9, 90.8, 91.1]
    found = interval_of(values)
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert (found.mean, found.low, found.high) == pytest.approx((np.mean(values), low, high))
    assert (found.std, found.count) == pytest.approx((np.std(values, ddof=1), 5))


def test_the_interval_of_a_textbook() -> None:
    """Student 1908, table of Cushny & Peebles: additional sleep; mean 1.58, interval .70 to 2.46 (t(9) = 2.262)."""
    found = interval_of([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])
    assert (found.mean, found.low, found.high) == pytest.approx((1.58, 0.70, 2.46), abs=5e-3)


def test_what_needs_more_values_is_not_a_number() -> None:
    assert interval_of([2.0]).mean == 2.0
    assert all(map(isnan, (interval_of([2.0]).low, interval_of([2.0]).std, interval_of([]).mean)))
    same = compare([0.92, 0.92], [0.91, 0.91])
    assert same.recommended
    assert not same.shown, "that two seeds agree is no sign that all do"


def test_a_comparison_is_paired() -> None:
    network, baseline = [3.0, 5.0, 4.5, 7.0], [2.0, 5.5, 3.0, 5.0]
    found = compare(network, baseline)
    low, high = stats.ttest_rel(network, baseline).confidence_interval(0.95)
    assert (found.difference.mean, found.difference.low, found.difference.high) == pytest.approx((1.0, low, high))
    assert (found.ahead, found.behind) == (3, 1)
    assert found.recommended
    assert not found.shown


@pytest.mark.parametrize(
    ("gaps", "recommended", "shown"),
    [([1.0, 1.1, 0.9], True, True), ([-1.0, -1.1, -0.9], False, True), ([0.0, 0.0], False, False), ([], False, False)],
)
def test_the_larger_mean_is_recommended_and_a_tie_is_the_baselines(
    gaps: list[float], recommended: bool, shown: bool
) -> None:
    found = compare(gaps, [0.0] * len(gaps))
    assert (found.recommended, found.shown) == (recommended, shown)


@pytest.mark.parametrize("seeds", [2, 8])
def test_the_better_network_is_recommended_in_95_of_100_where_it_is_better_by_what_is_told(seeds: int) -> None:
    """The true chance that the mean of as many new differences is above 0, over 1,500 reports."""
    rng = np.random.default_rng(0)
    told = [compare([*rng.normal(size=seeds)], [0.0] * seeds).sure_from for _ in range(1500)]
    assert np.mean(stats.norm.cdf(np.array(told) * seeds**0.5)) == pytest.approx(0.95, abs=0.01)


def test_seeds_without_a_difference_between_them_say_nothing_of_the_noise() -> None:
    for gaps in ([0.5] * 8, [0.1 + 0.2 - 0.3, 0.0], [1.0], []):
        assert isnan(compare(gaps, [0.0] * len(gaps)).sure_from)


def test_equal_numbers_of_right_answers_are_a_tie_whatever_is_rounded() -> None:
    rng, unequal = np.random.default_rng(0), 0
    for number in range(400):
        mine, other = rng.integers(250, 300, (2, 8))
        other[0] += mine.sum() - other.sum()  # as many right answers in all
        kind = np.float32 if number % 2 else float
        shares = [[float(kind(count / 1000)) for count in counts] for counts in (mine, other)]
        found = compare(*shares)
        unequal += found.difference.mean > 0
        assert not found.recommended
    assert unequal  # the rounding is there
    one_more = compare([251 / 364, *[0.5] * 7], [250 / 364, *[0.5] * 7])
    assert (one_more.recommended, one_more.ahead, one_more.behind) == (True, 1, 0)
    assert compare([0.1 + 0.2], [0.3]).ahead == 0
