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


def test_the_difference_that_is_told_apart() -> None:
    """Of normal differences with mean d, the mean of 8 is below 0 with a chance of 5 % where d = 1.645 s / sqrt(8)."""
    found = compare([0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0], [0.0] * 8)
    assert found.sure_from == pytest.approx(stats.norm.ppf(0.95) * stats.sem([0, 1] * 4))
    assert stats.norm(found.sure_from, stats.sem([0, 1] * 4)).cdf(0) == pytest.approx(0.05)
