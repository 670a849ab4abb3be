"""Whether small budgets rank the trials as large ones do: rank correlations between rungs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isnan, nan

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import kendalltau, norm

Array = NDArray[np.float64]

_MIN_TRIALS = 5
"""Trials from which a rank correlation says something."""
_DOUBTFUL_TAU = 0.4
"""A rank correlation below this is warned of."""
_GRID = 61
"""Correlations of the grid, more densely towards -1 and 1."""
_MAX_TRIALS = 200
"""Of more trials so many stand for all in the expectation over pairs, evenly over their ranks."""


@dataclass(frozen=True, slots=True)
class RungCorrelation:
    """Kendall's tau between two rungs, as it would be over all trials that have had the lower one."""

    lower: int
    upper: int
    """Rungs, counted from 1."""
    tau: float
    """Corrected for the selection of the promoted trials; nan where all scores of one rung are equal."""
    trials: int
    """How many have had both."""
    promoted_tau: float = nan
    """Over those that have had both alone, whose range is restricted."""
    low: float = -1.0
    high: float = 1.0
    """Ends of the 95 % interval of `tau`."""
    of: int = 0
    """How many trials have had the lower rung."""

    @property
    def doubtful(self) -> bool:
        """Whether the lower rung hardly ranks the trials as the upper one does."""
        return isnan(self.tau) or (self.trials >= _MIN_TRIALS and not self.tau >= _DOUBTFUL_TAU)

    def __str__(self) -> str:
        if isnan(self.tau):
            return f"{self.lower} and {self.upper}: none, since all scores of one are equal ({self.trials} trials)"
        return (
            f"{self.lower} and {self.upper}: {self.tau:.2f} ({self.low:.2f} to {self.high:.2f}) of {self.of} trials, "
            f"{self.promoted_tau:.2f} of the {self.trials} that had both"
        )


def rung_correlations(curves: Sequence[Mapping[int, float]]) -> list[RungCorrelation]:
    """Return the rank correlation between each rung and the next one that two trials or more have had.

    Args:
        curves: of each trial, its scores by rung, counted from 1 (`Study.rung_scores`).
    """
    rungs = sorted({rung for curve in curves for rung in curve})
    correlations = []
    for lower, upper in pairwise(rungs):
        all_lower = np.array([curve[lower] for curve in curves if lower in curve], float)
        both = [(curve[lower], curve[upper]) for curve in curves if lower in curve and upper in curve]
        if len(both) > 1:
            correlations.append(correlation(all_lower, np.array(both, float), lower, upper))
    return correlations


def correlation(all_lower: Array, both: Array, lower: int = 1, upper: int = 2) -> RungCorrelation:
    """Return Kendall's tau between two rungs over all trials, where only the better ones have had the upper one.

    Who is promoted depends on the lower rung alone, so what the upper one would have shown of the others can be
    extrapolated: where its score is a line in the lower one's with normal noise, or rises with such a one, the order of
    two trials agrees with the chance Phi(k |x_i - x_j|). The k is taken for which the promoted trials are expected to
    have the tau that they have, then the tau over all trials that it gives: a correction for restriction of range
    (Thorndike 1949, "Personnel selection", case 2) that of the upper rung needs ranks only. The interval is that of
    Fieller et al. 1957, "Tests for rank correlation coefficients", brought over likewise.

    Args:
        all_lower: `(trials,)`, the lower rung's score of all trials that have had it.
        both: `(promoted, 2)`, the scores on both rungs; two trials or more.
        lower: the rungs, counted from 1.
        upper: the higher one.
    """
    seen, count = float(kendalltau(both[:, 0], both[:, 1]).statistic), len(both)
    if isnan(seen):
        return RungCorrelation(lower, upper, nan, count, nan, -1.0, 1.0, len(all_lower))
    sd = all_lower.std()
    of_promoted, of_all = _expected_tau(both[:, 0] / sd), _expected_tau(all_lower / sd)

    def over_all(tau: float) -> float:
        return float(np.interp(tau, of_promoted, of_all))

    low, high = -1.0, 1.0
    if count >= _MIN_TRIALS:
        half_width = norm.ppf(0.975) * np.sqrt(0.437 / (count - 4))
        centre = np.arctanh(np.clip(seen, -1 + 1e-9, 1 - 1e-9))
        low, high = (over_all(float(np.tanh(centre + sign * half_width))) for sign in (-1, 1))
    return RungCorrelation(lower, upper, over_all(seen), count, seen, low, high, len(all_lower))


def _expected_tau(scores: Array) -> Array:
    """Return the tau that trials with some scores are expected to have, for each k of a grid from -inf to inf.

    Args:
        scores: `(trials,)`, on the lower rung, in standard deviations.

    Returns:
        `(_GRID,)`, rising from -1 to 1.
    """
    if len(scores) > _MAX_TRIALS:
        scores = np.sort(scores)[np.linspace(0, len(scores) - 1, _MAX_TRIALS).round().astype(int)]
    gaps = np.abs(scores[:, None] - scores)[np.triu_indices(len(scores), 1)]
    gaps = gaps[gaps > 0]  # ties have no order
    # Of a normal pair with the correlation sin(a), k is tan(a) / sqrt(2) in standard deviations.
    slopes = np.tan(np.linspace(-np.pi / 2, np.pi / 2, _GRID))[1:-1] / np.sqrt(2)
    inside = [2 * ndtr(slope * gaps).mean() - 1 for slope in slopes]
    return np.array([-1.0, *inside, 1.0])


def rung_lines(correlations: Sequence[RungCorrelation]) -> list[str]:
    """Return lines that state the correlations, and warn of those that are too low to trust."""
    if not correlations:
        return []
    lines = [
        "Rank correlation (Kendall's tau) between rungs, over all trials of the lower one, with its 95 % interval: "
        + ", ".join(map(str, correlations))
    ]
    lines += [
        f"Rung {tau.lower} hardly tells what rung {tau.upper} would: its survivors may be the wrong ones. A larger "
        "pruner.least_epochs or pruner.least_fraction gives it more to go by."
        for tau in correlations
        if tau.doubtful
    ]
    return lines
