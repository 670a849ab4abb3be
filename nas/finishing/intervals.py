"""How sure a mean over seeds is, and which of two networks to take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isnan, nan, sqrt
from statistics import fmean, stdev

from nas.statistics import EQUAL, LEVEL, mean_interval, student_quantile


@dataclass(frozen=True, slots=True)
class MeanInterval:
    """The mean of some values, with Student's interval."""

    mean: float
    low: float
    """Lower end of the 95 % interval; nan where there is none: `nas.statistics.mean_interval`."""
    high: float
    """Upper end of it."""
    std: float
    """Standard deviation of the values, with n - 1; nan with fewer than two."""
    count: int
    """Number of values."""

    @property
    def reach(self) -> float:
        """Half the width of the interval."""
        return (self.high - self.low) / 2

    def within(self, least: float, most: float) -> MeanInterval:
        """Return it with ends that lie where values can: an accuracy is no more than 1, whatever Student's interval is.

        What holds the true mean so often does so still; ends that are nan stay nan.
        """
        if isnan(self.low):
            return self
        return replace(self, low=max(least, self.low), high=min(most, self.high))


def interval_of(values: Sequence[float]) -> MeanInterval:
    """Return the mean with Student's 95 % interval, mean +- t(n - 1) s / sqrt(n); what needs more values is nan.

    It is about chance in training alone: which images the scores are of is the same for all values.
    """
    low, high = mean_interval(values)
    return MeanInterval(
        fmean(values) if values else nan, low, high, stdev(values) if len(values) > 1 else nan, len(values)
    )


@dataclass(frozen=True, slots=True)
class Comparison:
    """A network against its baseline, trained with the same seeds by the same recipe."""

    difference: MeanInterval
    """Of the differences seed by seed; above 0 the network is better, whatever the direction of the score."""
    ahead: int
    """Number of seeds with which the network is better."""
    behind: int
    """Number of seeds with which it is worse."""

    @property
    def recommended(self) -> bool:
        """Whether the network is recommended rather than the baseline: its mean is the larger one.

        Of two networks one has to be taken. The larger mean is wrong least often, and a tie goes to the baseline. A
        rule that asks for an interval above 0 would keep to the baseline in most cases where the network is better by
        half a point: 5 % of wrong recommendations would take it 29 seeds (docs/decisions/032-honest-finish.md).
        """
        return self.difference.mean > EQUAL

    @property
    def shown(self) -> bool:
        """Whether the interval leaves 0 out, so that the difference is more than chance."""
        return self.difference.low > EQUAL or self.difference.high < -EQUAL

    @property
    def sure_from(self) -> float:
        """The difference from which on the better network is recommended in 95 of 100 comparisons with such noise.

        By Student's quantile, since the noise is estimated from the same few seeds: the normal one would hold in 83 of
        100 with 2 seeds and in 93 with 8. It is nan where that says nothing: with one seed, and where no seed differs
        from the others, which is no sign that there is no noise.
        """
        found = self.difference
        if not found.std > EQUAL:
            return nan
        return student_quantile(1 - LEVEL, found.count - 1) * found.std / sqrt(found.count)


def compare(network: Sequence[float], baseline: Sequence[float]) -> Comparison:
    """Compare scores seed by seed.

    Args:
        network: a score a seed; larger is better.
        baseline: those of the baseline with the same seeds, in the same order.
    """
    gaps = [mine - other for mine, other in zip(network, baseline, strict=True)]
    return Comparison(interval_of(gaps), sum(gap > EQUAL for gap in gaps), sum(gap < -EQUAL for gap in gaps))
