"""Whether one population of networks has smaller errors than another: bootstrap intervals, and a permutation test."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb, prod

import numpy as np
from scipy.stats import t

from nas.compare.spaces.complexity import MIN_NETWORKS, Array, Ints, weights_of
from nas.compare.spaces.distribution import distribution_of
from nas.statistics import Difference, bootstrap_counts, permutations, student_factor

_DRAWS = 4000
_INTERVAL = (2.5, 97.5)
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class ErrorDifference(Difference):
    """The errors of one population minus those of another: below zero they are better."""

    mean: float
    """Difference of the weighted mean errors, of which the interval is."""
    errors: Array
    """`(errors,)`, ascending: where the distribution functions are compared."""
    edf: Array
    """`(errors,)`: difference of the empirical distribution functions there; above zero is better."""
    band: Array
    """`(2, errors)`: ends of the 95 % interval of `edf` at each error by itself."""

    @property
    def better(self) -> bool:
        """Whether the mean error is the smaller one."""
        return self.mean < 0

    def too_few(self, comparisons: int) -> str:
        """Say that there are too few networks."""
        return "too few networks to tell"


def compare_errors(
    sample: tuple[Array, Ints], reference: tuple[Array, Ints], *, seed: int = 0, draws: int = _DRAWS
) -> ErrorDifference:
    """Compare the errors of two populations within bins of equal complexity.

    The p-value is the larger one of Student's and of the permutation test of his statistic within the bins, which is
    exact where the errors at equal complexity have the same distribution, of any shape; as `nas.compare` does.

    Args:
        sample: errors and bins of its networks, `(networks,)` each; see `nas.compare.spaces.complexity.Matching`.
        reference: those that it is compared with, in the same bins.
        seed: of the draws.
        draws: number of bootstrap samples, and of permutations.
    """
    assert sample[1].max() == reference[1].max()
    rng = np.random.default_rng(seed)
    weights = [bootstrap_weights(bins, rng, draws) for _, bins in (sample, reference)]
    errors = np.unique(np.concatenate([errors[bins >= 0] for errors, bins in (sample, reference)]))
    means = weights[0] @ sample[0] - weights[1] @ reference[0]
    edfs = [drawn @ (own[:, None] < errors) for drawn, (own, _) in zip(weights, (sample, reference), strict=True)]
    first, second = (distribution_of(own, weights_of(bins)) for own, bins in (sample, reference))
    # Networks less bins of the smaller population: on the safe side of Welch's degrees of freedom.
    freedom = min(int((bins >= 0).sum() - bins.max() - 1) for _, bins in (sample, reference))
    factor = student_factor(0.975, freedom)
    mean, edf = first.mean - second.mean, first.at(errors) - second.at(errors)
    low, high = mean + factor * (np.percentile(means, _INTERVAL) - mean)
    band = edf + factor * (np.percentile(edfs[0] - edfs[1], _INTERVAL, axis=0) - edf)
    statistics = _permutation_statistics(sample, reference, rng, draws)
    extreme = float((statistics >= statistics[0] * (1 - _ROUNDING)).mean())
    return ErrorDifference(
        mean=mean,
        low=float(low),
        high=float(high),
        p=max(float(2 * t.sf(statistics[0], freedom)), extreme),
        min_p=max(1 / (draws + 1), _smallest_p(sample[1], reference[1])),
        errors=errors,
        edf=edf,
        band=np.clip(band, -1, 1),
    )


def _permutation_statistics(
    sample: tuple[Array, Ints], reference: tuple[Array, Ints], rng: np.random.Generator, draws: int
) -> Array:
    """Return |difference of the means / its standard error| as observed, and with networks exchanged within their bins.

    `(1 + draws,)`; Cochran 1977, "Sampling techniques", chapter 5, has the standard error.
    """
    gaps, variances = np.zeros(draws + 1), np.zeros(draws + 1)
    counted = np.concatenate([errors[bins >= 0] for errors, bins in (sample, reference)])
    scale = max(float(np.ptp(counted)), _ROUNDING)
    for number in range(int(sample[1].max()) + 1):
        first, second = (errors[bins == number] for errors, bins in (sample, reference))
        pooled = np.concatenate([first, second]) / scale
        order = np.concatenate([np.arange(len(pooled))[None], permutations(rng, len(pooled), draws)])
        parts = np.split(pooled[order], [len(first)], axis=1)
        gaps += parts[0].mean(axis=1) - parts[1].mean(axis=1)
        variances += sum(part.var(axis=1, ddof=1) / part.shape[1] for part in parts)
    # Where nothing varies, any difference is a large one.
    return np.asarray(np.abs(gaps) / np.sqrt(np.maximum(variances, _ROUNDING**2)))


def _smallest_p(sample: Ints, reference: Ints) -> float:
    """Return the share of the most extreme of all ways to exchange networks within their bins."""
    numbers = range(int(sample.max()) + 1)
    counts = [(int((sample == number).sum()), int((reference == number).sum())) for number in numbers]
    mirrored = 2 if all(first == second for first, second in counts) else 1
    return min(1.0, mirrored / prod(comb(first + second, first) for first, second in counts))


def bootstrap_weights(bins: Ints, rng: np.random.Generator, draws: int) -> Array:
    """Return the weights of networks in bootstrap samples of a population, `(draws, networks)`; each row sums to one.

    Of the m networks in a bin m - 1 are drawn, with replacement: with m of them the variance of the mean would be too
    small by (m - 1) / m, which matters where bins hold few (Rao & Wu 1988, "Resampling inference with complex survey
    data").

    Args:
        bins: `(networks,)`, the bin of each, -1 for a network that does not count.
        rng: the source of the draws.
        draws: number of bootstrap samples.
    """
    weights = np.zeros((draws, len(bins)))
    num_bins = int(bins.max()) + 1
    for number in range(num_bins):
        members = np.flatnonzero(bins == number)
        size = len(members)
        assert size >= MIN_NETWORKS
        weights[:, members] = bootstrap_counts(rng, size, draws, drawn=size - 1) / (num_bins * (size - 1))
    return weights
