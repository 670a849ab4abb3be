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
"""The factor of the cost in a step of phi: alpha beta^2 gamma^2 (Tan & Le 2019, section 3.3)."""
_DIMENSIONS = ("depth", "width", "resolution")
_POWERS = np.array([1.0, 2.0, 2.0])
_NUM_TERMS = 6
_DRAWS = 1000
_LATTICE_STEPS = 100
_WEIGHT_RADIUS = 0.5
"""Distance from the optimum, in shares, at which points weigh 1/e of those at it: a quadratic holds near by only."""
_ITERATIONS = 4
_RANK_TOLERANCE = 1e-6
"""A singular value of the terms, per root of the number of points, below which it counts as 0."""
_EDGE_SHARE = 0.1
"""Share of bootstrap optima at an edge from which on the optimum may lie there."""


@dataclass(frozen=True)
class Point:
    """A trained network: how its cost was shared out, and its loss."""

    shares: tuple[float, float, float]
    """Of depth, width and resolution; their sum is 1."""
    loss: float
    cost: float = 1.0
    """Its cost as a multiple of the target, which rounding may miss."""


@dataclass(frozen=True)
class Coefficient:
    """A coefficient at the optimum, with the interval that holds it in 90 % of all studies."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class BestCoefficients:
    """The best coefficients of a response surface."""

    alpha: Coefficient
    beta: Coefficient
    gamma: Coefficient
    shares: tuple[float, float, float]
    theta: tuple[float, ...] = field(repr=False)
    """Coefficients of the quadratic in the shares of depth and width that the logarithm of the loss follows."""
    edges: tuple[str, ...]
    """Dimensions that may not need to be scaled: the optimum, or much of its interval, lies at that edge."""
    noise: float
    """Standard deviation of a run, as a share of the loss."""

    def surface(self, shares: Array) -> Array:
        """Return the losses of the surface at shares `(n, 3)`, `(n,)`; they hold best near the optimum."""
        losses: Array = np.exp(_terms(shares) @ np.array(self.theta))
        return losses

    @property
    def warning(self) -> str:
        """That the optimum may lie at an edge, where it may; or nothing."""
        if not self.edges:
            return ""
        return (
            f"the optimum may lie at the edge: {', '.join(self.edges)} may as well stay as it is; more seeds would tell"
        )


def coefficients(shares: Sequence[float] | Array, factor: float = FACTOR) -> tuple[float, float, float]:
    """Return alpha, beta and gamma that share out the cost of a step of phi: alpha beta^2 gamma^2 is `factor`."""
    alpha, beta, gamma = (float(factor ** (share / power)) for share, power in zip(shares, _POWERS, strict=True))
    return alpha, beta, gamma


def lattice(steps: int = 5) -> list[tuple[float, float, float]]:
    """Return the shares whose parts are multiples of 1 / `steps`: 21 points for 5 (Scheffe 1958, simplex lattice)."""
    return [(i / steps, j / steps, (steps - i - j) / steps) for i in range(steps + 1) for j in range(steps + 1 - i)]


def best_coefficients(points: Sequence[Point], *, factor: float = FACTOR, seed: int = 0) -> BestCoefficients:
    """Fit a quadratic to the logarithms of the losses, find its minimum, and bootstrap that.

    Points near the optimum count most. Where costs differ, their logarithm is a term of its own, so that a network that
    is a little too large does not seem better than it is.

    Args:
        points: trained networks, several of the same shares where there are seeds.
        factor: the factor of the cost in a step of phi.
        seed: of the bootstrap.

    Raises:
        NasError: too few different shares for a quadratic, or shares that do not determine it, as those on a line; a
            loss or a cost that is not positive.
    """
    shares = np.array([point.shares for point in points], dtype=float).reshape(-1, 3)
    losses = np.array([point.loss for point in points], dtype=float)
    num_shares = len(np.unique(shares.round(9), axis=0))
    if num_shares <= _NUM_TERMS:
        raise NasError(f"insufficient: {num_shares} different shares, but a quadratic needs {_NUM_TERMS + 1} or more")
    if not (np.isfinite(losses) & (losses > 0)).all():
        raise NasError("a response surface needs losses > 0")
    if not all(isfinite(point.cost) and point.cost > 0 for point in points):
        raise NasError("a response surface needs costs > 0")
    y, costs = np.log(losses), np.log([point.cost for point in points])
    with_costs = bool(np.ptp(costs) > 1e-3)
    columns = _terms(shares, costs if with_costs else None)
    rank, num_columns = int(np.linalg.matrix_rank(columns, tol=_RANK_TOLERANCE * np.sqrt(len(y)))), columns.shape[1]
    if rank < num_columns:
        raise NasError(
            f"insufficient: the points settle {rank} of {num_columns} constants of a quadratic"
            f"{' and a cost' * with_costs}, since their shares lie on few lines or hang on the cost; add others"
        )
    best = np.full(3, 1 / 3)
    for _ in range(_ITERATIONS):
        weights = np.exp(-(((shares - best) ** 2).sum(axis=1) / _WEIGHT_RADIUS**2))
        solve = _solver(columns, weights)
        theta = solve @ y
        best = _minima(theta[None, :_NUM_TERMS])[0]
    residual = y - columns @ theta
    freedom = max(1, len(y) - columns.shape[1])
    noise = float(np.sqrt((residual**2).sum() / freedom))
    rng = np.random.default_rng(seed)
    inflation = np.sqrt(len(y) / freedom)
    centred = residual - residual.mean()
    resampled = columns @ theta + centred[bootstrap_indices(rng, len(y), _DRAWS)] * inflation
    optima = _minima((resampled @ solve.T)[:, :_NUM_TERMS])
    alpha, beta, gamma = _intervals(best, optima, factor, freedom)
    at_edge = (optima < 1 / _LATTICE_STEPS).mean(axis=0) > _EDGE_SHARE
    edges = tuple(name for name, edge in zip(_DIMENSIONS, at_edge, strict=True) if edge)
    optimum = (float(best[0]), float(best[1]), float(best[2]))
    return BestCoefficients(alpha, beta, gamma, optimum, tuple(theta[:_NUM_TERMS].tolist()), edges, noise)


def _intervals(best: Array, optima: Array, cost_factor: float, freedom: int) -> list[Coefficient]:
    factor_ = student_factor(0.05, freedom)
    low, high = (best + factor_ * (np.quantile(optima, tail, axis=0) - best) for tail in (0.05, 0.95))
    ends = (coefficients(share, cost_factor) for share in (best, np.clip(low, 0, best), np.clip(high, best, 1)))
    return [Coefficient(*values) for values in zip(*ends, strict=True)]


def _terms(shares: Array, costs: Array | None = None) -> Array:
    d, w = shares[:, 0], shares[:, 1]
    columns = [np.ones_like(d), d, w, d * d, d * w, w * w]
    return np.stack([*columns, *([] if costs is None else [costs])], axis=1)


def _solver(columns: Array, weights: Array) -> Array:
    """Return the matrix that gives the coefficients of weighted least squares for any losses, `(terms, n)`."""
    weighted = columns * weights[:, None]
    solver: Array = np.linalg.pinv(weighted.T @ columns) @ weighted.T
    return solver


@cache
def _simplex() -> Array:
    return np.array(lattice(_LATTICE_STEPS))


def _minima(thetas: Array) -> Array:
    """Return the minimum of each quadratic over all shares, `(K, 3)`: stationary, or at the edge on a fine lattice."""
    values = thetas @ _terms(_simplex()).T
    minima = _simplex()[values.argmin(axis=1)]
    curve = np.stack(
        [np.stack([2 * thetas[:, 3], thetas[:, 4]], axis=1), np.stack([thetas[:, 4], 2 * thetas[:, 5]], axis=1)], axis=1
    )
    convex = (curve[:, 0, 0] > 0) & (np.linalg.det(curve) > 1e-12)
    if convex.any():
        stationary = -np.linalg.solve(curve[convex], thetas[convex, 1:3][..., None])[..., 0]
        inside = (stationary >= 0).all(axis=1) & (stationary.sum(axis=1) <= 1)
        rows = np.flatnonzero(convex)[inside]
        minima[rows] = np.column_stack([stationary[inside], 1 - stationary[inside].sum(axis=1)])
    return np.asarray(minima, dtype=float)
