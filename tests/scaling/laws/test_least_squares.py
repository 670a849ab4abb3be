"""Fits of many data sets at once, against scipy's of each alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime, least_squares

from nas.scaling.laws.forms import ASYMPTOTE, POWER, Array, Form
from nas.scaling.laws.least_squares import fit_many, slopes

X = np.log(np.geomspace(0.1, 10.0, 7))[None]


def _losses(seed: int, sets: int = 3) -> Array:
    """Logarithms of losses with noise around 0.1 + 0.5 x^-0.4, `(sets, 7)`."""
    noise = np.random.default_rng(seed).normal(0, 0.02, (sets, X.shape[1]))
    return np.asarray(np.log(0.1 + 0.5 * np.exp(-0.4 * X)) + noise)


@pytest.mark.parametrize("form", [ASYMPTOTE, POWER])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_best_fits_are_those_of_scipy(form: Form, weighted: bool) -> None:
    y = _losses(1)
    weights = np.linspace(0.5, 2, X.shape[1]) if weighted else np.ones(X.shape[1])
    starts = form.starts(X, y[0])
    found = fit_many(lambda theta: form.log_loss(theta, X), y, weights, starts)
    for own, theta, objective in zip(y, found.theta, found.objective, strict=True):

        def residual(theta: Array, own: Array = own) -> Array:
            return np.asarray((form.log_loss(theta[None], X)[0] - own) * np.sqrt(weights))

        best = min((least_squares(residual, start) for start in starts), key=lambda fit: float(fit.cost))
        assert objective == pytest.approx(2 * best.cost, rel=1e-4)
        assert form.log_loss(theta[None], X)[0] == pytest.approx(form.log_loss(best.x[None], X)[0], abs=1e-3)


def test_slopes_are_those_of_scipy() -> None:
    theta = np.array([[-2.0, -0.7, -0.9], [-1.0, -0.5, 0.1]])
    found = slopes(lambda theta: ASYMPTOTE.log_loss(theta, X), theta, ASYMPTOTE.log_loss(theta, X))
    for own, values in zip(theta, found, strict=True):
        expected = approx_fprime(own, lambda theta: ASYMPTOTE.log_loss(theta[None], X)[0])
        assert values == pytest.approx(expected, abs=1e-5)
