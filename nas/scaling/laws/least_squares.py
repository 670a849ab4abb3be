"""Weighted least squares of many data sets at once: what a law and the profile of its forecast need."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from nas.scaling.laws.forms import Array

_STEPS = 60
_GAIN = 1e-7
"""A fit is done when a step changes it by less than this share."""
_DAMPING = (1e-8, 1e8)
_DIFFERENCE = 1e-6
_FAR = 40.0
"""No constant goes further than e to this power: a direction in which nothing changes must end somewhere."""
_TINY = 1e-30


class Fitted(NamedTuple):
    """The best constants of each data set."""

    theta: Array
    """`(K, constants)`."""
    objective: Array
    """`(K,)`: weighted sum of squares."""


def fit_many(predict: Callable[[Array], Array], y: Array, weights: Array, starts: Array) -> Fitted:
    """Fit every row of `y` from every start and keep the best (Levenberg & Marquardt).

    Args:
        predict: `(K, constants)` -> `(K, n)`.
        y: `(K, n)`, what is to be predicted.
        weights: `(n,)` or `(K, n)`, of the squares.
        starts: `(S, constants)`, or `(K, S, constants)` where each data set has its own.
    """
    sets = len(y)
    starts = np.broadcast_to(starts, (sets, *starts.shape[-2:]))
    count = starts.shape[1]
    theta = starts.reshape(sets * count, -1).copy()
    target = np.repeat(y, count, axis=0)
    root = np.repeat(np.sqrt(np.broadcast_to(weights, y.shape)), count, axis=0)
    objective = (((predict(theta) - target) * root) ** 2).sum(axis=1)
    damping = np.full(len(theta), 1e-2)
    active = np.ones(len(theta), dtype=bool)
    for _ in range(_STEPS):
        rows = np.flatnonzero(active)
        if not len(rows):
            break
        tried = theta[rows] - _move(predict, theta[rows], target[rows], root[rows], damping[rows])
        tried = np.clip(tried, -_FAR, _FAR)
        reached = (((predict(tried) - target[rows]) * root[rows]) ** 2).sum(axis=1)
        better = reached < objective[rows]
        still = np.abs(objective[rows] - reached) <= _GAIN * reached + _TINY
        theta[rows[better]] = tried[better]
        damping[rows] = np.clip(np.where(better, damping[rows] * 0.3, damping[rows] * 5.0), *_DAMPING)
        objective[rows] = np.where(better, reached, objective[rows])
        active[rows[still | (~better & (damping[rows] >= _DAMPING[1]))]] = False
    best = objective.reshape(sets, count).argmin(axis=1) + np.arange(sets) * count
    return Fitted(theta[best], objective[best])


def slopes(predict: Callable[[Array], Array], theta: Array, values: Array) -> Array:
    """Forward differences of what is predicted, `(K, n, constants)`; `values` are those at `theta`."""
    count, constants = theta.shape
    moved = theta[:, None] + _DIFFERENCE * np.eye(constants)
    reached = predict(moved.reshape(count * constants, constants)).reshape(count, constants, -1)
    return np.swapaxes((reached - values[:, None]) / _DIFFERENCE, 1, 2)


def _move(predict: Callable[[Array], Array], theta: Array, target: Array, root: Array, damping: Array) -> Array:
    """The damped step of each data set, at most 2 in every constant."""
    values = predict(theta)
    residual = (values - target) * root
    slope = slopes(predict, theta, values) * root[:, :, None]
    curve = np.einsum("kni,knj->kij", slope, slope)
    down = np.einsum("kni,kn->ki", slope, residual)
    size = np.einsum("kii->ki", curve)
    ridge = damping[:, None] * (size + 1e-9 * size.max(axis=1, keepdims=True)) + _TINY
    step = np.linalg.solve(curve + np.einsum("ki,ij->kij", ridge, np.eye(theta.shape[1])), down[:, :, None])[..., 0]
    return np.clip(step, -2.0, 2.0)
