"""Tests, intervals and resampling for scores of any distribution.

Searches are few, and the scores that they reach are skewed, tied and bounded, so that intervals by Student or the
bootstrap alone miss more often than they say. Verdicts come from exact tests, corrected for all comparisons that are
made together. All resampling in nas is done by `bootstrap_counts`, `bootstrap_indices` and `permutations`.
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
from scipy.stats import beta, binom, norm, t

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

LEVEL = 0.05
"""The chance that any verdict of a family of comparisons is wrong is at most this."""
EQUAL = 1e-7
"""Scores that differ by no more are equal: accuracies are counts divided by a number of images, some of them in 32
bits, so that equal ones may differ by as much. One image more of a million is ten times that."""
_TELLING_IF_EQUAL = 4
"""So many equal scores say that there is next to no chance in them; see `mean_interval`."""
MIN_VALUES = 6
"""Number of values from which on their median has a 95 % interval; see `median_interval`."""
_MAX_DIVISIONS = 20_000
"""With up to so many ways to divide two samples the permutation test takes all of them, else `_DRAWS` random ones."""
_DRAWS = 9_999
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on one difference of a family of comparisons."""

    text: str
    """`better`, `worse`, `not shown`, or that there are too few values for any of these."""
    p: float
    """The p-value, corrected for all comparisons of the family."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference(ABC):
    """How much better a sample is than its reference, with a 95 % interval and a p-value."""

    low: float
    high: float
    """Ends of the 95 % interval of this comparison by itself; nan where there is none."""
    p: float
    """The chance of a difference as large as this where there is none; of this comparison by itself."""
    min_p: float
    """The smallest p-value that samples of these sizes can give."""

    @property
    @abstractmethod
    def better(self) -> bool:
        """Whether the difference is in favour of the sample, significant or not."""

    @abstractmethod
    def too_few(self, comparisons: int) -> str:
        """Say that there are too few values, and how many a family of that many comparisons needs."""

    @property
    def verdict(self) -> str:
        """The text of the verdict where this is the only comparison."""
        return judge([self])[0].text


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired(Difference):
    """How much better one strategy is than another over the same seeds, as the median of the differences."""

    median: float
    ahead: int
    """Number of seeds with which it is better."""
    behind: int
    """Number of seeds with which it is worse."""

    @property
    def better(self) -> bool:
        """Whether it is better with more seeds than it is worse with."""
        return self.ahead > self.behind

    def too_few(self, comparisons: int) -> str:
        """Say how many seeds the comparisons need."""
        return f"too few seeds to tell: at least {seeds_needed(comparisons)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpaired(Difference):
    """How much better one sample is than an independent one, as the difference of the means."""

    mean: float
    strata: int
    """Number of strata within which the samples were compared."""

    @property
    def better(self) -> bool:
        """Whether its mean is the larger one."""
        return self.mean > 0

    def too_few(self, comparisons: int) -> str:
        """Say how many values of each sample the comparisons need."""
        needed = next(size for size in count(2) if 2 / comb(2 * size, size) ** self.strata <= LEVEL / comparisons)
        return f"too few to tell: at least {needed} of each"


def judge(differences: Sequence[Difference]) -> list[Verdict]:
    """Return the verdicts on all comparisons of a report, in their order.

    `better` or `worse` is said where the p-value is at most 5 % after Holm's correction for all of them; that there are
    too few values where no values could give such a p-value.
    """
    corrected = holm([difference.p for difference in differences])
    smallest = holm([difference.min_p for difference in differences])
    verdicts = []
    for difference, p, min_p in zip(differences, corrected, smallest, strict=True):
        if min_p > LEVEL:
            text = difference.too_few(len(differences))
        elif p > LEVEL:
            text = "not shown"
        else:
            text = "better" if difference.better else "worse"
        verdicts.append(Verdict(text, p))
    return verdicts


def seeds_needed(comparisons: int) -> int:
    """Return the fewest seeds with which a family of that many comparisons can show a difference.

    The smallest p-value of n seeds is that of all n on one side, 2^(1 - n).
    """
    return next(seeds for seeds in count(1) if 2.0 ** (1 - seeds) <= LEVEL / comparisons)


def paired(sample: Array, reference: Array) -> Paired:
    """Compare two strategies by the scores that they reached with the same seeds.

    The p-value is the larger one of two tests that must agree in direction: the sign test, which is exact for any
    distribution where neither is ahead more often, seeds without a difference left out; and Student's, which allows for
    skewness, so that a strategy that is slightly ahead mostly and far behind at times is not called better.

    Args:
        sample: `(seeds,)` scores; larger is better.
        reference: `(seeds,)` scores that they are compared with, in the same order.
    """
    gaps = sample - reference
    ahead, behind = int((gaps > 0).sum()), int((gaps < 0).sum())
    agree = (ahead - behind) * gaps.mean() > 0
    sign_p = 2 * binom.cdf(min(ahead, behind), ahead + behind, 0.5)
    p = min(1.0, max(sign_p, _mean_p(gaps))) if agree else 1.0
    median, low, high = median_interval(gaps)
    return Paired(
        low=low,
        high=high,
        p=float(p),
        min_p=min(1.0, 2.0 ** (1 - len(gaps))),
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
    mean, std = values.mean(), values.std()
    if std <= _ROUNDING * abs(mean):
        return 0.0
    observed, skewness = abs(mean) / std * sqrt(size - 1), float((((values - mean) / std) ** 3).mean())
    by = max(0.0, -2 * skewness * np.sign(mean)) / (6 * sqrt(size))
    beyond = observed
    if by != 0:
        beyond = max(0.0, 2 * (observed - by) / (1 + sqrt(max(0.0, 1 + 8 * by * (observed - by)))))
    return 2 * float(t.sf(beyond, size - 1))


def unpaired(sample: Array, reference: Array, *, seed: int = 0) -> Unpaired:
    """Compare the means of two independent samples; see `stratified`.

    Args:
        sample: `(values,)`; larger is better.
        reference: `(values,)` that it is compared with; their number may differ.
        seed: of the divisions that are drawn where there are too many to take all.
    """
    return stratified([(sample, reference)], seed=seed)


def stratified(strata: Sequence[tuple[Array, Array]], *, seed: int = 0) -> Unpaired:
    """Compare the means of two samples within each of several strata, by the mean of those differences.

    The interval is Welch's; both ends are nan where the values of each sample are all alike, so that nothing says how
    much they vary, and where a sample has a single value. The p-value is the larger one of Welch's and of the
    permutation test of his statistic within the strata, which is exact where both samples of a stratum have the same
    distribution, of any shape (Janssen 1997, "Studentized permutation tests for non-iid hypotheses").

    Args:
        strata: the sample and the reference of each, `(values,)`; their sizes may differ; larger is better.
        seed: of the divisions that are drawn where there are too many to take all.
    """
    gap = float(np.mean([sample.mean() - reference.mean() for sample, reference in strata]))
    divisions = prod(comb(len(sample) + len(reference), len(sample)) for sample, reference in strata)
    symmetric = all(len(sample) == len(reference) for sample, reference in strata)
    min_p = (2 if symmetric else 1) / min(divisions, _DRAWS + 1)
    samples = [sample for stratum in strata for sample in stratum]
    low = high = nan
    p = 1.0
    if min(map(len, samples)) > 1:
        p = _permutation_p(strata, divisions, seed)
        variances = [float(values.var(ddof=1)) / len(values) if np.ptp(values) else 0.0 for values in samples]
        error = sqrt(sum(variances))
        if error > 0:
            # By shares of the variance, since the square of a small one underflows.
            freedom = 1 / sum(
                (variance / sum(variances)) ** 2 / (len(values) - 1)
                for variance, values in zip(variances, samples, strict=True)
            )
            error /= len(strata)
            reach = float(t.ppf(1 - LEVEL / 2, freedom)) * error
            low, high = gap - reach, gap + reach
            p = max(p, 2 * float(t.sf(abs(gap) / error, freedom)))
    return Unpaired(low=low, high=high, p=p, min_p=min(1.0, min_p), mean=gap, strata=len(strata))


def _permutation_p(strata: Sequence[tuple[Array, Array]], divisions: int, seed: int) -> float:
    """Return the share of the divisions of each stratum's values into two samples whose |t| is as large as theirs."""
    pooled = [np.concatenate(stratum) for stratum in strata]
    pooled = [values - values.mean() for values in pooled]
    std = sqrt(sum(float(values @ values) for values in pooled) / sum(map(len, pooled)))
    if std == 0:
        return 1.0
    sizes = [len(sample) for sample, _ in strata]
    if divisions <= _MAX_DIVISIONS:
        subsets = [
            np.array(list(combinations(range(len(values)), size))) for values, size in zip(pooled, sizes, strict=True)
        ]
        ranks = np.indices([len(rows) for rows in subsets]).reshape(len(subsets), -1)
        chosen = [rows[rank] for rows, rank in zip(subsets, ranks, strict=True)]
    else:
        rng = np.random.default_rng(seed)
        orders = [permutations(rng, len(values), _DRAWS) for values in pooled]
        chosen = [
            np.concatenate([np.arange(size)[None], order[:, :size]]) for order, size in zip(orders, sizes, strict=True)
        ]
    pooled = [values / std for values in pooled]
    observed = _welch(pooled, [np.arange(size)[None] for size in sizes])
    return float((_welch(pooled, chosen) >= observed * (1 - _ROUNDING)).mean())


