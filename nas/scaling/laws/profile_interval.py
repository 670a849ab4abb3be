"""Intervals by the profile of a fit: how far off something may be before the data say that it is not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, sqrt

import numpy as np

from nas.scaling.laws.forms import Array
from nas.scaling.laws.least_squares import fit_many, slopes

_LEAST_SCATTER = 1e-6
"""Standard deviation, in logarithms, below which losses count as exact."""
_STEPS = (0.7, 1.0, 1.4, 2.2, 4.0)
"""Places of the profile, in half widths of the interval that the slopes alone give."""
_FIXED = (0.1, 0.4, 1.5)
"""More places, for fits whose slopes say little."""
_FIRM = 30.0
"""How much more the value that a fit is held at weighs than the data say of it."""
_FREE = 1e-6
"""A size whose leverage is nearer to 1 has no error of its own when it is left out."""

Functional = Callable[[Array], Array]
"""`(K, constants)` -> `(K,)`: what is asked of a fit."""


@dataclass(frozen=True, eq=False)
class Fit:
    """A least-squares fit."""

    predict: Functional
    """`(K, constants)` -> `(K, n)`."""
    y: Array
    """`(n,)`."""
    weights: Array
    """`(n,)`."""
    theta: Array
    """`(constants,)`, the best."""
    squares: float
    """Weighted sum of squares that it leaves."""
    freedom: int

    @property
    def scatter(self) -> float:
        """Standard deviation of a value of weight 1."""
        return max(sqrt(self.squares / self.freedom), _LEAST_SCATTER)

    @property
    def residual(self) -> Array:
        found: Array = self.y - self.predict(self.theta[None])[0]
        return found


def fitted(predict: Functional, y: Array, weights: Array, starts: Array, freedom: int) -> Fit:
    """Fit by least squares from several starts."""
    found = fit_many(predict, y[None], weights, starts)
    return Fit(predict, y, weights, found.theta[0], float(found.objective[0]), freedom)


@dataclass(frozen=True, eq=False)
class Leaning:
    """How a value that is asked of a fit hangs on the data, as far as slopes say."""

    value: float
    weights: Array
    """`(n,)`: by how much it moves with each datum."""
    direction: Array
    """`(constants,)`: how the constants move where it does."""
    error: float
    """Its standard error in units of the scatter."""
    moved: tuple[float, float]
    """How far down, and how far up, it moves at most where a set of data is left out."""


def leaning(fit: Fit, functional: Functional, left_out: Sequence[Sequence[int]]) -> Leaning:
    """Return how the value hangs on the data, and how far leaving any of some sets of data out moves it.

    Belsley, Kuh & Welsch 1980, "Regression diagnostics", section 2.1 (DFFIT).
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
        own = np.eye(len(rows)) - hat[np.ix_(rows, rows)]
        if np.linalg.eigvalsh(own)[0] > _FREE:
            moved = float(weights[list(rows)] @ np.linalg.solve(own, residual[list(rows)]))
            down, up = max(down, moved), max(up, -moved)
    error = float(np.linalg.norm(weights))
    direction = inverse @ weights / max(error**2, _LEAST_SCATTER**2)
    return Leaning(float(value[0]), weights * root, direction, error, (down, up))


def profile(fit: Fit, functional: Functional, lean: Leaning, reach: tuple[float, float]) -> tuple[float, float]:
    """Return the ends between which a value may lie.

    An end is where the best fit that is held at it leaves so many more squares than the best of all as its `reach`, the
    lower one's and the upper one's, is squared (Bates & Watts 1988, "Nonlinear regression analysis", section 6.1).
    Holding a fit is one more datum, at the value; wherever that brings it, it is the best fit with the value that it
    has, so each is a point of the profile. An end that is nowhere near is infinite.
    """
    half = max(reach) * lean.error
    steps = np.sort(np.concatenate([np.minimum(np.array(_STEPS) * half, 4.0), _FIXED]))
    held = lean.value + np.concatenate([-steps[::-1], steps])
    firm = (_FIRM / max(lean.error, 1e-3)) ** 2
    count, constants = len(held), len(fit.theta)
    moved = fit.theta + np.clip((held - lean.value)[:, None] * lean.direction, -3.0, 3.0)
    found = fit_many(
        lambda theta: np.column_stack([fit.predict(theta), functional(theta)]),
        np.column_stack([np.broadcast_to(fit.y, (count, len(fit.y))), held]),
        np.append(fit.weights, firm),
        np.stack([np.broadcast_to(fit.theta, (count, constants)), moved], axis=1),
    )
    at = functional(found.theta)
    squares = (((fit.predict(found.theta) - fit.y) ** 2) * fit.weights).sum(axis=1)
    more = np.sqrt(np.maximum(squares - min(fit.squares, float(squares.min())), 0.0))
    half_count = len(steps)
    low = _crossing(lean.value, at[:half_count][::-1], more[:half_count][::-1], reach[0])
    high = _crossing(lean.value, at[half_count:], more[half_count:], reach[1])
    return (-inf if low is None else low), (inf if high is None else high)


def _crossing(start: float, at: Array, more: Array, reach: float) -> float | None:
    """Where the root of the squares reaches `reach` on the way out; it is close to straight between the places."""
    before, root = start, 0.0
    for place, now in zip(at.tolist(), more.tolist(), strict=True):
        if now >= reach:
            return float(before + (place - before) * (reach - root) / max(now - root, _LEAST_SCATTER**2))
        before, root = place, max(now, root)
    return None
