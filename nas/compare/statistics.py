"""Whether one strategy is better than another: paired over seeds, with a bootstrap interval."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

Array = NDArray[np.float64]

_DRAWS = 10_000
_FEW = 8
"""Below so many values, draws from them show too little of what others could be."""
_ENOUGH = 30
"""Values of the smaller of two samples from which the plain bootstrap is wide enough."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How much better one strategy is than another, over the same seeds."""

    mean: float
    low: float
    high: float
    """Ends of the 95 % interval of the mean."""
    seeds: int

    @property
    def verdict(self) -> str:
        """`better` or `worse` where the interval excludes zero, else `not shown`."""
        if self.seeds > 1 and self.low > 0:
            return "better"
        return "worse" if self.seeds > 1 and self.high < 0 else "not shown"


def paired(one: Array, other: Array, *, seed: int = 0) -> Difference:
    """Compare two strategies by what they found with the same seeds.

    The interval is that of the bootstrap, with percentiles so far out that it is as wide as Student's for as many seeds
    (Hesterberg 2015, "What teachers should know about the bootstrap", section 4: the plain one is too narrow); below
    8 seeds it is Student's itself.

    Args:
        one: `(seeds,)`; larger is better.
        other: `(seeds,)`, in the same order.
        seed: of the draws.
    """
    gaps = one - other
    count = len(gaps)
    if 1 < count < _FEW:
        reach = float(t.ppf(0.975, count - 1) * gaps.std(ddof=1) / np.sqrt(count))
        return Difference(float(gaps.mean()), float(gaps.mean()) - reach, float(gaps.mean()) + reach, count)
    means = np.random.default_rng(seed).choice(gaps, (_DRAWS, count)).mean(axis=1)
    tail = float(norm.cdf(t.ppf(0.025, count - 1) * np.sqrt(count / (count - 1)))) if count > 1 else 0.025
    low, high = np.quantile(means, [tail, 1 - tail])
    return Difference(float(gaps.mean()), float(low), float(high), count)


def unpaired(one: Array, other: Array, *, seed: int = 0) -> Difference:
    """Compare the means of two samples that have nothing to do with each other, of two values or more each.

    The interval is Welch's where one of them is small (see `paired`), else that of the bootstrap. Both ends are nan
    where the values of each are all alike, so that nothing says how much they vary.
    """
    count = min(len(one), len(other))
    if np.ptp(one) == np.ptp(other) == 0:
        return Difference(float(one.mean() - other.mean()), nan, nan, count)
    if count < _ENOUGH:
        gap, reach = float(one.mean() - other.mean()), _welch(one, other)
        return Difference(gap, gap - reach, gap + reach, count)
    rng = np.random.default_rng(seed)
    means = rng.choice(one, (_DRAWS, len(one))).mean(axis=1) - rng.choice(other, (_DRAWS, len(other))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Difference(float(one.mean() - other.mean()), float(low), float(high), count)


def _welch(one: Array, other: Array) -> float:
    """Half the width of Welch's 95 % interval; scipy's test warns on the terminal where the values of one are alike."""
    parts = np.array([one.var(ddof=1) / len(one), other.var(ddof=1) / len(other)])
    total = float(parts.sum())
    if total == 0:  # values so near that their squares are no numbers any more
        return 0.0
    freedom = 1 / ((parts / total) ** 2 / [len(one) - 1, len(other) - 1]).sum()
    return float(t.ppf(0.975, freedom) * np.sqrt(total))


def median_interval(values: Array, *, seed: int = 0) -> tuple[float, float, float]:
    """Return the median of some values and its 95 % bootstrap interval."""
    rng = np.random.default_rng(seed)
    medians = np.median(rng.choice(values, (_DRAWS, len(values))), axis=1)
    low, high = np.percentile(medians, [2.5, 97.5])
    return float(np.median(values)), float(low), float(high)