def _welch(strata: Sequence[Array], chosen: Sequence[Ints]) -> Array:
    """Return |t| of Welch's test for divisions of values, `(divisions,)`; inf where no part varies.

    Args:
        strata: the values of each, `(values,)`, with mean 0, together with standard deviation 1.
        chosen: `(divisions, size)` for each, the indices of the values in the first part.
    """
    gaps, variances = np.zeros(len(chosen[0])), np.zeros(len(chosen[0]))
    for values, indices in zip(strata, chosen, strict=True):
        size, rest = indices.shape[1], len(values) - indices.shape[1]
        sums, squares = values[indices].sum(axis=1), (values[indices] ** 2).sum(axis=1)
        gaps += sums / size + sums / rest  # the sum of the other part is -sums
        variances += (squares - sums**2 / size) / (size - 1) / size
        variances += (values @ values - squares - sums**2 / rest) / (rest - 1) / rest
    gaps, varies = np.abs(gaps), variances > _ROUNDING
    constant = np.where(gaps > _ROUNDING, inf, 0.0)
    errors = np.sqrt(variances, where=varies, out=np.ones_like(variances))
    return np.asarray(np.divide(gaps, errors, out=constant, where=varies))


def median_interval(values: Array) -> tuple[float, float, float]:
    """Return the median of `(values,)` and the ends of its 95 % interval; both are nan below 6 values.

    The ends are the values of equal ranks from below and from above between which the median of any distribution is
    with a chance of 95 % or more (David & Nagaraja 2003, "Order statistics", section 7.1). The smallest and the largest
    of 5 values hold it with 1 - 2^-4 = 93.75 %, so of 5 there is no such interval.
    """
    size = len(values)
    median = float(np.median(values))
    if size < MIN_VALUES or np.isnan(median):
        return median, nan, nan
    order, beyond = np.sort(values), _beyond(size)
    return median, float(order[beyond]), float(order[size - 1 - beyond])


