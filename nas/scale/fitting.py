"""Robust least squares of many data sets at once: what a law and the bootstrap of its forecast need."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from nas.scale.forms import Array

_HUBER = 1.345
"""Residuals beyond so many standard deviations count linearly: 95 % as efficient as squares under normal noise
(Huber 1964, "Robust estimation of a location parameter")."""
_STEPS = 80
_DAMPING = (1e-8, 1e8)
_STEP = 1e-6
_FAR = 40.0
"""No constant goes further than e to this power: a direction in which nothing changes must end somewhere."""


class Fitted(NamedTuple):
    """The best constants of each data set."""

    theta: Array
    """`(K, constants)`."""
    objective: Array
    """`(K,)`: sum of Huber's loss, in squares of the scale."""


def fit_many(
    log_loss: Callable[[Array, Array], Array], x: Array, y: Array, starts: Array, scale: float, *, steps: int = _STEPS
) -> Fitted:
    """Fit every row of `y` from every start and keep the best (Levenberg & Marquardt, reweighted for Huber's loss).

    Args:
        log_loss: `(K, constants)` and x -> `(K, n)`.
        x: `(axes, n)`.
        y: `(K, n)` logarithms of losses.
        starts: `(S, constants)`.
        scale: standard deviation of the noise, in logarithms.
        steps: most steps of each.
    """
    sets, count = len(y), len(starts)
    theta = np.tile(starts, (sets, 1))
    target = np.repeat(y, count, axis=0)
    objective = _huber((log_loss(theta, x) - target) / scale).sum(axis=1)
    damping = np.full(len(theta), 1e-2)
    active = np.ones(len(theta), dtype=bool)
    for _ in range(steps):
        rows = np.flatnonzero(active)
        if not len(rows):
            break
        now, aim = theta[rows], target[rows]
        values = log_loss(now, x)
        residual = (values - aim) / scale
        slope = _slopes(log_loss, now, x, values) / scale
        weight = np.minimum(1.0, _HUBER / np.maximum(np.abs(residual), 1e-12))
        weighted = slope * weight[:, :, None]
        curve = np.einsum("kni,knj->kij", weighted, slope)
        down = np.einsum("kni,kn->ki", weighted, residual)
        size = np.einsum("kii->ki", curve)
        ridge = damping[rows, None] * (size + 1e-9 * (1 + size.max(axis=1, keepdims=True)))
        move = np.linalg.solve(curve + np.einsum("ki,ij->kij", ridge, np.eye(theta.shape[1])), down[:, :, None])[..., 0]
        tried = np.clip(now - np.clip(move, -2.0, 2.0), -_FAR, _FAR)
        reached = _huber((log_loss(tried, x) - aim) / scale).sum(axis=1)
        better = reached < objective[rows]
        gain = np.where(better, objective[rows] - reached, 0.0)
        theta[rows[better]] = tried[better]
        damping[rows] = np.clip(np.where(better, damping[rows] * 0.3, damping[rows] * 5.0), *_DAMPING)
        settled = (better & (gain <= 1e-9 * (1.0 + reached))) | (~better & (damping[rows] >= _DAMPING[1]))
        objective[rows] = np.where(better, reached, objective[rows])
        active[rows[settled]] = False
    best = objective.reshape(sets, count).argmin(axis=1) + np.arange(sets) * count
    return Fitted(theta[best], objective[best])


def _huber(residual: Array) -> Array:
    size = np.abs(residual)
    return np.where(size <= _HUBER, 0.5 * size**2, _HUBER * (size - 0.5 * _HUBER))


def _slopes(log_loss: Callable[[Array, Array], Array], theta: Array, x: Array, values: Array) -> Array:
    """Forward differences, `(K, n, constants)`."""
    columns = []
    for i in range(theta.shape[1]):
        moved = theta.copy()
        moved[:, i] += _STEP
        columns.append((log_loss(moved, x) - values) / _STEP)
    return np.stack(columns, axis=-1)
