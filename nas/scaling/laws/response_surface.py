"""The response surface of compound scaling's coefficients: loss by the shares of depth, width and resolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from math import isfinite

import numpy as np

from nas.errors import NasError
from nas.scaling.laws.forms import Array
from nas.statistics import bootstrap_indices, student_factor

FACTOR = 2.0
"""What one step of phi costs: alpha beta^2 gamma^2 (Tan & Le 2019, section 3.3)."""
_DIMENSIONS = ("depth", "width", "resolution")
_POWERS = np.array([1.0, 2.0, 2.0])
_COEFFICIENTS = 6
_DRAWS = 1000
_FINE = 100
_REACH = 0.5
"""Points so far from the optimum, in shares, weigh 1/e of those at it: a quadratic holds near by, not everywhere."""
_ROUNDS = 4
_FLAT = 1e-6
"""A combination of the terms that points have no more of than this settles nothing."""
_AT_EDGE = 0.1
"""Share of draws at an edge from which the optimum may as well lie there."""


@dataclass(frozen=True)
class Point:
    """One network that was trained: how its cost was shared out, and its loss."""

    shares: tuple[float, float, float]
    """Of depth, width and resolution; they add up to 1."""
    loss: float
    cost: float = 1.0
    """What it costs as a multiple of what it should, for networks whose rounding misses."""


@dataclass(frozen=True)
class Coefficient:
    """One coefficient at the optimum, with the interval that holds it in 90 % of all studies."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Optimum:
    """The best coefficients of a response surface."""

    alpha: Coefficient
    beta: Coefficient
    gamma: Coefficient
    shares: tuple[float, float, float]
    theta: tuple[float, ...] = field(repr=False)
    """Of the quadratic in the shares of depth and width that the logarithm of the loss follows."""
    edges: tuple[str, ...]
    """Dimensions that may as well not be scaled at all: the optimum, or much of its interval, lies at that edge."""
    noise: float
    """Standard deviation of a run, as a share of the loss."""

    def surface(self, shares: Array) -> Array:
        """The loss that the surface has at shares `(n, 3)`; it holds best near the optimum."""
        found: Array = np.exp(_terms(shares) @ np.array(self.theta))
        return found

    @property
    def warning(self) -> str:
        """What to mind, or nothing."""
        if not self.edges:
            return ""
        return (
            f"the optimum may lie at the edge: {', '.join(self.edges)} may as well stay as it is; more seeds would tell"
        )


def coefficients(shares: Sequence[float] | Array, factor: float = FACTOR) -> tuple[float, float, float]:
    """Return alpha, beta and gamma that share out one step of phi: alpha beta^2 gamma^2 is `factor`."""
    alpha, beta, gamma = (float(factor ** (share / power)) for share, power in zip(shares, _POWERS, strict=True))
    return alpha, beta, gamma


def lattice(steps: int = 5) -> list[tuple[float, float, float]]:
    """Return the shares whose parts are multiples of 1 / `steps`: 21 points for 5 (Scheffe 1958, simplex lattice)."""
    return [(i / steps, j / steps, (steps - i - j) / steps) for i in range(steps + 1) for j in range(steps + 1 - i)]


