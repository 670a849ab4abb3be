"""How long a search will take, from candidates that were trained for a moment, or from its own trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, median, stdev
from typing import NamedTuple

import numpy as np

from nas.evaluation import Budget
from nas.statistics import student_quantile

LEAST_PROBED = 3
"""Candidates, or trials, without which nothing is estimated: two of them say nothing of how far a line is off."""
_SHARE = 0.95
"""Quantile of the upper end of a range: nine in ten are in it."""
_NORMAL = 1.645
"""The same quantile of the normal distribution."""
_LEAST_SHARE = 1 / 50
"""Of random candidates that hold a measured limit, below which a search is guided (`nas.search.gate`)."""


class Range(NamedTuple):
    """A figure and the range that it is in nine times in ten, as far as what it comes from says."""

    middle: float
    low: float
    high: float

    def times(self, factor: float) -> Range:
        """Return it in another unit."""
        return Range(*(factor * value for value in self))


@dataclass(frozen=True, slots=True)
class Probed:
    """A candidate that was trained for a moment; seconds as in `nas.training.probe.TrainingTimes`."""

    work: float
    """What the time of an epoch is about proportional to, in any unit."""
    start_up: float
    train_epoch: float
    validation: float


@dataclass(frozen=True, slots=True)
class Rung:
    """What trials get on one rung; a search without rungs has one."""

    trials: float
    """How many of the search get it."""
    epochs: int
    """That they are trained there."""
    budget: Budget
    """Says the shares of the data and of the resolution."""

    def seconds(self, probed: Probed, start_up: float) -> float:
        """Return what one evaluation takes there; time goes with the area of an image."""
        epoch = probed.train_epoch * self.budget.data_fraction + probed.validation
        return start_up + self.epochs * epoch * self.budget.resolution_fraction**2


@dataclass(frozen=True)
class Candidates:
    """Which networks a search will train, by their work (`Probed.work`)."""

    first: tuple[float, ...]
    """Of those that it begins with: the user's own, those of an earlier search, known designs."""
    drawn: tuple[float, ...]
    """Of random ones that hold the limits."""
    random_trials: int | None
    """Trials before the sampler has learned something; None: it never does."""
    objectives: int = 1
    """How many the search has: with one it is accuracy or loss."""

    def learned(self, trials: int) -> int:
        """Return how many trials of a search its sampler proposes by what earlier ones have shown."""
        return 0 if self.random_trials is None else max(0, trials - max(len(self.first), self.random_trials))

    def mean_work(self, trials: int) -> Range:
        """Return the mean over the trials of a search.

        A sampler that learns finds accuracy in larger networks, as far as the limits let it: its mean is taken to be
        that of the larger half of the random ones, and the largest quarter at most. In very short trainings small ones
        are ahead, so that it may be that of the smaller half. With several objectives, among which are costs, it is
        that of all, between the smaller and the larger half.
        """
        first = self.first[:trials]
        rest, by_learning = trials - len(first), self.learned(trials)
        works = sorted(self.drawn)
        half, quarter = len(works) // 2, 3 * len(works) // 4
        mean = fmean(works)
        smaller, larger = fmean(works[: half or 1]), fmean(works[half:])
        learned = (larger, smaller, fmean(works[quarter:])) if self.objectives == 1 else (mean, smaller, larger)
        known = sum(first) + (rest - by_learning) * mean
        chance = _NORMAL * (stdev(works) if len(works) > 1 else 0.0) * sqrt(rest)  # of the sum over the trials
        middle, low, high = (known + by_learning * each for each in learned)
        low, high = middle - sqrt((middle - low) ** 2 + chance**2), middle + sqrt((high - middle) ** 2 + chance**2)
        return Range(middle, max(low, trials * works[0]), high).times(1 / trials)


@dataclass(frozen=True, slots=True)
class Measuring:
    """What it takes to measure latency before candidates are trained; workers stand still meanwhile."""

    seconds: float
    """Of one measurement."""
    share: float
    """Of random candidates that hold the other limits, how many hold the one on latency too."""

    def each_trial(self) -> Range:
        """Return the seconds of measurements for a trial: those of candidates that are rejected by them included.

        At worst a sampler proposes as random ones are, at best it never proposes one that is too slow.
        """
        most = self.seconds / max(_LEAST_SHARE, self.share)
        return Range((self.seconds + most) / 2, self.seconds, most)


