"""Whether one strategy is better than another: tests and intervals that hold for any distribution of the scores.

Searches are few, and what they find is skewed, tied and bounded, so that intervals by Student or the bootstrap miss
more often than they say. Verdicts come from exact tests, corrected for all comparisons that are made together.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, count
from math import comb, inf, nan, prod, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, t

Array = NDArray[np.float64]

LEVEL = 0.05
"""The chance that any verdict of a family of comparisons is wrong is at most this."""
FEWEST = 6
"""Values of which a 95 % interval of the median can be said; see `median_interval`."""
_MOST_DIVISIONS = 20_000
"""Up to so many ways to divide two samples all are looked at, else `_DRAWS` random ones."""
_DRAWS = 9_999
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of a difference beside others."""

    text: str
    """`better`, `worse`, `not shown`, or that there are too few values for either."""
    p: float
    """Corrected for the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference(ABC):
    """How much better one is than another."""

    low: float
    high: float
    """Ends of the 95 % interval, which stands for itself; nan where there is none."""
    p: float
    """The chance of a difference as large as this where there is none, of this comparison alone."""
    least_p: float
    """The smallest p that so many values can give."""

    @property
    @abstractmethod
    def better(self) -> bool:
        """Its direction, shown or not."""

    @abstractmethod
    def too_few(self, comparisons: int) -> str:
        """Say that there are too few values, and how many so many comparisons need."""

    @property
    def verdict(self) -> str:
        """What is said of it where it is the only comparison."""
        return judge([self])[0].text


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired(Difference):
    """How much better one strategy is than another over the same seeds, as the median of the differences."""

    median: float
    ahead: int
    """Seeds with which it is better."""
    behind: int

    @property
    def better(self) -> bool:
        return self.ahead > self.behind

    def too_few(self, comparisons: int) -> str:
        return f"too few seeds to tell: at least {seeds_needed(comparisons)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpaired(Difference):
    """How much better one sample is than another that has nothing to do with it, as the difference of the means."""

    mean: float
    strata: int
    """Within which they were compared."""

    @property
    def better(self) -> bool:
        return self.mean > 0

    def too_few(self, comparisons: int) -> str:
        needed = next(size for size in count(2) if 2 / comb(2 * size, size) ** self.strata <= LEVEL / comparisons)
        return f"too few to tell: at least {needed} of each"


def judge(found: Sequence[Difference]) -> list[Verdict]:
    """Say of each of all comparisons of a report what they show together.

    `better` or `worse` is said where the p-value is at most 5 % after Holm's correction for all of them; that there are
    too few values where they could not give such a p-value, whatever they were.
    """
    corrected, least = holm([one.p for one in found]), holm([one.least_p for one in found])
    verdicts = []
    for one, p, reachable in zip(found, corrected, least, strict=True):
        if reachable > LEVEL:
            text = one.too_few(len(found))
        elif p > LEVEL:
            text = "not shown"
        else:
            text = "better" if one.better else "worse"
        verdicts.append(Verdict(text, p))
    return verdicts


def seeds_needed(comparisons: int) -> int:
    """Return the fewest seeds with which so many comparisons can show a difference: of n, all on one side have the
    chance 2^(1 - n).
    """
    return next(seeds for seeds in count(1) if 2.0 ** (1 - seeds) <= LEVEL / comparisons)


def paired(one: Array, other: Array) -> Paired:
    """Compare two strategies by what they found with the same seeds.

    The p-value is the larger one of two tests that must agree in direction: the sign test, which is exact for any
    distribution where neither is ahead more often, seeds without a difference left out; and Student's, which allows for
    skewness, so that one that is slightly ahead mostly and far behind at times is not called better.

    Args:
        one: `(seeds,)`; larger is better.
        other: `(seeds,)`, in the same order.
    """
    gaps = one - other
    ahead, behind = int((gaps > 0).sum()), int((gaps < 0).sum())
    agree = (ahead - behind) * gaps.mean() > 0
    sign_p = 2 * binom.cdf(min(ahead, behind), ahead + behind, 0.5)
    p = min(1.0, max(sign_p, _mean_p(gaps))) if agree else 1.0
    median, low, high = median_interval(gaps)
    return Paired(
        low=low,
        high=high,
        p=float(p),
        least_p=min(1.0, 2.0 ** (1 - len(gaps))),
        median=median,
        ahead=ahead,
        behind=behind,
    )


def _mean_p(values: Array) -> float:
    """Return the p-value of a mean that is not 0: Student's, larger where the longer tail is on the other side of 0.

    With the skewness g, |t| towards the shorter tail is beyond z + |g| (1 + 2 z^2) / (6 sqrt(n)) where it should be
    beyond z (Hall 1987, "Edgeworth expansion for Student's t statistic under minimal moment conditions"); this is the p
    of that z. Twice the skewness of the values stands for g, since few values show about half of that of an exponential
    or a lognormal distribution. Towards the longer tail it is Student's own.
    """
    size = len(values)
    if size < 2:
        return 1.0
    middle, spread = values.mean(), values.std()
    if spread <= _ROUNDING * abs(middle):
        return 0.0
    seen, skewness = abs(middle) / spread * sqrt(size - 1), float((((values - middle) / spread) ** 3).mean())
    by = max(0.0, -2 * skewness * np.sign(middle)) / (6 * sqrt(size))
    beyond = seen if by == 0 else max(0.0, 2 * (seen - by) / (1 + sqrt(max(0.0, 1 + 8 * by * (seen - by)))))
    return 2 * float(t.sf(beyond, size - 1))


def unpaired(one: Array, other: Array, *, seed: int = 0) -> Unpaired:
    """Compare the means of two samples that have nothing to do with each other; see `stratified`.

    Args:
        one: `(values,)`; larger is better.
        other: `(values,)`, as many or others.
        seed: of the divisions that are drawn where there are too many to look at all.
    """
    return stratified([(one, other)], seed=seed)


def stratified(strata: Sequence[tuple[Array, Array]], *, seed: int = 0) -> Unpaired:
    """Compare the means of two samples within each of some strata, by the mean of those differences.

    The interval is Welch's; both ends are nan where the values of each sample are all alike, so that nothing says how
    much they vary, and where one has a single value. The p-value is the larger one of Welch's and of the permutation
    test of his statistic within the strata, which is exact where both samples of a stratum have the same distribution,
    of any shape (Janssen 1997, "Studentized permutation tests for non-iid hypotheses").

    Args:
        strata: two samples of each, `(values,)`, as many or others; larger is better.
        seed: of the divisions that are drawn where there are too many to look at all.
    """
    gap = float(np.mean([one.mean() - other.mean() for one, other in strata]))
    divisions = prod(comb(len(one) + len(other), len(one)) for one, other in strata)
    turned = all(len(one) == len(other) for one, other in strata)
    least = (2 if turned else 1) / min(divisions, _DRAWS + 1)
    samples = [sample for stratum in strata for sample in stratum]
    low = high = nan
    p = 1.0
    if min(map(len, samples)) > 1:
        p = _permutation_p(strata, divisions, seed)
        parts = [float(each.var(ddof=1)) / len(each) if np.ptp(each) else 0.0 for each in samples]
        error = sqrt(sum(parts))
        if error > 0:
            # By shares of the variance, since the square of a small one is no number any more.
            freedom = 1 / sum(
                (part / sum(parts)) ** 2 / (len(each) - 1) for part, each in zip(parts, samples, strict=True)
            )
            error /= len(strata)
            reach = float(t.ppf(1 - LEVEL / 2, freedom)) * error
            low, high = gap - reach, gap + reach
            p = max(p, 2 * float(t.sf(abs(gap) / error, freedom)))
    return Unpaired(low=low, high=high, p=p, least_p=min(1.0, least), mean=gap, strata=len(strata))


def _permutation_p(strata: Sequence[tuple[Array, Array]], divisions: int, seed: int) -> float:
    """Return the share of the divisions of each stratum's values into two samples whose |t| is as large as theirs."""
    every = [np.concatenate(stratum) for stratum in strata]
    every = [values - values.mean() for values in every]
    spread = sqrt(sum(float(values @ values) for values in every) / sum(map(len, every)))
    if spread == 0:
        return 1.0
    sizes = [len(one) for one, _ in strata]
    if divisions <= _MOST_DIVISIONS:
        each = [
            np.array(list(combinations(range(len(values)), size))) for values, size in zip(every, sizes, strict=True)
        ]
        ranks = np.indices([len(places) for places in each]).reshape(len(each), -1)
        chosen = [places[rank] for places, rank in zip(each, ranks, strict=True)]
    else:
        rng = np.random.default_rng(seed)
        drawn = [rng.random((_DRAWS, len(values))).argsort(axis=1) for values in every]
        chosen = [
            np.concatenate([np.arange(size)[None], order[:, :size]]) for order, size in zip(drawn, sizes, strict=True)
        ]
    every = [values / spread for values in every]
    seen = _welch(every, [np.arange(size)[None] for size in sizes])
    return float((_welch(every, chosen) >= seen * (1 - _ROUNDING)).mean())


