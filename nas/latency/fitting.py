"""The posterior of the Gaussian processes from measured networks, in closed form, and the errors of predictions.

Rasmussen & Williams 2006, "Gaussian processes for machine learning", sections 2.2 and 5.4.2 (leave-one-out).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import ceil, inf

import numpy as np

from nas.latency.features import OpFeatures
from nas.latency.kernel import (
    LENGTHSCALES,
    SIZE_LENGTHSCALES,
    Array,
    Kernel,
    NetworkSize,
    Terms,
    correlations,
    terms_of,
)
from nas.latency.predictor import Predictor


@dataclass(frozen=True)
class Measurements:
    """Measured networks as matrices."""

    ops: list[OpFeatures]
    """Their different operations, sorted by kind."""
    numbers: Array
    """Of the operations: (operations, numbers)."""
    spans: Mapping[str, slice]
    """Where in `ops` the operations of a kind are."""
    counts: Array
    """How often each network has each operation: (networks, operations)."""
    sizes: Array
    """The `NetworkSize` of each network: (networks, 4)."""
    ms: Array
    """The measured latency of each network."""

    @classmethod
    def of(cls, networks: Sequence[Sequence[OpFeatures]], ms: Sequence[float]) -> Measurements:
        """Return the networks as matrices.

        Args:
            networks: the features of the operations of each.
            ms: the measured latency of each.
        """
        ops = sorted({op for network in networks for op in network})
        column = {op: i for i, op in enumerate(ops)}
        counts = np.zeros((len(networks), len(ops)))
        for i, network in enumerate(networks):
            for op in network:
                counts[i, column[op]] += 1
        kinds = [op.kind for op in ops]
        spans = {kind: slice(kinds.index(kind), kinds.index(kind) + kinds.count(kind)) for kind in sorted(set(kinds))}
        numbers = np.array([op.numbers for op in ops])
        sizes = np.array([NetworkSize.of(Terms(*terms)) for terms in counts @ terms_of(numbers)])
        return cls(ops, numbers, spans, counts, sizes, np.array(ms))


@dataclass(frozen=True)
class Posterior:
    """The Gaussian process conditioned on the measured networks."""

    kernel: Kernel
    """Under which it was conditioned."""
    weights: Array
    """Of the measured networks in a prediction."""
    residuals: Array
    """Of each network by the others: measured less predicted, as a share of the measured latency."""
    log_likelihood: float
    """Of each network given the others, in the mean."""


def fit(
    networks: Sequence[Sequence[OpFeatures]], ms: Sequence[float], judged: Sequence[float] | None = None
) -> tuple[Predictor, Array]:
    """Learn to predict from measured networks.

    Args:
        networks: the features of the operations of each.
        ms: the measured latency of each.
        judged: latencies to judge predictions by, where `ms` was measured better than a new network will be.

    Returns:
        The predictor, and for each network the share by which the others predict it wrongly: predicted / measured - 1.
    """
    data = Measurements.of(networks, ms)
    prior = _prior(data)
    expected = np.concatenate([terms_of(data.numbers[span]) @ prior[kind] for kind, span in data.spans.items()])
    shares = data.counts * expected / data.ms[:, None]
    best = _best_posterior(data, shares)
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
    parts = {
        "error": conformal_bound(errors),
        "kernel": best.kernel.to_dict(),
        "kinds": kinds,
        "networks": data.sizes.round(6).tolist(),
        "network_weights": (shares.sum(1) * best.weights).tolist(),
    }
    return Predictor(parts), errors


def _prior(data: Measurements) -> Mapping[str, Array]:
    """Fit the prior mean: the times of one multiply-add, number moved, parameter and call, by kind.

    Those of a kind are drawn to those that fit best for all kinds together.
    """
    from scipy.optimize import nnls

    terms = terms_of(data.numbers)
    target = np.ones(len(data.ms))
    totals = data.counts @ terms / data.ms[:, None]
    norm = np.linalg.norm(totals, axis=0) + 1e-12
    common = nnls(totals / norm, target)[0] / norm
    common = np.maximum(common, 1e-3 / norm)
    columns = [data.counts[:, span] @ terms[span] / data.ms[:, None] for span in data.spans.values()]
    matrix = np.concatenate(columns, axis=1)
    near = np.tile(common, len(columns))
    # Each coefficient is drawn to the common one by what 5 % of the data weigh.
    norm = np.linalg.norm(matrix, axis=0) + 1e-12
    pull = 0.05 * np.eye(len(norm))
    times, _ = nnls(np.vstack([matrix / norm, pull]), np.concatenate([target, 0.05 * norm * near]), maxiter=20_000)
    times = np.maximum(times / norm, 0.1 * near).reshape(-1, len(Terms._fields))
    return dict(zip(data.spans, times, strict=True))


def _best_posterior(data: Measurements, shares: Array) -> Posterior:
    """Choose the kernel under which each network is best predicted by the others, one of its numbers after another."""
    best = _condition(data, shares, Kernel())
    steps = {
        "lengthscale": (0.7, 1, 1.4, 2),
        "op": (0.25, 0.5, 1),
        "network": (0.1, 0.3, 0.6),
        "noise": (0.02, 0.05, 0.08),
    }
    for _, (name, values) in product(range(2), steps.items()):
        for value in values:
            tried = _condition(data, shares, replace(best.kernel, **{name: value}))
            if tried.log_likelihood > best.log_likelihood:
                best = tried
    return best


def _condition(data: Measurements, shares: Array, kernel: Kernel) -> Posterior:
    """Condition the Gaussian process on the networks, as shares of their measured latency.

    Args:
        data: the networks.
        shares: prior mean of the time of each operation in each network, as a share: (networks, operations).
        kernel: under which.
    """
    covariance = kernel.noise**2 * np.eye(len(data.ms))
    for span in data.spans.values():
        points = data.numbers[span] / (kernel.lengthscale * LENGTHSCALES)
        of_kind = shares[:, span]
        covariance += of_kind @ (kernel.op**2 * correlations(points) + kernel.kind**2) @ of_kind.T
    mean = shares.sum(1)
    sizes = data.sizes / (kernel.lengthscale * SIZE_LENGTHSCALES)
    covariance += kernel.network**2 * correlations(sizes) * np.outer(mean, mean)
    inverse = np.linalg.inv(covariance)
    weights = inverse @ (1 - mean)
    variance = 1 / np.diag(inverse)
    residuals = weights * variance
    return Posterior(kernel, weights, residuals, float(-0.5 * (np.log(variance) + residuals**2 / variance).mean()))


def conformal_bound(errors: Array, share: float = 0.9) -> float:
    """Return the bound on |log(measured / predicted)| that a new network holds with this probability.

    Args:
        errors: predicted / measured - 1 of networks that were not learned from.
        share: the probability; where there are too few networks for it, the bound is inf.
    """
    scores = np.sort(np.abs(np.log1p(np.maximum(errors, -0.99))))
    rank = ceil((len(scores) + 1) * share)
    return float(scores[rank - 1]) if rank <= len(scores) else inf