@dataclass(frozen=True, slots=True)
class Estimate:
    """How long a search will take."""

    trials: int
    seconds: Range
    """Of the search, by the clock."""
    trial_seconds: float
    """Mean seconds of a worker for a trial, on all of its rungs."""

    def fitting(self, seconds: float) -> Range:
        """Return how many trials fit in a time, at this pace."""
        slow, fast = self.seconds.high, max(self.seconds.low, 1e-9)
        return Range(*(self.trials * seconds / time for time in (max(self.seconds.middle, 1e-9), slow, fast)))


def estimate(
    rungs: Sequence[Rung],
    probed: Sequence[Probed],
    candidates: Candidates,
    *,
    trials: int,
    workers: int,
    measuring: Measuring | None = None,
    proposal: float = 0.0,
) -> Estimate:
    """Estimate the time of a search.

    What all of its trials would take is a line over their work, fitted to the candidates that were probed, and
    read at the mean of those that it will train: the regression estimator (Cochran 1977, Sampling techniques, chapter
    7), with its standard error.

    Args:
        rungs: what its trials get.
        probed: `LEAST_PROBED` or more.
        candidates: what it will train.
        trials: that it evaluates.
        workers: at a time.
        measuring: what latency takes, where it is measured.
        proposal: seconds of a sampler that has learned something, for one trial; the worker that it is for waits.
    """
    start_up = median(one.start_up for one in probed)  # a worker's first one is slower
    totals = [sum(rung.trials * rung.seconds(one, start_up) for rung in rungs) for one in probed]
    work = candidates.mean_work(trials)
    total = _line_at([one.work for one in probed], totals, work)
    fullest = total.middle / fmean(totals) * fmean(rungs[-1].seconds(one, start_up) for one in probed)
    # At the end a worker waits for the last ones of the others, on average half an evaluation.
    waiting = (1 - 1 / workers) * min(fullest, total.middle) / 2
    latency = Range(0.0, 0.0, 0.0) if measuring is None else measuring.each_trial().times(trials)
    fixed = waiting + candidates.learned(trials) * proposal / workers
    parts = zip(total.times(1 / workers), latency, strict=True)
    return Estimate(trials, Range(*(fixed + train + measure for train, measure in parts)), total.middle / trials)


def _line_at(works: Sequence[float], seconds: Sequence[float], work: Range) -> Range:
    """Fit a line that does not fall, and return it at a range, with the error of the line added to its ends."""
    x, y = np.array(works), np.array(seconds)
    spread = float(((x - x.mean()) ** 2).sum())
    slope = max(0.0, float(((x - x.mean()) * y).sum()) / spread) if spread else 0.0

    def at(value: float) -> float:
        return max(float(y.min()) / 2, float(y.mean()) + slope * (value - float(x.mean())))

    residuals = y - y.mean() - slope * (x - x.mean())
    variance = float((residuals**2).sum()) / (len(x) - 2)
    far = (work.middle - float(x.mean())) ** 2 / spread if spread else 0.0
    error = student_quantile(_SHARE, len(x) - 2) * sqrt(variance * (1 / len(x) + far))
    middle = at(work.middle)
    low = middle - sqrt((middle - at(work.low)) ** 2 + error**2)
    high = middle + sqrt((at(work.high) - middle) ** 2 + error**2)
    return Range(middle, max(low, min(middle, float(y.min())) / 2), high)


def estimate_from_trials(seconds: Sequence[float], *, left: int, workers: int) -> Estimate:
    """Estimate the time of the rest of a search from what its trials took.

    Args:
        seconds: of `LEAST_PROBED` or more trials.
        left: trials.
        workers: at a time.
    """
    mean, deviation = fmean(seconds), stdev(seconds)
    error = student_quantile(_SHARE, len(seconds) - 1) * deviation * sqrt(left**2 / len(seconds) + left)
    total, waiting = left * mean, (1 - 1 / workers) * min(1, left) * mean / 2
    low = max(total - error, left * min(seconds))
    ends = (value / workers + waiting for value in (total, low, total + error))
    return Estimate(left, Range(*ends), mean)


def about(seconds: Range) -> str:
    """Return a time with its range as text, such as `14 min (11 to 18)`; the unit is that of the middle."""
    size, unit = next((size, unit) for size, unit in _UNITS if seconds.middle >= 1.5 * size or size == 1)
    middle, low, high = (_figure(value / size) for value in seconds)
    return f"{middle} {unit} ({low} to {high})"


_UNITS = ((86_400, "days"), (3_600, "h"), (60, "min"), (1, "s"))


def _figure(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"
