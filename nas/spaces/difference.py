"""Whether one population of networks has smaller errors than another: bootstrap intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, t

from nas.spaces.complexity import LEAST, Array, Ints, weights_of
from nas.spaces.distribution import distribution_of

_DRAWS = 4000
_INTERVAL = (2.5, 97.5)


@dataclass(frozen=True, kw_only=True)
class Gap:
    """By how much the errors of one population differ from those of another; what is below zero is better."""

    mean: float
    """Difference of the weighted mean errors."""
    low: float
    high: float
    """Ends of the 95 % interval of `mean`."""
    errors: Array
    """`(places,)`: where the distribution functions are compared."""
    apart: Array
    """`(places,)`: difference of the distribution functions; above zero is better."""
    band: Array
    """`(2, places)`: ends of the 95 % interval of `apart` at each place by itself."""

    @property
    def verdict(self) -> str:
        """`better` or `worse` where the interval of the mean excludes zero, else `not shown`."""
        if self.high < 0:
            return "better"
        return "worse" if self.low > 0 else "not shown"


def gap(one: tuple[Array, Ints], other: tuple[Array, Ints], *, seed: int = 0, draws: int = _DRAWS) -> Gap:
    """Compare two populations.

    Args:
        one: errors and bins of its networks, `(networks,)` each; see `nas.spaces.complexity.Matching`.
        other: what it is compared with, with the same bins.
        seed: of the draws.
        draws: number of populations drawn anew.
    """
    assert one[1].max() == other[1].max()
    rng = np.random.default_rng(seed)
    drawn = [redrawn(cells, rng, draws) for _, cells in (one, other)]
    counted = [errors[cells >= 0] for errors, cells in (one, other)]
    means = drawn[0] @ one[0] - drawn[1] @ other[0]
    places = np.unique(np.concatenate(counted))
    below = [weights @ (errors[:, None] < places) for weights, (errors, _) in zip(drawn, (one, other), strict=True)]
    found = [distribution_of(errors, weights_of(cells)) for errors, cells in (one, other)]
    wider = _wider(min(int((cells >= 0).sum() - cells.max() - 1) for _, cells in (one, other)))
    mean, apart = found[0].mean - found[1].mean, found[0].at(places) - found[1].at(places)
    low, high = mean + wider * (np.percentile(means, _INTERVAL) - mean)
    band = apart + wider * (np.percentile(below[0] - below[1], _INTERVAL, axis=0) - apart)
    return Gap(mean=mean, low=float(low), high=float(high), errors=places, apart=apart, band=np.clip(band, -1, 1))


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
