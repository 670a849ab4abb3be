"""Profile intervals: the values of a function of the parameters with which a fit is not much worse than the best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, sqrt

import numpy as np

from nas.scaling.laws.forms import Array
from nas.scaling.laws.least_squares import fit_many, slopes

MIN_SCATTER = 1e-6
"""Standard deviation, in logarithms, below which losses count as exact."""
_STEPS = (0.7, 1.0, 1.4, 2.2, 4.0)
"""Points of the profile, in half widths of the interval that the linearisation gives."""
_FIXED = (0.1, 0.4, 1.5)
"""Further points, for fits whose linearisation says little."""
_HOLDING_WEIGHT = 30.0
"""Weight of the value at which a fit is held, relative to the data's own."""
_MIN_RESIDUAL_SHARE = 1e-6
"""Data whose leverage is nearer to 1 have no error when they are left out."""

Functional = Callable[[Array], Array]
"""A function of the parameters of a fit, `(K, constants)` -> `(K,)`."""


@dataclass(frozen=True, eq=False)
class Fit:
    """A weighted least-squares fit."""

    predict: Functional
    """`(K, constants)` parameters -> `(K, n)` predictions."""
    y: Array
    """`(n,)` targets."""
    weights: Array
    """`(n,)` weights of the squares."""
    theta: Array
    """`(constants,)`, the best parameters."""
    squares: float
    """Weighted sum of the squared residuals."""
    freedom: int
    """Degrees of freedom of the residuals."""

    @property
    def scatter(self) -> float:
        """Standard deviation of a target of weight 1."""
        return max(sqrt(self.squares / self.freedom), MIN_SCATTER)

    @property
    def residual(self) -> Array:
        """Targets minus predictions, `(n,)`."""
        return np.asarray(self.y - self.predict(self.theta[None])[0])


def fit_least_squares(predict: Functional, y: Array, weights: Array, starts: Array, freedom: int) -> Fit:
    """Fit by least squares from several starts; see `fit_many`."""
    best = fit_many(predict, y[None], weights, starts)
    return Fit(predict, y, weights, best.theta[0], float(best.objective[0]), freedom)


@dataclass(frozen=True, eq=False)
class Linearisation:
    """How a function of the parameters depends on the data, to first order around the fit."""

    value: float
    """The function at the fit."""
    weights: Array
    """`(n,)`, its derivative by each target."""
    direction: Array
    """`(constants,)`, the change of the parameters per unit of its change."""
    error: float
    """Its standard error in units of the scatter."""
    left_out_shift: tuple[float, float]
    """How far down, and how far up, it shifts at most where any of the given sets of data is left out."""


def linearise(fit: Fit, functional: Functional, left_out: Sequence[Sequence[int]]) -> Linearisation:
    """Return how a function depends on the data, and how far leaving out data shifts it.

    Belsley, Kuh & Welsch 1980, "Regression diagnostics", section 2.1 (DFFIT).

    Args:
        fit: the fit.
        functional: the function.
        left_out: sets of indices of data that are left out together.
    """
    theta, root = fit.theta[None], np.sqrt(fit.weights)
    value = functional(theta)
    design = slopes(fit.predict, theta, fit.predict(theta))[0] * root[:, None]
    goal = slopes(lambda theta: functional(theta)[:, None], theta, value[:, None])[0, 0]
    inverse = np.linalg.pinv(design, rcond=1e-9)
    weights = goal @ inverse
    hat, residual = design @ inverse, fit.residual * root
    down = up = 0.0
    for rows in left_out:
        residual_maker = np.eye(len(rows)) - hat[np.ix_(rows, rows)]
        if np.linalg.eigvalsh(residual_maker)[0] > _MIN_RESIDUAL_SHARE:
            shift = float(weights[list(rows)] @ np.linalg.solve(residual_maker, residual[list(rows)]))
            down, up = max(down, shift), max(up, -shift)
    error = float(np.linalg.norm(weights))
    direction = inverse @ weights / max(error**2, MIN_SCATTER**2)
    return Linearisation(float(value[0]), weights * root, direction, error, (down, up))


def profile_interval(
    fit: Fit, functional: Functional, linear: Linearisation, reach: tuple[float, float]
) -> tuple[float, float]:
    """Return the ends of the profile interval of a function; an end that is nowhere near is infinite.

    At an end, the sum of squares of the best fit with that value of the function exceeds that of the best of all by
    the square of the end's `reach` (Bates & Watts 1988, "Nonlinear regression analysis", section 6.1). A fit is held
    near a value by a further datum; wherever it ends, it is the best fit with the value that it has, and so a point of
    the profile.

    Args:
        fit: the best fit of all.
        functional: the function.
        linear: the function linearised at that fit.
        reach: of the lower and of the upper end, in units of the weighted residuals.
    """
    half = max(reach) * linear.error
    steps = np.sort(np.concatenate([np.minimum(np.array(_STEPS) * half, 4.0), _FIXED]))
    targets = linear.value + np.concatenate([-steps[::-1], steps])
    weight = (_HOLDING_WEIGHT / max(linear.error, 1e-3)) ** 2
    count, constants = len(targets), len(fit.theta)
    shifted = fit.theta + np.clip((targets - linear.value)[:, None] * linear.direction, -3.0, 3.0)
    fits = fit_many(
        lambda theta: np.column_stack([fit.predict(theta), functional(theta)]),
        np.column_stack([np.broadcast_to(fit.y, (count, len(fit.y))), targets]),
        np.append(fit.weights, weight),
        np.stack([np.broadcast_to(fit.theta, (count, constants)), shifted], axis=1),
    )
    values = functional(fits.theta)
    squares = (((fit.predict(fits.theta) - fit.y) ** 2) * fit.weights).sum(axis=1)
    roots = np.sqrt(np.maximum(squares - min(fit.squares, float(squares.min())), 0.0))
    middle = len(steps)
    low = _crossing(linear.value, values[:middle][::-1], roots[:middle][::-1], reach[0])
    high = _crossing(linear.value, values[middle:], roots[middle:], reach[1])
    return (-inf if low is None else low), (inf if high is None else high)


def _crossing(start: float, values: Array, roots: Array, reach: float) -> float | None:
    """Return the value at which the root of the extra squares reaches `reach`, linearly interpolated; None for none."""
    last, last_root = start, 0.0
    for value, next_root in zip(values.tolist(), roots.tolist(), strict=True):
        if next_root >= reach:
            return float(last + (value - last) * (reach - last_root) / max(next_root - last_root, MIN_SCATTER**2))
        last, last_root = value, max(next_root, last_root)
    return None
