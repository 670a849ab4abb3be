"""Expected improvements against integrals, draws and areas."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from nas.pareto import front, hypervolume
from nas.search.samplers.acquisition import expected_hypervolume_improvement, expected_improvement


@pytest.mark.parametrize(("mean", "sd", "threshold"), [(0.0, 1.0, 0.5), (2.0, 0.3, 1.0), (-1.0, 2.0, 3.0)])
def test_expected_improvement_is_the_integral(mean: float, sd: float, threshold: float) -> None:
    integral, _ = quad(lambda x: (x - threshold) * norm.pdf(x, mean, sd), threshold, np.inf)
    assert expected_improvement(np.array(mean), np.array(sd), threshold) == pytest.approx(integral, rel=1e-6)


def test_the_excess_of_what_is_known() -> None:
    found = expected_improvement(np.array([1.0, 3.0, 3.0]), np.zeros(3), np.array([2.0, 2.0, np.inf]))
    np.testing.assert_array_equal(found, [0.0, 1.0, 0.0])


@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_the_expected_gain_of_hypervolume_is_the_mean_of_draws(objectives: int) -> None:
    rng = np.random.default_rng(objectives)
    values = rng.random((6, objectives))
    reference = np.zeros(objectives)
    means, sds = rng.random((3, objectives)), 0.3 * rng.random((3, objectives))
    sds[0, 0] = 0.0  # known
    before = hypervolume(values, reference)
    found = expected_hypervolume_improvement(means, sds, values[front(values)], reference)
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
    gain = expected_hypervolume_improvement(means, np.zeros_like(means), points, reference)
    # The square below (0.8, 0.8) less what the circle covers of it: its area up to x = 0.8, where y = 0.8 or less.
    covered = 0.6 * 0.8 + (np.arcsin(0.8) + 0.8 * 0.6) / 2 - (np.arcsin(0.6) + 0.6 * 0.8) / 2
    assert gain == pytest.approx([0.64 - covered, 0.0], abs=2e-3)
    assert gain[0] > 0.01