def best_coefficients(points: Sequence[Point], *, factor: float = FACTOR, seed: int = 0) -> Optimum:
    """Fit a quadratic to the logarithms of the losses, find its least point, and bootstrap that.

    Points near the optimum count most. Where costs differ, their logarithm is a term of its own, so that a network that
    is a little too large does not seem better than it is.

    Args:
        points: trained networks, several of the same shares where there are seeds.
        factor: what one step of phi costs.
        seed: of the bootstrap.

    Raises:
        NasError: too few different shares for a quadratic, or such as do not settle it, as those on a line; a loss or a
            cost that is not positive.
    """
    shares = np.array([point.shares for point in points], dtype=float).reshape(-1, 3)
    losses = np.array([point.loss for point in points], dtype=float)
    different = len(np.unique(shares.round(9), axis=0))
    if different <= _COEFFICIENTS:
        raise NasError(f"insufficient: {different} different shares, but a quadratic needs {_COEFFICIENTS + 1} or more")
    if not (np.isfinite(losses) & (losses > 0)).all():
        raise NasError("a response surface needs losses > 0")
    if not all(isfinite(point.cost) and point.cost > 0 for point in points):
        raise NasError("a response surface needs costs > 0")
    y, costs = np.log(losses), np.log([point.cost for point in points])
    with_costs = bool(np.ptp(costs) > 1e-3)
    columns = _terms(shares, costs if with_costs else None)
    rank, needed = int(np.linalg.matrix_rank(columns, tol=_FLAT * np.sqrt(len(y)))), columns.shape[1]
    if rank < needed:
        raise NasError(
            f"insufficient: the points settle {rank} of {needed} constants of a quadratic{' and a cost' * with_costs}, "
            "since their shares lie on few lines or hang on the cost; add others"
        )
    best = np.full(3, 1 / 3)
    for _ in range(_ROUNDS):
        weights = np.exp(-(((shares - best) ** 2).sum(axis=1) / _REACH**2))
        solve = _solver(columns, weights)
        theta = solve @ y
        best = _least(theta[None, :_COEFFICIENTS])[0]
    residual = y - columns @ theta
    freedom = max(1, len(y) - columns.shape[1])
    noise = float(np.sqrt((residual**2).sum() / freedom))
    rng = np.random.default_rng(seed)
    spread = np.sqrt(len(y) / freedom)
    centred = residual - residual.mean()
    drawn = columns @ theta + centred[bootstrap_indices(rng, len(y), _DRAWS)] * spread
    optima = _least((drawn @ solve.T)[:, :_COEFFICIENTS])
    alpha, beta, gamma = _intervals(best, optima, factor, freedom)
    at_edge = (optima < 1 / _FINE).mean(axis=0) > _AT_EDGE
    edges = tuple(name for name, edge in zip(_DIMENSIONS, at_edge, strict=True) if edge)
    at = (float(best[0]), float(best[1]), float(best[2]))
    return Optimum(alpha, beta, gamma, at, tuple(theta[:_COEFFICIENTS].tolist()), edges, noise)


def _intervals(best: Array, optima: Array, factor: float, freedom: int) -> list[Coefficient]:
    further = student_factor(0.05, freedom)
    low, high = (best + further * (np.quantile(optima, tail, axis=0) - best) for tail in (0.05, 0.95))
    ends = (coefficients(share, factor) for share in (best, np.clip(low, 0, best), np.clip(high, best, 1)))
    return [Coefficient(*values) for values in zip(*ends, strict=True)]


def _terms(shares: Array, costs: Array | None = None) -> Array:
    d, w = shares[:, 0], shares[:, 1]
    columns = [np.ones_like(d), d, w, d * d, d * w, w * w]
    return np.stack([*columns, *([] if costs is None else [costs])], axis=1)


def _solver(columns: Array, weights: Array) -> Array:
    """The matrix that gives the coefficients of weighted least squares for any losses."""
    weighted = columns * weights[:, None]
    found: Array = np.linalg.pinv(weighted.T @ columns) @ weighted.T
    return found


@cache
def _simplex() -> Array:
    return np.array(lattice(_FINE))


def _least(thetas: Array) -> Array:
    """The least point of each quadratic over all shares: where its slope is none, or on a fine lattice at the edge."""
    heights = thetas @ _terms(_simplex()).T
    found = _simplex()[heights.argmin(axis=1)]
    curve = np.stack(
        [np.stack([2 * thetas[:, 3], thetas[:, 4]], axis=1), np.stack([thetas[:, 4], 2 * thetas[:, 5]], axis=1)], axis=1
    )
    bowl = (curve[:, 0, 0] > 0) & (np.linalg.det(curve) > 1e-12)
    if bowl.any():
        inner = -np.linalg.solve(curve[bowl], thetas[bowl, 1:3][..., None])[..., 0]
        inside = (inner >= 0).all(axis=1) & (inner.sum(axis=1) <= 1)
        rows = np.flatnonzero(bowl)[inside]
        found[rows] = np.column_stack([inner[inside], 1 - inner[inside].sum(axis=1)])
    return np.asarray(found, dtype=float)
