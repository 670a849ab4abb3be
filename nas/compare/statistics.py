"""Whether one strategy is better than another: paired over seeds, with a bootstrap interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_DRAWS = 10_000


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
    """Compare two strategies by what they found with the same seeds (Efron & Tibshirani 1993, chapter 13).

    Args:
        one: `(seeds,)`; larger is better.
        other: `(seeds,)`, in the same order.
        seed: of the draws.
    """
    return _of(one - other, seed)


def unpaired(one: Array, other: Array, *, seed: int = 0) -> Difference:
    """Compare the means of two samples that have nothing to do with each other, of any sizes."""
    rng = np.random.default_rng(seed)
    means = rng.choice(one, (_DRAWS, len(one))).mean(axis=1) - rng.choice(other, (_DRAWS, len(other))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Difference(float(one.mean() - other.mean()), float(low), float(high), min(len(one), len(other)))


def _of(gaps: Array, seed: int) -> Difference:
    rng = np.random.default_rng(seed)
    means = rng.choice(gaps, (_DRAWS, len(gaps))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Difference(float(gaps.mean()), float(low), float(high), len(gaps))


def median_interval(values: Array, *, seed: int = 0) -> tuple[float, float, float]:
    """Return the median of some values and its 95 % bootstrap interval."""
    rng = np.random.default_rng(seed)
    medians = np.median(rng.choice(values, (_DRAWS, len(values))), axis=1)
    low, high = np.percentile(medians, [2.5, 97.5])
    return float(np.median(values)), float(low), float(high)
