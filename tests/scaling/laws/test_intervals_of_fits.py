"""Intervals by the profile of a fit, on straight lines: there all of it is known exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.scaling.laws.forms import Array
from nas.scaling.laws.profile_interval import Fit, fit_least_squares, linearise, profile_interval

X = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
AT = 6.0
LOSSES = st.lists(st.floats(-1.0, 1.0), min_size=5, max_size=5).filter(lambda y: np.ptp(y) > 0.1).map(np.array)


def line(theta: Array) -> Array:
    """`(K, 2)` -> `(K, 5)`."""
    return np.asarray(theta[:, :1] + theta[:, 1:] * X)


def at_the_end(theta: Array) -> Array:
    """`(K, 2)` -> `(K,)`."""
    return np.asarray(theta[:, 0] + theta[:, 1] * AT)


def fit_line(y: Array) -> Fit:
    return fit_least_squares(line, y, np.ones(5), np.zeros((1, 2)), freedom=3)


@given(LOSSES)
def test_what_leaving_data_out_moves_a_value_by_is_what_fits_without_them_say(y: Array) -> None:
    """Downwards and upwards apart, each the most that any of them moves it."""
    value = float(np.polyval(np.polyfit(X, y, 1), AT))
    moves = [float(np.polyval(np.polyfit(X[kept], y[kept], 1), AT)) - value for kept in (slice(1, 5), slice(2, 5))]
    lean = linearise(fit_line(y), at_the_end, [[0], [0, 1]])
    assert lean.value == pytest.approx(value, abs=1e-4)
    assert lean.left_out_shift == pytest.approx((max(0.0, *(-move for move in moves)), max(0.0, *moves)), abs=1e-4)


@given(LOSSES, st.floats(0.1, 2.0), st.floats(0.1, 2.0))
def test_each_end_of_a_profile_has_a_reach_of_its_own(y: Array, down: float, up: float) -> None:
    """Of a line it is the standard error times the reach: sqrt(1/n + (x - mean)^2 / Sxx) (Draper & Smith 1998, 1.4)."""
    error = np.sqrt(1 / 5 + (AT - X.mean()) ** 2 / ((X - X.mean()) ** 2).sum())
    fit = fit_line(y)
    lean = linearise(fit, at_the_end, [])
    low, high = profile_interval(fit, at_the_end, lean, (down, up))
    assert lean.error == pytest.approx(error, rel=1e-6)
    assert (lean.value - low, high - lean.value) == pytest.approx((down * error, up * error), rel=1e-3)