def _welch(strata: Sequence[Array], chosen: Sequence[NDArray[np.int64]]) -> Array:
    """Return |t| of Welch's test for divisions of values, `(divisions,)`; inf where no part varies.

    Args:
        strata: the values of each, `(values,)`, with mean 0, together with standard deviation 1.
        chosen: `(divisions, size)` for each, of the values in the first part.
    """
    gaps, within = np.zeros(len(chosen[0])), np.zeros(len(chosen[0]))
    for every, places in zip(strata, chosen, strict=True):
        size, rest = places.shape[1], len(every) - places.shape[1]
        sums, squares = every[places].sum(axis=1), (every[places] ** 2).sum(axis=1)
        gaps += sums / size + sums / rest  # the sum of the others is -sums
        within += (squares - sums**2 / size) / (size - 1) / size
        within += (every @ every - squares - sums**2 / rest) / (rest - 1) / rest
    gaps, moves = np.abs(gaps), within > _ROUNDING
    none = np.where(gaps > _ROUNDING, inf, 0.0)
    return np.asarray(np.divide(gaps, np.sqrt(within, where=moves, out=np.ones_like(within)), out=none, where=moves))


def median_interval(values: Array) -> tuple[float, float, float]:
    """Return the median of some values and the ends of its 95 % interval; both are nan below 6 values.

    The ends are the values of equal ranks from below and from above between which the median of any distribution is
    with a chance of 95 % or more (David & Nagaraja 2003, "Order statistics", section 7.1). The smallest and the largest
    of 5 values hold it with 1 - 2^-4 = 93.75 %, so of 5 there is no such interval.
    """
    size = len(values)
    middle = float(np.median(values))
    if size < FEWEST or np.isnan(middle):
        return middle, nan, nan
    order, beyond = np.sort(values), _beyond(size)
    return middle, float(order[beyond]), float(order[size - 1 - beyond])


@cache
def _beyond(size: int) -> int:
    """Return how many of some values, 6 or more, may be beyond either end of the interval of their median.

    The most k for which k or fewer of them are below the median with a chance of 2.5 % at most.
    """
    most = int(binom.ppf(LEVEL / 2, size, 0.5))
    return most - int(binom.cdf(most, size, 0.5) > LEVEL / 2)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct the p-values of a family of tests: where those below a level are believed, the chance that any of them
    is wrong is at most that level, however the tests depend on each other.

    Holm 1979, "A simple sequentially rejective multiple test procedure": the i-th smallest of m, times m - i + 1, and
    not below the one before it.

    Args:
        p_values: in any order.

    Returns:
        The corrected ones, at most 1, in the same order.
    """
    count = len(p_values)
    order = np.argsort(p_values, kind="stable")
    scaled = np.asarray(p_values, float)[order] * np.arange(count, 0, -1)
    corrected = np.empty(count)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return [float(value) for value in corrected]
