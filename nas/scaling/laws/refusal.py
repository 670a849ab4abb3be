"""Tests that refuse a law: losses do not fall with the size, or are further from the law than their noise explains."""

from __future__ import annotations

from math import hypot

import numpy as np
from scipy.stats import f, t

from nas.scaling.laws.form_fits import MAX_LEFT_OUT, errors_of_largest, fit_axis, fit_smallest
from nas.scaling.laws.forms import Array, Form
from nas.scaling.laws.observations import EXACT_STD, SizeMeans
from nas.scaling.laws.profile_interval import Fit, linearise

REFUSAL_P = 0.01
"""The p-value of the test of fit below which a law is refused, where it misses the sizes by more than `MAX_SCATTER`."""
MAX_SCATTER = 0.05
"""Share of the loss by which sizes may miss a law: rounding of channels and the like scatters them by a few percent."""
SIGNIFICANCE = 0.05
"""The p-value below which sizes, or lengths of training, are shown to matter."""
_MIN_SLOPE = 1e-9
"""A slope that is not steeper does not fall."""
_PARABOLA_FACTOR = 3.0
"""Sizes follow a parabola where it misses them by so many times less than a law with as many constants."""


def why_no_law(form: Form, means: SizeMeans, bounded: Fit, unbounded: Fit, lack_of_fit: float | None) -> str:
    """Return why sizes do not follow the law that was fitted to them, or nothing.

    Where several runs of a size show their noise, the test of fit decides. Where they do not, a law is refused that
    misses the sizes, whose losses turn up, or whose largest sizes are not where the smaller ones forecast them.

    Args:
        form: of the law.
        means: the losses by size.
        bounded: the fit of `form.log_loss`.
        unbounded: the fit of `form.unbounded`.
        lack_of_fit: the p-value of the test of fit; None where there is none.
    """
    reason = _why_not_falling(form, means, unbounded)
    if reason or lack_of_fit is not None:
        return reason or _why_unlikely(form, bounded, lack_of_fit)
    if bounded.scatter > MAX_SCATTER:
        return (
            f"{form.formula} does not fit: it misses the sizes by {bounded.scatter:.1%}. Without two runs of a size "
            f"that differ their noise is not known, and more than {MAX_SCATTER:.0%} is refused"
        )
    return (_why_turning(form, means, bounded) or _why_breaking(form, means)) if form.axes == 1 else ""


def _why_not_falling(form: Form, means: SizeMeans, unbounded: Fit) -> str:
    if form.axes > 1:
        names = zip(("N", "D"), range(form.axes), strict=True)
        return next((text for name, axis in names if (text := _why_not_along(form, means, unbounded, name, axis))), "")
    falls = np.polyfit(means.x[0], means.y, 1, w=np.sqrt(means.counts))[0] < -_MIN_SLOPE
    return "" if falls else "the loss does not fall as the size grows"


def _why_not_along(form: Form, means: SizeMeans, unbounded: Fit, name: str, axis: int) -> str:
    """Test that the law without an axis is worse, by the F test of nested models (Draper & Smith 1998, section 6.1)."""
    if unbounded.theta[1 + 2 * axis] <= 0:
        return f"the loss does not fall as {name} grows"
    reduced = fit_axis(means, form, 1 - axis)
    extra, freedom = reduced.squares - unbounded.squares, unbounded.freedom
    rounding = freedom * EXACT_STD**2
    ratio = (extra / (len(unbounded.theta) - len(reduced.theta))) / max(unbounded.squares / freedom, EXACT_STD**2)
    p = float(f.sf(max(ratio, 0.0), len(unbounded.theta) - len(reduced.theta), freedom))
    if extra > rounding and p < SIGNIFICANCE:
        return ""
    return (
        f"the loss is not shown to fall as {name} grows: a law without {name} says the losses as well "
        f"(p = {p:.2g}, not below {SIGNIFICANCE:g})"
    )


def _why_unlikely(form: Form, bounded: Fit, lack_of_fit: float | None) -> str:
    if lack_of_fit is None or lack_of_fit >= REFUSAL_P or bounded.scatter <= MAX_SCATTER:
        return ""
    return (
        f"{form.formula} does not fit: it misses the sizes by {bounded.scatter:.1%}, and their runs differ too little "
        f"to explain that (p = {lack_of_fit:.2g})"
    )


def _why_turning(form: Form, means: SizeMeans, bounded: Fit) -> str:
    """Test that losses do not turn up among the sizes: a parabola in logarithms then fits far better than the law."""
    x, lowest = means.x[0], int(means.y.argmin())
    if lowest == len(x) - 1 or len(x) < 5:
        return ""
    curve, slope, level = np.polyfit(x, means.y, 2)
    residual = means.y - np.polyval([curve, slope, level], x)
    scatter = max(float(np.sqrt((residual @ residual) / (len(x) - 3))), EXACT_STD)
    turns = curve > 0 and x[0] < -slope / (2 * curve) < x[-1]
    if not turns or bounded.scatter <= _PARABOLA_FACTOR * scatter:
        return ""
    return (
        f"{form.formula} does not fit: the loss is least at size {means.sizes[lowest][0]:.4g} and grows beyond it; the "
        f"law misses the sizes by {bounded.scatter:.1%}, a parabola by {scatter:.1%}"
    )


def _why_breaking(form: Form, means: SizeMeans) -> str:
    """Test that the largest sizes are where the smaller ones forecast them, within the scatter and forecast error."""
    for count in range(1, MAX_LEFT_OUT + 1):
        fit = fit_smallest(means, form, count)
        if fit is None:
            continue
        for index, error in enumerate(errors_of_largest(means, form, count, fit), start=len(means.y) - count):
            limit = max(MAX_SCATTER, float(t.ppf(1 - REFUSAL_P / 2, fit.freedom)) * _error(form, means, fit, index))
            if abs(error) > limit:
                size = means.sizes[index][0]
                return (
                    f"{form.formula} does not fit: size {size:.4g}, as the smaller ones foretell it, is "
                    f"{abs(error):.1%} off, and those scatter around it by {fit.scatter:.2%}"
                )
    return ""


def _error(form: Form, means: SizeMeans, fit: Fit, index: int) -> float:
    """Return the standard error of the forecast of a size by a fit to smaller ones, with that size's own scatter."""
    x = means.x[:, index : index + 1]

    def log_loss(theta: Array) -> Array:
        return form.log_loss(theta, x)[:, 0]

    return fit.scatter * hypot(1.0, linearise(fit, log_loss, []).error)
