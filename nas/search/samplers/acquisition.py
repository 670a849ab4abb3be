"""Acquisition functions: the improvement that a proposal is expected to bring."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from nas.pareto import strips
from nas.search.samplers.encoding import Array

_MAX_STRIPS = 1000
"""Columns into which the space above a front is cut at most, see `nas.pareto.strips`."""


@dataclass(frozen=True, slots=True)
class Gain:
    """What a proposal is expected to improve on the best trial, beside how far chance moves a score."""

    expected: float
    """In units of the objective."""
    noise_sd: float
    """Standard deviation of the noise of a score, as the surrogate sees it, in the same units."""


def expected_improvement(mean: Array, sd: Array, threshold: Array | float) -> Array:
    """Return E[max(x - threshold, 0)] of normal variables x.

    Jones et al. 1998, "Efficient global optimization of expensive black-box functions", equation 15.

    Args:
        mean: of any shape; larger is better.
        sd: standard deviations, of a shape that broadcasts; 0 where x is certain.
        threshold: of a shape that broadcasts; inf gives 0.
    """
    gap = mean - np.asarray(threshold, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = gap / sd
        improvement = gap * norm.cdf(z) + sd * norm.pdf(z)
    return np.asarray(np.where(np.isneginf(gap), 0.0, np.where(sd > 0, improvement, np.maximum(gap, 0.0))))


def expected_hypervolume_improvement(means: Array, sds: Array, points: Array, reference: Array) -> Array:
    """Return how much hypervolume each proposal is expected to add, its objectives being independent.

    Over each strip of what is not dominated the expectation is a product, one factor an objective: the length of the
    strip that the proposal covers is `max(x - low, 0) - max(x - high, 0)`. Exact for any number of objectives (for
    two: Yang et al. 2019, "Efficient computation of expected hypervolume improvement"), but of a front of very many
    points only some are taken, evenly along the first objective.

    Args:
        means: `(proposals, objectives)`; larger is better.
        sds: as `means`; 0 where an objective is certain.
        points: `(points, objectives)`, a front.
        reference: `(objectives,)`.

    Returns:
        `(proposals,)`.
    """
    max_points = max(2, int(_MAX_STRIPS ** (1 / max(1, means.shape[1] - 1))) - 1)
    if len(points) > max_points:
        order = np.argsort(points[:, 0])
        points = points[order[np.linspace(0, len(order) - 1, max_points).round().astype(int)]]
    columns = strips(points, reference)
    gain = expected_improvement(means[:, -1:], sds[:, -1:], columns.floor[None])
    for axis in range(means.shape[1] - 1):
        mean, sd = means[:, axis : axis + 1], sds[:, axis : axis + 1]
        above_low = expected_improvement(mean, sd, columns.low[None, :, axis])
        above_high = expected_improvement(mean, sd, columns.high[None, :, axis])
        gain = gain * (above_low - above_high)
    return np.asarray(gain.sum(axis=1))
