"""Fits of a law's form to the means of sizes, and how they do on sizes that were held out."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import numpy as np
from scipy.stats import f

from nas.scaling.laws.forms import Array, Form
from nas.scaling.laws.observations import Means
from nas.scaling.laws.profile_interval import Fit, fitted

SPAN = 8.0
"""A law needs sizes whose largest is this many times the smallest: over less, many laws look alike."""
LEFT_OUT = 2
"""Largest sizes, and smallest, that a law is tried without."""
_MISS = 0.05
"""Sizes that are solved for may miss by so much, so 8 times as asked for is enough."""
_FAINT = 60.0
"""A loss so many powers of e below the others counts as no less: where a fit goes below 0, it must come back."""


def spans(low: float, high: float) -> bool:
    """Whether sizes are far enough apart for a law; sizes that miss what was asked a little count as what was asked."""
    return high >= (1 - _MISS) * SPAN * low


def fit_means(means: Means, form: Form, weights: Array | None = None) -> Fit:
    """Fit a law's constants to the means of some sizes, equal weights where none are given."""
    return _fit(means, form.log_loss, form.starts, np.ones(len(means.y)) if weights is None else weights)


def fit_along(means: Means, form: Form, axis: int) -> Fit:
    """Fit the form without bounds to one axis of the sizes alone, as if the others changed nothing."""
    return _fit(means, _log_free(form), form.free_starts, np.ones(len(means.y)), means.x[axis : axis + 1])


def _fit(
    means: Means,
    log_loss: Callable[[Array, Array], Array],
    starts: Callable[[Array, Array], Array],
    weights: Array,
    x: Array | None = None,
) -> Fit:
    """Fit what is relative to the mean loss: constants are then of one order, whatever unit a loss has."""
    x, y = means.x if x is None else x, means.y - means.level
    from_there = starts(x, y)
    return fitted(lambda theta: log_loss(theta, x), y, weights, from_there, means.freedom(from_there.shape[1]))


def free_fit(means: Means, form: Form) -> tuple[Fit, float]:
    """The fit without bounds, and how far sizes scatter beyond what their runs explain.

    A size's mean is off by its own scatter and by the noise of its runs. The scatter follows from what an unweighted
    fit leaves (the moment estimate of Hedges & Olkin 1985, "Statistical methods for meta-analysis", section 9.3), and
    the weights, 1 on average, from both.
    """
    equal = _fit(means, _log_free(form), form.free_starts, np.ones(len(means.y)))
    of_runs = means.noise**2 / means.counts
    scatter = sqrt(max(0.0, equal.scatter**2 - float(of_runs.mean())))
    if means.noise == 0 or np.ptp(means.counts) == 0:
        return equal, scatter
    precision = 1 / (scatter**2 + of_runs)
    return _fit(means, _log_free(form), form.free_starts, precision / float(precision.mean())), scatter


def _log_free(form: Form) -> Callable[[Array, Array], Array]:
    def log_loss(theta: Array, x: Array) -> Array:
        found: Array = np.log(np.maximum(form.free(theta, x), np.exp(-_FAINT)))
        return found

    return log_loss


def lack_of_fit(bound: Fit, means: Means) -> float | None:
    """The F test of lack of fit (Draper & Smith 1998, "Applied regression analysis", section 2.1), in logarithms."""
    spare = len(means.y) - len(bound.theta)
    if spare < 1 or means.noise == 0:
        return None
    missed = float((means.counts * bound.residual**2).sum())
    return float(f.sf((missed / spare) / means.noise**2, spare, means.repeated))


def fit_smallest(means: Means, form: Form, count: int) -> Fit | None:
    """Fit the law to all but the `count` largest sizes, relative to their own mean loss; None for too few."""
    kept = means.keep(len(means.y) - count)
    few = len(kept.y) < form.sizes_needed or kept.runs <= len(form.constants)
    if few or not all(spans(min(axis), max(axis)) for axis in zip(*kept.sizes, strict=True)):
        return None
    return fit_means(kept, form)


def without_largest(means: Means, form: Form, count: int) -> Array | None:
    """`(count,)`: what a law fitted to the others misses the largest sizes by, in logarithms; None for too few."""
    fit = fit_smallest(means, form, count)
    return None if fit is None else missed_by(means, form, count, fit)


def missed_by(means: Means, form: Form, count: int, fit: Fit) -> Array:
    """`(count,)`: what a fit of `fit_smallest` misses the `count` largest sizes by, in logarithms."""
    level = means.keep(len(means.y) - count).level
    found: Array = means.y[-count:] - level - form.log_loss(fit.theta[None], means.x)[0, -count:]
    return found


def off_trend(means: Means, form: Form) -> tuple[float, float]:
    """How far below and above a fit without them held-out sizes lie, for each unit of the logarithm of the size."""
    volumes, below, above = means.x.sum(axis=0), 0.0, 0.0
    for count in range(1, LEFT_OUT + 1):
        errors = without_largest(means, form, count)
        if errors is not None:
            rates = errors / np.maximum(volumes[-count:] - volumes[-count - 1], 1e-9)
            below, above = max(below, -float(rates.min())), max(above, float(rates.max()))
    return below, above
