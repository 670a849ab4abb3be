"""Fits of a law's form to the mean losses of sizes, and their errors on sizes that were held out."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import numpy as np
from scipy.stats import f

from nas.scaling.laws.forms import Array, Form
from nas.scaling.laws.observations import SizeMeans
from nas.scaling.laws.profile_interval import Fit, fit_least_squares

MIN_SPAN = 8.0
"""A law needs sizes whose largest is this many times the smallest: over less, many laws look alike."""
MAX_LEFT_OUT = 2
"""Number of largest sizes that are held out at most."""
_MAX_MISS = 0.05
"""How far sizes that are solved for may miss, so that 8 times as asked for is wide enough."""
_MIN_LOG_LOSS = 60.0
"""A loss is not below e to minus this power of the mean loss: where a fit goes below 0, it must come back."""


def wide_enough(low: float, high: float) -> bool:
    """Return whether the smallest and the largest size are far enough apart for a law, up to what solving may miss."""
    return high >= (1 - _MAX_MISS) * MIN_SPAN * low


def fit_form(means: SizeMeans, form: Form, weights: Array | None = None) -> Fit:
    """Fit a law's constants to the means of sizes, with weights `(n,)`; by default they are equal."""
    return _fit(means, form.log_loss, form.starts, np.ones(len(means.y)) if weights is None else weights)


def fit_axis(means: SizeMeans, form: Form, axis: int) -> Fit:
    """Fit the form without bounds to a single axis of the sizes, as if the others changed nothing."""
    return _fit(means, _log_unbounded(form), form.unbounded_starts, np.ones(len(means.y)), means.x[axis : axis + 1])


def _fit(
    means: SizeMeans,
    log_loss: Callable[[Array, Array], Array],
    starts: Callable[[Array, Array], Array],
    weights: Array,
    x: Array | None = None,
) -> Fit:
    """Fit losses relative to their mean: constants are then of the same order, whatever unit a loss has."""
    x, y = means.x if x is None else x, means.y - means.mean_log_loss
    start_points = starts(x, y)
    freedom = means.freedom(start_points.shape[1])
    return fit_least_squares(lambda theta: log_loss(theta, x), y, weights, start_points, freedom)


def fit_unbounded(means: SizeMeans, form: Form) -> tuple[Fit, float]:
    """Return the fit without bounds, and the standard deviation of sizes around it beyond the noise of their runs.

    A size's mean is off by its own scatter and by the noise of its runs. The scatter follows from the residuals of an
    unweighted fit (the moment estimate of Hedges & Olkin 1985, "Statistical methods for meta-analysis", section 9.3),
    and the weights, 1 on average, from both.
    """
    unweighted = _fit(means, _log_unbounded(form), form.unbounded_starts, np.ones(len(means.y)))
    run_variance = means.noise**2 / means.counts
    scatter = sqrt(max(0.0, unweighted.scatter**2 - float(run_variance.mean())))
    if means.noise == 0 or np.ptp(means.counts) == 0:
        return unweighted, scatter
    precision = 1 / (scatter**2 + run_variance)
    return _fit(means, _log_unbounded(form), form.unbounded_starts, precision / float(precision.mean())), scatter


def _log_unbounded(form: Form) -> Callable[[Array, Array], Array]:
    def log_loss(theta: Array, x: Array) -> Array:
        logs: Array = np.log(np.maximum(form.unbounded(theta, x), np.exp(-_MIN_LOG_LOSS)))
        return logs

    return log_loss


def lack_of_fit(fit: Fit, means: SizeMeans) -> float | None:
    """Return the p-value of the F test of lack of fit, in logarithms; None where no size has two runs that differ.

    Draper & Smith 1998, "Applied regression analysis", section 2.1.
    """
    freedom = len(means.y) - len(fit.theta)
    if freedom < 1 or means.noise == 0:
        return None
    squares = float((means.counts * fit.residual**2).sum())
    return float(f.sf((squares / freedom) / means.noise**2, freedom, means.noise_freedom))


def fit_smallest(means: SizeMeans, form: Form, count: int) -> Fit | None:
    """Fit the form to all but the `count` largest sizes, relative to their own mean loss; None if too few are left."""
    kept = means.smallest(len(means.y) - count)
    few = len(kept.y) < form.sizes_needed or kept.num_runs <= len(form.constants)
    if few or not all(wide_enough(min(axis), max(axis)) for axis in zip(*kept.sizes, strict=True)):
        return None
    return fit_form(kept, form)


def errors_without_largest(means: SizeMeans, form: Form, count: int) -> Array | None:
    """Return the errors of a law fitted to the other sizes on the `count` largest, `(count,)` in logarithms.

    None where too few sizes are left to fit it to.
    """
    fit = fit_smallest(means, form, count)
    return None if fit is None else errors_of_largest(means, form, count, fit)


def errors_of_largest(means: SizeMeans, form: Form, count: int, fit: Fit) -> Array:
    """Return the errors of a fit of `fit_smallest` on the `count` largest sizes, `(count,)` in logarithms."""
    mean_log_loss = means.smallest(len(means.y) - count).mean_log_loss
    errors: Array = means.y[-count:] - mean_log_loss - form.log_loss(fit.theta[None], means.x)[0, -count:]
    return errors


def held_out_rates(means: SizeMeans, form: Form) -> tuple[float, float]:
    """Return how far below and above the law held-out sizes lie, per unit of the logarithm of the size beyond it."""
    volumes, below, above = means.x.sum(axis=0), 0.0, 0.0
    for count in range(1, MAX_LEFT_OUT + 1):
        errors = errors_without_largest(means, form, count)
        if errors is not None:
            rates = errors / np.maximum(volumes[-count:] - volumes[-count - 1], 1e-9)
            below, above = max(below, -float(rates.min())), max(above, float(rates.max()))
    return below, above
