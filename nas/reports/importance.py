"""Which decisions matter: of the variance of the scores over a space, the share that each decision explains.

Searches try near the best what they try at all, so the variance among their trials is not that over the space. An
analysis of variance with random effects learns what each option does from the trials, and is evaluated on networks
drawn from the space: Hutter et al. 2014, "An efficient approach for assessing hyperparameter importance" (fANOVA), with
a model that knows how unsure it is in place of a random forest. docs/decisions/046 has what it was measured by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Genotype = Mapping[str, Any]

MIN_TRIALS = 12
"""Fewer evaluated networks say nothing of what matters."""
_MAX_TRIALS = 500
"""Of more trials so many, evenly over their order, stand for all."""
_MAX_OPTIONS = 12
"""A number from a range with more values is cut into so many parts."""
_LENGTHSCALE = 2 / 3
"""Of the kernel over options in an order, as a share of the way from the first to the last."""
_PRIOR_SCALE = 0.3
"""Of the half-Cauchy prior of what the standard deviations of all effects share, in those of the scores."""
_NOISE_PRIOR = 0.02
"""Scale of the inverse gamma prior of the noise variance, whose shape is 1."""
_NORMAL_80 = 2.563
"""Width of the middle four fifths of a normal distribution, in standard deviations."""
_OUTLIERS, _OUTLIER_VARIANCE = 0.03, 1e6
"""Share of networks that are expected to be far off what their decisions say, such as trainings that diverged, and the
variance of their noise as a multiple of the others'."""
_DRAWS, _BURN_IN = 800, 200
"""Draws of the chain, the first of which are left out."""


@dataclass(frozen=True)
class Share:
    """A part of the variance of the scores over the space."""

    share: float
    """From 0 to 1."""
    low: float
    high: float
    """Ends of the interval that holds it with 95 %, as far as the model holds."""


@dataclass(frozen=True)
class Importance:
    """What the decisions of a space explain of the variance of the scores."""

    decisions: Mapping[str, Share]
    """What each decision explains by itself, the largest share first."""
    rest: Share
    """What decisions do together beyond what each does by itself, and noise."""
    trials: int
    outliers: int
    """How many of the trials are far off what their decisions say, and hardly count."""


@dataclass(frozen=True)
class _Decision:
    """A decision as columns of a linear model."""

    name: str
    codes: NDArray[np.int64]
    """`(trials,)`: the option of each trial; -1 where the decision is not active."""
    weights: Array
    """`(options,)`: the share of the networks of the space that have each."""
    basis: Array
    """`(options, columns)`: the effect of each option is this times standard normal coefficients."""

    @property
    def columns(self) -> Array:
        """Those of the trials, `(trials, columns)`; 0 where the decision is not active."""
        return np.vstack([self.basis, np.zeros((1, self.basis.shape[1]))])[self.codes]

    def variance(self, coefficients: Array) -> float:
        """Return the variance of its effects over the space."""
        return float(self.weights @ (self.basis @ coefficients) ** 2)


def importance(
    genotypes: Sequence[Genotype],
    scores: Sequence[float],
    drawn: Sequence[Genotype],
    seed: int = 0,
) -> Importance | None:
    """Return what the decisions explain of the variance of the scores over a space.

    Args:
        genotypes: of the evaluated networks.
        scores: of each.
        drawn: genotypes drawn from the space, over which the variance is meant.
        seed: of the chain.

    Returns:
        None where there are too few trials, all scores are equal or nothing is to be decided.
    """
    chosen = _evenly(len(scores), _MAX_TRIALS)
    values = np.asarray(scores, float)[chosen]
    names = sorted({name for genotype in drawn for name in genotype})
    decisions = [found for name in names if (found := _decision(name, [genotypes[i] for i in chosen], drawn))]
    if len(values) < MIN_TRIALS or np.ptp(values) == 0 or not decisions:
        return None
    standardised = (values - np.median(values)) / _spread(values)
    variances, off = _sampled_variances(decisions, standardised, np.random.default_rng(seed))
    shares = variances / variances.sum(axis=1, keepdims=True)
    means, ends = shares.mean(axis=0), np.quantile(shares, [0.025, 0.975], axis=0)
    parts = [Share(*map(float, part)) for part in zip(means, *ends, strict=True)]
    order = np.argsort(-means[:-1], kind="stable")
    return Importance({decisions[i].name: parts[i] for i in order}, parts[-1], len(values), int((off > 0.5).sum()))


def _spread(values: Array) -> float:
    """Return the standard deviation of scores, as the middle four fifths of them have it where these differ."""
    low, high = np.quantile(values, [0.1, 0.9])
    return float(high - low) / _NORMAL_80 or float(values.std())


def _evenly(count: int, most: int) -> NDArray[np.int64]:
    return (
        np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)) if count else np.zeros(0, int)
    )


