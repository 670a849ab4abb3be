"""Whether one population of networks has smaller errors than another: bootstrap intervals, and a permutation test."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb, prod

import numpy as np
from scipy.stats import norm, t

from nas.compare.spaces.complexity import LEAST, Array, Ints, weights_of
from nas.compare.spaces.distribution import distribution_of
from nas.statistics import Difference

_DRAWS = 4000
_INTERVAL = (2.5, 97.5)
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Gap(Difference):
    """By how much the errors of one population differ from those of another; what is below zero is better."""

    mean: float
    """Difference of the weighted mean errors, of which the interval is."""
    errors: Array
    """`(places,)`: where the distribution functions are compared."""
    apart: Array
    """`(places,)`: difference of the distribution functions; above zero is better."""
    band: Array
    """`(2, places)`: ends of the 95 % interval of `apart` at each place by itself."""

    @property
    def better(self) -> bool:
        return self.mean < 0

    def too_few(self, comparisons: int) -> str:
        return "too few networks to tell"


def gap(one: tuple[Array, Ints], other: tuple[Array, Ints], *, seed: int = 0, draws: int = _DRAWS) -> Gap:
    """Compare two populations.

    The p-value is the larger one of Student's and of the permutation test of his statistic within the bins, which is
    exact where the errors at equal complexity have the same distribution, of any shape; as `nas.compare` does.

    Args:
        one: errors and bins of its networks, `(networks,)` each; see `nas.compare.spaces.complexity.Matching`.
        other: what it is compared with, with the same bins.
        seed: of the draws.
        draws: number of populations drawn anew, and of permutations.
    """
    assert one[1].max() == other[1].max()
    rng = np.random.default_rng(seed)
    drawn = [redrawn(cells, rng, draws) for _, cells in (one, other)]
    counted = [errors[cells >= 0] for errors, cells in (one, other)]
    means = drawn[0] @ one[0] - drawn[1] @ other[0]
    places = np.unique(np.concatenate(counted))
    below = [weights @ (errors[:, None] < places) for weights, (errors, _) in zip(drawn, (one, other), strict=True)]
    found = [distribution_of(errors, weights_of(cells)) for errors, cells in (one, other)]
    freedom = min(int((cells >= 0).sum() - cells.max() - 1) for _, cells in (one, other))
    wider = _wider(freedom)
    mean, apart = found[0].mean - found[1].mean, found[0].at(places) - found[1].at(places)
    low, high = mean + wider * (np.percentile(means, _INTERVAL) - mean)
    band = apart + wider * (np.percentile(below[0] - below[1], _INTERVAL, axis=0) - apart)
    statistics = _permuted(one, other, rng, draws)
    return Gap(
        mean=mean,
        low=float(low),
        high=float(high),
        p=max(float(2 * t.sf(statistics[0], freedom)), float((statistics >= statistics[0] * (1 - _ROUNDING)).mean())),
        least_p=max(1 / (draws + 1), _rarest(one[1], other[1])),
        errors=places,
        apart=apart,
        band=np.clip(band, -1, 1),
    )


def _permuted(one: tuple[Array, Ints], other: tuple[Array, Ints], rng: np.random.Generator, draws: int) -> Array:
    """Return |difference of the means / its standard error| as it is, and with networks exchanged within their bins.

    `(1 + draws,)`; Cochran 1977, "Sampling techniques", chapter 5, has the standard error.
    """
    gaps, variances = np.zeros(draws + 1), np.zeros(draws + 1)
    scale = max(float(np.ptp(np.concatenate([one[0][one[1] >= 0], other[0][other[1] >= 0]]))), _ROUNDING)
    for cell in range(int(one[1].max()) + 1):
        first, second = one[0][one[1] == cell], other[0][other[1] == cell]
        every = np.concatenate([first, second]) / scale
        order = np.concatenate([np.arange(len(every))[None], rng.random((draws, len(every))).argsort(axis=1)])
        parts = np.split(every[order], [len(first)], axis=1)
        gaps += parts[0].mean(axis=1) - parts[1].mean(axis=1)
        variances += sum(part.var(axis=1, ddof=1) / part.shape[1] for part in parts)
    # Where nothing varies, any difference is a large one.
    return np.asarray(np.abs(gaps) / np.sqrt(np.maximum(variances, _ROUNDING**2)))


def _rarest(one: Ints, other: Ints) -> float:
    """Return the share of the most extreme one of all ways to exchange networks within their bins."""
    counts = [(int((one == cell).sum()), int((other == cell).sum())) for cell in range(int(one.max()) + 1)]
    mirrored = 2 if all(first == second for first, second in counts) else 1
    return min(1.0, mirrored / prod(comb(first + second, first) for first, second in counts))


def _wider(freedom: int) -> float:
    """Return by how much an interval is to be wider since its width is itself judged from few networks.

    The percentiles of a bootstrap are those of a normal distribution where Student's t belongs (Hesterberg 2015, "What
    teachers should know about the bootstrap", section 4); this is the ratio of the two.

    Args:
        freedom: networks less bins of the smaller population: on the safe side of Welch's degrees of freedom.
    """
    return float(t.ppf(0.975, freedom) / norm.ppf(0.975))


def redrawn(cells: Ints, rng: np.random.Generator, draws: int) -> Array:
    """Return the weights of populations drawn anew, bin by bin, `(draws, networks)`; each row has the sum one.

    Of the m networks in a bin m - 1 are drawn, with replacement: with m of them the variance of the mean would be too
    small by (m - 1) / m, which matters where bins hold few (Rao & Wu 1988, "Resampling inference with complex survey
    data").
    """
    weights = np.zeros((draws, len(cells)))
    bins = int(cells.max()) + 1
    for cell in range(bins):
        members = np.flatnonzero(cells == cell)
        count = len(members)
        assert count >= LEAST
        weights[:, members] = rng.multinomial(count - 1, np.full(count, 1 / count), draws) / (bins * (count - 1))
    return weights
