"""Weighted nonlinear least squares of many data sets at once, for laws and the profiles of their forecasts."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from nas.scaling.laws.forms import Array

_STEPS = 60
_MIN_GAIN = 1e-7
"""A fit has converged when a step changes its objective by less than this share."""
_DAMPING = (1e-8, 1e8)
_DIFFERENCE = 1e-6
_MAX_CONSTANT = 40.0
"""No parameter, which is a logarithm, is larger: a direction in which nothing changes must end somewhere."""
_TINY = 1e-30


class BestFits(NamedTuple):
    """The best parameters of each data set."""

    theta: Array
    """`(K, constants)` parameters."""
    objective: Array
    """`(K,)`: weighted sum of squares."""


def fit_many(predict: Callable[[Array], Array], y: Array, weights: Array, starts: Array) -> BestFits:
    """Fit every row of `y` from every start and keep the best.

    By the method of Levenberg 1944 and Marquardt 1963, with as many iterations as the slowest needs, at most 60.

    Args:
        predict: `(K, constants)` parameters -> `(K, n)` predictions.
        y: `(K, n)` targets.
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
        moved = theta[rows] - _move(predict, theta[rows], target[rows], root[rows], damping[rows])
        moved = np.clip(moved, -_MAX_CONSTANT, _MAX_CONSTANT)
        reached = (((predict(moved) - target[rows]) * root[rows]) ** 2).sum(axis=1)
        better = reached < objective[rows]
        converged = np.abs(objective[rows] - reached) <= _MIN_GAIN * reached + _TINY
        theta[rows[better]] = moved[better]
        damping[rows] = np.clip(np.where(better, damping[rows] * 0.3, damping[rows] * 5.0), *_DAMPING)
        objective[rows] = np.where(better, reached, objective[rows])
        active[rows[converged | (~better & (damping[rows] >= _DAMPING[1]))]] = False
    best = objective.reshape(sets, count).argmin(axis=1) + np.arange(sets) * count
    return BestFits(theta[best], objective[best])


def slopes(predict: Callable[[Array], Array], theta: Array, values: Array) -> Array:
    """Return the forward differences of predictions, `(K, n, constants)`.

    Args:
        predict: `(K, constants)` parameters -> `(K, n)` predictions.
        theta: `(K, constants)`, where they are taken.
        values: `(K, n)`, the predictions there.
    """
    count, constants = theta.shape
    moved = theta[:, None] + _DIFFERENCE * np.eye(constants)
    predicted = predict(moved.reshape(count * constants, constants)).reshape(count, constants, -1)
    return np.swapaxes((predicted - values[:, None]) / _DIFFERENCE, 1, 2)


def _move(predict: Callable[[Array], Array], theta: Array, target: Array, root: Array, damping: Array) -> Array:
    """Return the damped step of each data set, `(K, constants)`, at most 2 in every parameter."""
    values = predict(theta)
    residual = (values - target) * root
    slope = slopes(predict, theta, values) * root[:, :, None]
    curve = np.einsum("kni,knj->kij", slope, slope)
    down = np.einsum("kni,kn->ki", slope, residual)
    size = np.einsum("kii->ki", curve)
    ridge = damping[:, None] * (size + 1e-9 * size.max(axis=1, keepdims=True)) + _TINY
    step = np.linalg.solve(curve + np.einsum("ki,ij->kij", ridge, np.eye(theta.shape[1])), down[:, :, None])[..., 0]
    return np.clip(step, -2.0, 2.0)