def _decision(
    name: str, genotypes: Sequence[Mapping[str, Any]], drawn: Sequence[Mapping[str, Any]]
) -> _Decision | None:
    """Return a decision as columns; None where all networks of the space have the same option."""
    tried, known = [[one.get(name) for one in side] for side in (genotypes, drawn)]
    options = {_key(value): value for value in [*tried, *known] if value is not None}
    ordered = all(isinstance(value, int | float) and not isinstance(value, bool) for value in options.values())
    order = sorted(options, key=lambda key: options[key] if ordered else key)
    place: dict[str, int] = {key: index for index, key in enumerate(order)}
    if ordered and len(order) > _MAX_OPTIONS:
        place = {key: index * _MAX_OPTIONS // len(order) for key, index in place.items()}
    count = len(set(place.values()))
    if count < 2:
        return None
    seen = np.bincount([place[_key(value)] for value in known if value is not None], minlength=count)
    weights = np.maximum(seen, 0.5) / len(drawn)
    codes = np.array([-1 if value is None else place[_key(value)] for value in tried])
    return _Decision(name, codes, weights, _basis(weights, ordered=ordered))


def _key(value: Any) -> str:
    return f"{type(value).__name__} {value}" if isinstance(value, bool | str) else f"{float(value)}"


def _basis(weights: Array, *, ordered: bool) -> Array:
    """Return effects of options whose mean is 0 and whose variance is expected to be 1 over the space.

    Options in an order have like effects where they are near, half of it by an exponential kernel. The mean is that of
    the networks in which the decision is active: that it is active at all is due to another decision.
    """
    count = len(weights)
    kernel = np.eye(count)
    if ordered and count > 2:
        places = np.linspace(0, 1, count)
        kernel = 0.5 * kernel + 0.5 * np.exp(-np.abs(places[:, None] - places) / _LENGTHSCALE)
    centring = np.eye(count) - weights / weights.sum()
    kernel = centring @ kernel @ centring.T
    kernel /= weights @ np.diag(kernel)
    values, vectors = np.linalg.eigh(kernel)
    kept = values > 1e-9 * values.max()
    return np.asarray(vectors[:, kept] * np.sqrt(values[kept]))


def _sampled_variances(decisions: Sequence[_Decision], scores: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return draws of the variance of each decision and of the rest, given the scores.

    Gibbs sampling of a linear model in which the standard deviation of the effects of a decision is a scale of its own
    times one of all decisions, both with half-Cauchy priors: the horseshoe by groups of coefficients (Makalic & Schmidt
    2016, "A simple sampler for the horseshoe estimator"). Decisions that do nothing are shrunk to nothing, and all of
    them where few trials say little of many. A few networks may have far more noise than the others (Box & Tiao 1968,
    "A Bayesian approach to some outlier problems").

    Args:
        decisions: of the space.
        scores: `(trials,)`, standardised.
        rng: the source of the draws.

    Returns:
        The variances, `(draws, decisions + 1)`, and the chance of each trial to be far off, `(trials,)`.
    """
    sizes = np.array([one.basis.shape[1] for one in decisions])
    owner = np.repeat(np.arange(len(sizes)), sizes)
    design = np.hstack([np.ones((len(scores), 1)), *(one.columns for one in decisions)])
    squares, products = design.T @ design, design.T @ scores
    own, own_mix, shared, shared_mix, noise = np.ones(len(sizes)), np.ones(len(sizes)), 0.1, 1.0, 0.2
    draws, off, times_off = [], np.zeros(len(scores), bool), np.zeros(len(scores))
    for draw in range(_DRAWS):
        # What is far off counts by the inverse of its noise only.
        less, far = 1 - 1 / _OUTLIER_VARIANCE, design[off]
        precision = (squares - less * far.T @ far) / noise
        precision[np.diag_indices_from(precision)] += np.concatenate([[1e-3], 1 / (own * shared)[owner]])
        factor = np.linalg.cholesky(precision)
        centred = np.linalg.solve(factor, (products - less * far.T @ scores[off]) / noise)
        coefficients = np.linalg.solve(factor.T, centred + rng.normal(size=len(centred)))
        sums = np.bincount(owner, coefficients[1:] ** 2)
        own = np.clip((1 / own_mix + sums / (2 * shared)) / rng.gamma((sizes + 1) / 2), 1e-8, 1e8)
        own_mix = (1 + 1 / own) / rng.gamma(1.0, size=len(sizes))
        shared = float(1 / shared_mix + (sums / own).sum() / 2) / rng.gamma((len(owner) + 1) / 2)
        shared = min(max(shared, 1e-8), 1e8)
        shared_mix = (1 / _PRIOR_SCALE**2 + 1 / shared) / rng.gamma(1.0)
        residual = scores - design @ coefficients
        scaled = residual**2 / np.where(off, _OUTLIER_VARIANCE, 1.0)
        noise = max(float(scaled.sum() / 2 + _NOISE_PRIOR) / rng.gamma(len(scores) / 2 + 1), 1e-9)
        off = rng.random(len(scores)) < _chance_to_be_off(residual**2 / noise)
        if draw >= _BURN_IN:
            parts = np.split(coefficients[1:], np.cumsum(sizes)[:-1])
            variances = [one.variance(part) for one, part in zip(decisions, parts, strict=True)]
            draws.append([*variances, noise])
            times_off += off
    return np.array(draws), times_off / len(draws)


def _chance_to_be_off(squares: Array) -> Array:
    """Return the chance of each trial to be far off, by its squared residual in units of the noise variance."""
    exponents = np.minimum((1 - 1 / _OUTLIER_VARIANCE) * squares / 2, 100)
    odds = _OUTLIERS / (1 - _OUTLIERS) / np.sqrt(_OUTLIER_VARIANCE) * np.exp(exponents)
    return np.asarray(odds / (1 + odds))
