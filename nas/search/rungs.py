"""Whether small budgets tell what large ones would: how alike they rank the same trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isnan

from scipy.stats import kendalltau

from nas.search.study import Study

_ENOUGH = 5
"""Trials from which a rank correlation says something."""
_LOW = 0.4


@dataclass(frozen=True, slots=True)
class RungCorrelation:
    """Kendall's tau between two rungs, over the trials that have had both."""

    lower: int
    upper: int
    """Rungs, counted from 1."""
    tau: float
    trials: int

    @property
    def doubtful(self) -> bool:
        """Whether the lower rung hardly tells what the upper one would."""
        return isnan(self.tau) or (self.trials >= _ENOUGH and not self.tau >= _LOW)

    def __str__(self) -> str:
        tau = "none, since all scores of one are equal" if isnan(self.tau) else f"{self.tau:.2f}"
        return f"{self.lower} and {self.upper}: {tau} ({self.trials} trials)"


def rung_correlations(study: Study) -> list[RungCorrelation]:
    """Return the rank correlation of the first objective between each rung and the next one.

    Only trials that were promoted have both, which are alike: over all trials it would be higher.
    """
    rungs = sorted({step for trial in study.trials for step, _ in trial.steps if trial.first_rung is not None})
    found = []
    for lower, upper in pairwise(rungs):
        curves = [dict(trial.steps) for trial in study.trials if trial.first_rung is not None]
        both = [(curve[lower][0], curve[upper][0]) for curve in curves if lower in curve and upper in curve]
        if len(both) > 1:
            tau = float(kendalltau(*zip(*both, strict=True)).statistic)
            found.append(RungCorrelation(lower, upper, tau, len(both)))
    return found


def rung_lines(every: Sequence[RungCorrelation]) -> list[str]:
    """Say what the correlations are, and warn of those that are too low to trust."""
    if not every:
        return []
    lines = ["Rank correlation (Kendall's tau) between rungs " + ", ".join(map(str, every))]
    lines += [
        f"Rung {one.lower} hardly tells what rung {one.upper} would: its survivors may be the wrong ones. A larger "
        "pruner.least_epochs or pruner.least_fraction gives it more to go by."
        for one in every
        if one.doubtful
    ]
    return lines
