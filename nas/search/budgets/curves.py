"""Predicts from learning curves where trials end, and prunes those that promise too little."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from optuna.pruners import BasePruner
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import t as student

_MIN_CHANCE = 0.05
"""A trial is ended where the chance that it becomes the best one is below this."""


class CurvePruner(BasePruner):
    """Prunes a trial that is unlikely to become the best one.

    The value at the end is predicted by a line from the value at the present step, fitted to the trials that are
    complete (as Baker et al. 2018, "Accelerating neural architecture search using performance prediction", with the
    last value as the one feature); a trial is ended where the chance that it reaches the best one is below 5 %.
    """

    def __init__(self, *, startup_trials: int = 5, warmup_epochs: int = 1) -> None:
        """Make a pruner.

        Args:
            startup_trials: complete trials before any is pruned, 4 at least: a line needs them.
            warmup_epochs: epochs of a trial before it is pruned.
        """
        self._startup_trials, self._warmup_epochs = max(startup_trials, 4), warmup_epochs

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Return whether a trial is to end after its latest step."""
        step = trial.last_step
        if step is None or step <= self._warmup_epochs:
            return False
        sign = 1.0 if study.direction is StudyDirection.MAXIMIZE else -1.0
        done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        values = [(other.intermediate_values[step], other.value) for other in done if step in other.intermediate_values]
        pairs = sign * np.array(values, dtype=float).reshape(-1, 2)
        if len(pairs) < self._startup_trials:
            return False
        best = max(sign * other.value for other in done if other.value is not None)
        return chance_above(pairs[:, 0], pairs[:, 1], sign * trial.intermediate_values[step], best) < _MIN_CHANCE


def chance_above(now: NDArray[np.float64], end: NDArray[np.float64], value: float, threshold: float) -> float:
    """Return the chance that a curve which stands at `value` ends above a threshold.

    The prediction is that of linear regression: Student's t around the line, with n - 2 degrees of freedom.

    Args:
        now: `(n,)`, values of other curves at the same step, 3 or more of them.
        end: `(n,)`, their values at the end.
        value: of this curve.
        threshold: in units of `end`.
    """
    count = len(now)
    mean = float(now.mean())
    squares = float(((now - mean) ** 2).sum())
    slope = float(((now - mean) * (end - end.mean())).sum()) / squares if squares > 0 else 0.0
    expected = float(end.mean()) + slope * (value - mean)
    residuals = end - end.mean() - slope * (now - mean)
    degrees_of_freedom = count - 2
    variance = float((residuals**2).sum()) / degrees_of_freedom
    leverage = 1 + 1 / count + ((value - mean) ** 2 / squares if squares > 0 else 0.0)
    if variance * leverage <= 0:
        return float(expected >= threshold)
    return float(student.sf((threshold - expected) / np.sqrt(variance * leverage), degrees_of_freedom))
