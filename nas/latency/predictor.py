"""Latency predicted: a sum over the operations of a network, each learned as a Gaussian process from whole networks.

An operation takes a time by a roofline prior (multiply-adds, numbers moved, parameters, and one call; by kind) times a
smooth function of its row of `nas.latency.features`. The sum of Gaussian processes is one again, so all of it follows
in closed form from the measured networks, the leave-one-out errors too (Rasmussen & Williams 2006, sections 2.2 and
5.4.2); those give the interval (Barber et al. 2021, "Predictive inference with the jackknife+").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from math import ceil, exp, inf, log
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nas.latency.features import OpRow

_Array = NDArray[np.float64]

# Over what difference of each number of a row, in its unit (mostly natural logarithms), an operation's time changes.
_LENGTHS = np.array([30, 8, 8, 20, 3.5, 2.5, 7, 4, 2, 0.5, 0.5, 10, 15, 1.5, 1.5, 5, 3, 0.5, 0.5, 2, 0.5])
_NETWORK_LENGTHS = np.array([1.3, 4.7, 2.0, 7.4])
_TERMS = 4
"""Of the prior of a kind: multiply-adds, numbers read and written, parameters, and one for the call."""
_WIDENED = log(1.5)
"""How far outside of what was measured, in logarithms, a number may lie."""
_BOUNDED = 9
"""The first numbers of a row, which have to lie within what was measured."""


class Prediction(NamedTuple):
    """A latency that was not measured."""

    ms: float
    low_ms: float
    """The interval that holds the measured figure of nine networks in ten."""
    high_ms: float
    unknown: str
    """What of the network the calibration has not seen; empty where the interval can be relied on."""


@dataclass(frozen=True)
class _Kernel:
    """How large and how smooth the deviations from the prior are, as shares of it."""

    op: float = 0.5
    """Of operations of a kind, one from another."""
    kind: float = 0.1
    """Of a kind as a whole."""
    network: float = 0.3
    """Of networks as a whole, by their size: caches, and what the sum over operations misses."""
    noise: float = 0.05
    stretch: float = 1.0
    """Of the lengths over which they change."""


class Predictor:
    """Predicts what the networks it was fitted to would take, and others like them."""

    def __init__(self, parts: Mapping[str, Any]) -> None:
        """Take what `fit` made, or `to_dict` gave."""
        self._values = parts
        self.error = float(_numbers(parts["error"], low=0))
        """Bound of |log(measured / predicted)| for nine networks in ten."""
        self._kernel = _Kernel(**{name: float(_numbers(value, low=1e-6)) for name, value in parts["kernel"].items()})
        self._kinds = {name: _Kind(values, self._kernel) for name, values in parts["kinds"].items()}
        self._networks = _numbers(parts["networks"]) / (self._kernel.stretch * _NETWORK_LENGTHS)
        self._network_weights = _numbers(parts["network_weights"])
        if self._networks.shape != (len(self._network_weights), len(_NETWORK_LENGTHS)):
            raise ValueError(f"networks of shape {self._networks.shape} do not fit their weights")
        self._known: dict[OpRow, tuple[tuple[float, ...], str]] = {}

    def predict(self, rows: Sequence[OpRow]) -> Prediction:
        """Predict the time of a network from its operations."""
        known = [self._known.get(row) or self._look(row) for row in rows]
        prior, total, *terms = np.array([numbers for numbers, _ in known]).sum(0)
        size = np.array(_size(*terms)) / (self._kernel.stretch * _NETWORK_LENGTHS)
        near = np.exp(-0.5 * ((self._networks - size) ** 2).sum(1))
        total += self._kernel.network**2 * prior * (near @ self._network_weights)
        ms = float(max(total, 0.2 * prior))
        unknown = next((unknown for _, unknown in known if unknown), "")
        return Prediction(ms, ms * exp(-self.error), ms * exp(self.error), unknown)

    def _look(self, row: OpRow) -> tuple[tuple[float, ...], str]:
        """Work out an operation: its time by the prior, the corrected one, its terms; and whether it is unlike all."""
        terms = _terms(np.array([row.numbers]))[0]
        kind = self._kinds.get(row.kind)
        if kind is None:
            found = (0.0, 0.0, *terms), f"{row.kind} operations"
        else:
            found = (*kind.times(row, terms), *terms), kind.outside(row)
        self._known[row] = found
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return dict(self._values)


class _Kind:
    """One kind of operation."""

    def __init__(self, values: Mapping[str, Any], kernel: _Kernel) -> None:
        self._kernel = kernel
        self._prior, self._weights = _numbers(values["prior"], low=0), _numbers(values["weights"])
        points = _numbers(values["points"])
        if points.shape != (len(self._weights), len(_LENGTHS)) or self._prior.shape != (_TERMS,):
            raise ValueError(f"points of shape {points.shape} do not fit {len(self._weights)} weights")
        self._low, self._high = points[:, :_BOUNDED].min(0), points[:, :_BOUNDED].max(0)
        self._points = points / (kernel.stretch * _LENGTHS)

    def times(self, row: OpRow, terms: _Array) -> tuple[float, float]:
        """Return the time by the prior, and the corrected one."""
        prior = float(terms @ self._prior)
        near = np.exp(-0.5 * ((self._points - np.array(row.numbers) / (self._kernel.stretch * _LENGTHS)) ** 2).sum(1))
        deviation = self._kernel.op**2 * near @ self._weights + self._kernel.kind**2 * self._weights.sum()
        return prior, prior * (1 + float(deviation))

    def outside(self, row: OpRow) -> str:
        """Say where an operation is beyond what was measured; empty where it is not."""
        numbers = np.array(row.numbers[:_BOUNDED])
        if ((numbers < self._low - _WIDENED) | (numbers > self._high + _WIDENED)).any():
            return f"{row.kind} operations of this size"
        return ""


def _numbers(value: object, low: float = -1e9) -> _Array:
    """Read numbers of a file; raises `ValueError` where they are none, or no reasonable ones."""
    found = np.array(value, dtype=np.float64)
    if not ((found >= low) & (found <= 1e9)).all():
        raise ValueError(f"a number is not between {low:g} and 1e9")
    return found


def _terms(numbers: _Array) -> _Array:
    """The terms of the prior, a row an operation."""
    moved = np.exp(numbers[:, 1]) + np.exp(numbers[:, 2])
    return np.stack([np.exp(numbers[:, 0]) - 1, moved, np.exp(numbers[:, 3]) - 1, np.ones(len(numbers))], axis=1)


def _size(macs: float, moved: float, params: float, operations: float) -> list[float]:
    """A network as a whole, by the sums of its terms: in logarithms."""
    return [log(1 + params), log(1 + macs), log(moved), log(operations)]


@dataclass(frozen=True)
class _Data:
    """Measured networks as matrices."""

    rows: list[OpRow]
    """Their different operations, sorted by kind."""
    numbers: _Array
    spans: Mapping[str, slice]
    """Where the operations of a kind are."""
    counts: _Array
    """How often each network has each operation."""
    sizes: _Array
    ms: _Array

    @classmethod
    def of(cls, networks: Sequence[Sequence[OpRow]], ms: Sequence[float]) -> _Data:
        rows = sorted({row for network in networks for row in network})
        place = {row: i for i, row in enumerate(rows)}
        counts = np.zeros((len(networks), len(rows)))
        for i, network in enumerate(networks):
            for row in network:
                counts[i, place[row]] += 1
        kinds = [row.kind for row in rows]
        spans = {kind: slice(kinds.index(kind), kinds.index(kind) + kinds.count(kind)) for kind in sorted(set(kinds))}
        numbers = np.array([row.numbers for row in rows])
        sizes = np.array([_size(*terms) for terms in counts @ _terms(numbers)])
        return cls(rows, numbers, spans, counts, sizes, np.array(ms))


@dataclass(frozen=True)
class _Fit:
    kernel: _Kernel
    weights: _Array
    """Of the measured networks."""
    residuals: _Array
    """Of each network by the others: measured less predicted, as a share of the measured figure."""
    log_likelihood: float
    """Of each network given the others, in the mean."""


def fit(
    networks: Sequence[Sequence[OpRow]], ms: Sequence[float], judged: Sequence[float] | None = None
) -> tuple[Predictor, _Array]:
    """Learn to predict from measured networks.

    Args:
        networks: the operations of each.
        ms: what each was measured to take.
        judged: figures to judge predictions by, where `ms` was measured better than a new network will be.

    Returns:
        The predictor, and for each network the share by which the others predict it wrongly: predicted / measured - 1.
    """
    data = _Data.of(networks, ms)
    prior = _prior(data)
    expected = np.concatenate([_terms(data.numbers[span]) @ prior[kind] for kind, span in data.spans.items()])
    shares = data.counts * expected / data.ms[:, None]
    best = _best_kernel(data, shares)
    weights = shares.T @ best.weights
    kinds = {
        kind: {
            "prior": prior[kind].tolist(),
            "points": data.numbers[span].round(6).tolist(),
            "weights": weights[span].tolist(),
        }
        for kind, span in data.spans.items()
    }
    errors = -best.residuals
    if judged is not None:
        errors = data.ms * (1 + errors) / np.array(judged) - 1
    values = {
        "error": conformal_bound(errors),
        "kernel": asdict(best.kernel),
        "kinds": kinds,
        "networks": data.sizes.round(6).tolist(),
        "network_weights": (shares.sum(1) * best.weights).tolist(),
    }
    return Predictor(values), errors


def _prior(data: _Data) -> Mapping[str, _Array]:
    """Fit the times of one multiply-add, number moved, parameter and call, for each kind near those for all."""
    from scipy.optimize import nnls

    terms = _terms(data.numbers)
    target = np.ones(len(data.ms))
    every = data.counts @ terms / data.ms[:, None]
    size = np.linalg.norm(every, axis=0) + 1e-12
    common = nnls(every / size, target)[0] / size
    common = np.maximum(common, 1e-3 / size)
    columns = [data.counts[:, span] @ terms[span] / data.ms[:, None] for span in data.spans.values()]
    matrix = np.concatenate(columns, axis=1)
    near = np.tile(common, len(columns))
    # Each coefficient is drawn to the common one by what 5 % of the data weigh.
    size = np.linalg.norm(matrix, axis=0) + 1e-12
    pull = 0.05 * np.eye(len(size))
    found, _ = nnls(np.vstack([matrix / size, pull]), np.concatenate([target, 0.05 * size * near]), maxiter=20_000)
    found = np.maximum(found / size, 0.1 * near).reshape(-1, _TERMS)
    return dict(zip(data.spans, found, strict=True))


def _best_kernel(data: _Data, shares: _Array) -> _Fit:
    """Choose the kernel under which each network is best predicted by the others, one of its numbers after another."""
    best = _solve(data, shares, _Kernel())
    steps = {"stretch": (0.7, 1, 1.4, 2), "op": (0.25, 0.5, 1), "network": (0.1, 0.3, 0.6), "noise": (0.02, 0.05, 0.08)}
    for _, (name, values) in product(range(2), steps.items()):
        for value in values:
            tried = _solve(data, shares, replace(best.kernel, **{name: value}))
            if tried.log_likelihood > best.log_likelihood:
                best = tried
    return best


def _solve(data: _Data, shares: _Array, kernel: _Kernel) -> _Fit:
    """Condition on the networks; everything as a share of their measured figures."""
    count = len(data.ms)
    covariance = kernel.noise**2 * np.eye(count)
    for span in data.spans.values():
        scaled = data.numbers[span] / (kernel.stretch * _LENGTHS)
        own = shares[:, span]
        covariance += own @ (kernel.op**2 * _near(scaled) + kernel.kind**2) @ own.T
    expected = shares.sum(1)
    sizes = data.sizes / (kernel.stretch * _NETWORK_LENGTHS)
    covariance += kernel.network**2 * _near(sizes) * np.outer(expected, expected)
    inverse = np.linalg.inv(covariance)
    weights = inverse @ (1 - expected)
    variance = 1 / np.diag(inverse)
    residuals = weights * variance
    return _Fit(kernel, weights, residuals, float(-0.5 * (np.log(variance) + residuals**2 / variance).mean()))


def _near(points: _Array) -> _Array:
    squares = (points**2).sum(1)
    return np.asarray(np.exp(-0.5 * np.maximum(squares[:, None] + squares[None] - 2 * points @ points.T, 0)))


def conformal_bound(errors: _Array, share: float = 0.9) -> float:
    """The bound on |log(measured / predicted)| that a new network holds with this probability.

    Args:
        errors: predicted / measured - 1 of networks that were not learned from.
        share: the probability; where there are too few networks for it, the bound is inf.
    """
    scores = np.sort(np.abs(np.log1p(np.maximum(errors, -0.99))))
    rank = ceil((len(scores) + 1) * share)
    return float(scores[rank - 1]) if rank <= len(scores) else inf