@cache
def _beyond(size: int) -> int:
    """Return how many of 6 or more values may be beyond either end of the interval of their median.

    The most k for which k or fewer of them are below the median with a chance of 2.5 % at most.
    """
    most = int(binom.ppf(LEVEL / 2, size, 0.5))
    return most - int(binom.cdf(most, size, 0.5) > LEVEL / 2)


def student_quantile(share: float, freedom: int) -> float:
    """Return the value that Student's t with some degrees of freedom is below with a chance of `share`."""
    return float(t.ppf(share, freedom))


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of Student's 95 % interval of the mean of some values.

    Both are nan for a single value, and where 2 or 3 are equal but for rounding in 32 bits. Scores are counts of
    images, and with a standard deviation of one image 2 are equal with a chance of 27 %, 3 of 8 %, but 4 of 3 % only.
    """
    few = len(values) < _TELLING_IF_EQUAL
    if len(values) < 2 or (few and np.ptp(values) <= EQUAL * max(1.0, *np.abs(values))):
        return nan, nan
    reach = float(t.ppf(1 - LEVEL / 2, len(values) - 1)) * float(np.std(values, ddof=1)) / sqrt(len(values))
    mean = float(np.mean(values))
    return mean - reach, mean + reach


def proportion_interval(hits: int, count: int) -> tuple[float, float]:
    """Return the ends of the 95 % interval of a proportion by Clopper & Pearson 1934, which holds it at least so often.

    Args:
        hits: how many of `count` independent cases were so, e.g. images that were classified rightly.
        count: at least 1.
    """
    low = float(beta.ppf(LEVEL / 2, hits, count - hits + 1)) if hits else 0.0
    high = float(beta.ppf(1 - LEVEL / 2, hits + 1, count - hits)) if hits < count else 1.0
    return low, high


def student_factor(quantile: float, freedom: int) -> float:
    """Return a quantile of Student's t distribution as a multiple of the normal one's.

    The percentiles of a bootstrap are those of a normal distribution where Student's t belongs, since their spread is
    itself estimated (Hesterberg 2015, "What teachers should know about the bootstrap", section 4).
    """
    return float(t.ppf(quantile, freedom) / norm.ppf(quantile))


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct the p-values of a family of tests.

    Where those below a level are believed, the chance that any of them is wrong is at most that level, however the
    tests depend on each other. Holm 1979, "A simple sequentially rejective multiple test procedure": the i-th smallest
    of m, times m - i + 1, and not below the one before it.

    Args:
        p_values: in any order.

    Returns:
        The corrected ones, at most 1, in the same order.
    """
    number = len(p_values)
    order = np.argsort(p_values, kind="stable")
    scaled = np.asarray(p_values, float)[order] * np.arange(number, 0, -1)
    corrected = np.empty(number)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return [float(value) for value in corrected]


def bootstrap_counts(rng: np.random.Generator, size: int, draws: int, *, drawn: int | None = None) -> Ints:
    """Return how often each of `size` values is in each bootstrap sample, `(draws, size)`, drawn with replacement.

    Args:
        rng: the source of the draws.
        size: number of values.
        draws: number of bootstrap samples.
        drawn: values in a sample; by default as many as there are (Efron & Tibshirani 1993, "An introduction to the
            bootstrap", chapter 6).
    """
    return rng.multinomial(size if drawn is None else drawn, np.full(size, 1 / size), draws)


def bootstrap_indices(rng: np.random.Generator, size: int, draws: int) -> Ints:
    """Return the indices of the values of bootstrap samples, `(draws, size)`, for samples whose order matters."""
    return rng.integers(size, size=(draws, size))


def permutations(rng: np.random.Generator, size: int, draws: int) -> Ints:
    """Return random permutations of the indices from 0 to `size` - 1, `(draws, size)`."""
    return rng.random((draws, size)).argsort(axis=1)
