"""What a candidate is worth trying for: the improvement that it is expected to bring."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from nas.pareto import strips
from nas.search.samplers.encoding import Array

_MOST_STRIPS = 1000


def expected_excess(mean: Array, sd: Array, threshold: Array | float) -> Array:
    """Return E[max(x - threshold, 0)] of normal variables: expected improvement (Jones et al. 1998).

    A standard deviation of 0 is a value that is known; a threshold of inf gives 0.
    """
    gap = mean - np.asarray(threshold, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = gap / sd
        found = gap * norm.cdf(z) + sd * norm.pdf(z)
    return np.asarray(np.where(np.isneginf(gap), 0.0, np.where(sd > 0, found, np.maximum(gap, 0.0))))


def expected_hypervolume_gain(means: Array, sds: Array, points: Array, reference: Array) -> Array:
    """Return how much hypervolume each candidate is expected to add, its objectives being independent.

    Over each strip of what is not dominated the expectation is a product, one factor an objective: the length of the
    strip that the candidate covers is `max(x - low, 0) - max(x - high, 0)`. Exact for any number of objectives (for
    two: Yang et al. 2019, "Efficient computation of expected hypervolume improvement").

    Args:
        means: `(candidates, objectives)`; larger is better.
        sds: as `means`; 0 where an objective is known.
        points: `(points, objectives)`, a front.
        reference: `(objectives,)`.
    """
    most = max(2, int(_MOST_STRIPS ** (1 / max(1, means.shape[1] - 1))) - 1)
    if len(points) > most:  # spread along the first objective
        order = np.argsort(points[:, 0])
        points = points[order[np.linspace(0, len(order) - 1, most).round().astype(int)]]
    found = strips(points, reference)
    gain = expected_excess(means[:, -1:], sds[:, -1:], found.floor[None])
    for axis in range(means.shape[1] - 1):
        mean, sd = means[:, axis : axis + 1], sds[:, axis : axis + 1]
        gain = gain * (
            expected_excess(mean, sd, found.low[None, :, axis]) - expected_excess(mean, sd, found.high[None, :, axis])
        )
    return np.asarray(gain.sum(axis=1))
