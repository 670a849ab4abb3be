"""Why losses follow no law: they do not fall, or are further from it than what is known of their noise explains."""

from __future__ import annotations

from math import hypot

import numpy as np
from scipy.stats import f, t

from nas.scaling.laws.form_fits import LEFT_OUT, fit_along, fit_smallest, missed_by
from nas.scaling.laws.forms import Array, Form
from nas.scaling.laws.observations import EXACT, Means
from nas.scaling.laws.profile_interval import Fit, leaning

REFUSED = 0.01
"""Probability of so bad a fit below which a law is refused, where it misses the sizes by more than `SCATTER`."""
SCATTER = 0.05
"""Rounding of channels and such scatters sizes around a law by a few percent; more is another law."""
SHOWN = 0.05
"""Probability below which sizes, or lengths of training, are shown to matter."""
_LEVEL = 1e-9
"""An exponent so small is none."""
_BETTER = 3.0
"""A parabola that misses the sizes by so many times less than a law, of as many constants, is what they follow."""


def why_no_law(form: Form, means: Means, bound: Fit, free: Fit, lack_of_fit: float | None) -> str:
    """Say why sizes do not follow the law that was fitted to them, or nothing.

    Where runs show their noise, its test of fit decides. Where they do not, what is left is whether the sizes are near
    the law, turn up, or go on beyond the smaller ones as those say.
    """
    reason = _why_not_falling(form, means, free)
    if reason or lack_of_fit is not None:
        return reason or _why_unlikely(form, bound, lack_of_fit)
    if bound.scatter > SCATTER:
        return (
            f"{form.formula} does not fit: it misses the sizes by {bound.scatter:.1%}. Without two runs of a size that "
            f"differ their noise is not known, and more than {SCATTER:.0%} is refused"
        )
    return (_why_turning(form, means, bound) or _why_breaking(form, means)) if form.axes == 1 else ""


def _why_not_falling(form: Form, means: Means, free: Fit) -> str:
    if form.axes > 1:
        names = zip(("N", "D"), range(form.axes), strict=True)
        return next((text for name, axis in names if (text := _why_not_along(form, means, free, name, axis))), "")
    falls = np.polyfit(means.x[0], means.y, 1, w=np.sqrt(means.counts))[0] < -_LEVEL
    return "" if falls else "the loss does not fall as the size grows"


def _why_not_along(form: Form, means: Means, free: Fit, name: str, axis: int) -> str:
    """The law without this axis must be worse than with it: the F test of nested models (Draper & Smith 1998, 6.1)."""
    if free.theta[1 + 2 * axis] <= 0:
        return f"the loss does not fall as {name} grows"
    other = fit_along(means, form, 1 - axis)
    spare, freedom = other.squares - free.squares, free.freedom
    exact = freedom * EXACT**2
    ratio = (spare / (len(free.theta) - len(other.theta))) / max(free.squares / freedom, EXACT**2)
    likely = float(f.sf(max(ratio, 0.0), len(free.theta) - len(other.theta), freedom))
    if spare > exact and likely < SHOWN:
        return ""
    return (
        f"the loss is not shown to fall as {name} grows: a law without {name} says the losses as well "
        f"(p = {likely:.2g}, not below {SHOWN:g})"
    )


def _why_unlikely(form: Form, bound: Fit, lack_of_fit: float | None) -> str:
    if lack_of_fit is None or lack_of_fit >= REFUSED or bound.scatter <= SCATTER:
        return ""
    return (
        f"{form.formula} does not fit: it misses the sizes by {bound.scatter:.1%}, and their runs differ too little to "
        f"explain that (p = {lack_of_fit:.2g})"
    )


def _why_turning(form: Form, means: Means, bound: Fit) -> str:
    """A loss that turns up inside the sizes follows a parabola in logarithms, which no law that falls comes near."""
    x, least = means.x[0], int(means.y.argmin())
    if least == len(x) - 1 or len(x) < 5:
        return ""
    curve, slope, level = np.polyfit(x, means.y, 2)
    left = means.y - np.polyval([curve, slope, level], x)
    scatter = max(float(np.sqrt((left @ left) / (len(x) - 3))), EXACT)
    turns = curve > 0 and x[0] < -slope / (2 * curve) < x[-1]
    if not turns or bound.scatter <= _BETTER * scatter:
        return ""
    return (
        f"{form.formula} does not fit: the loss is least at size {means.sizes[least][0]:.4g} and grows beyond it; the "
        f"law misses the sizes by {bound.scatter:.1%}, a parabola by {scatter:.1%}"
    )


def _why_breaking(form: Form, means: Means) -> str:
    """The largest sizes must be where the smaller ones say, within what those scatter by and a forecast may miss."""
    for count in range(1, LEFT_OUT + 1):
        fit = fit_smallest(means, form, count)
        if fit is None:
            continue
        for place, error in enumerate(missed_by(means, form, count, fit), start=len(means.y) - count):
            limit = max(SCATTER, float(t.ppf(1 - REFUSED / 2, fit.freedom)) * _error(form, means, fit, place))
            if abs(error) > limit:
                size = means.sizes[place][0]
                return (
                    f"{form.formula} does not fit: size {size:.4g}, as the smaller ones foretell it, is "
                    f"{abs(error):.1%} off, and those scatter around it by {fit.scatter:.2%}"
                )
    return ""


def _error(form: Form, means: Means, fit: Fit, place: int) -> float:
    """Standard error of what a fit to the smaller sizes says of another, with that one's own scatter."""
    x = means.x[:, place : place + 1]

    def said(theta: Array) -> Array:
        return form.log_loss(theta, x)[:, 0]

    return fit.scatter * hypot(1.0, leaning(fit, said, []).error)
