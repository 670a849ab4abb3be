"""Learning curves: what a trial will reach, from where it stands."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from optuna.pruners import BasePruner
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import t as student

_CHANCE = 0.05


class CurvePruner(BasePruner):
    """Ends a trial that is unlikely to become the best one.

    The value at the end is predicted by a line from the value at the present step, fitted to the trials that are
    complete (as Baker et al. 2018, "Accelerating neural architecture search using performance prediction", with the
    last value as the one feature); a trial is ended where the chance that it reaches the best one is below 5 %.
    """

    def __init__(self, *, startup_trials: int = 5, warmup_epochs: int = 1) -> None:
        """Make a pruner; it ends none before so many complete trials, and none in its first epochs."""
        self._startup, self._warmup = max(startup_trials, 4), warmup_epochs

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        step = trial.last_step
        if step is None or step <= self._warmup:
            return False
        sign = 1.0 if study.direction is StudyDirection.MAXIMIZE else -1.0
        done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        known = [(one.intermediate_values[step], one.value) for one in done if step in one.intermediate_values]
        pairs = sign * np.array(known, dtype=float).reshape(-1, 2)
        if len(pairs) < self._startup:
            return False
        best = max(sign * one.value for one in done if one.value is not None)
        return chance_above(pairs[:, 0], pairs[:, 1], sign * trial.intermediate_values[step], best) < _CHANCE


def chance_above(now: NDArray[np.float64], end: NDArray[np.float64], value: float, threshold: float) -> float:
    """Return the chance that a curve which stands at `value` ends above a threshold.

    Args:
        now: where other curves stood, 3 or more of them.
        end: where they ended.
        value: where this one stands.
        threshold: in units of `end`.
    """
    count = len(now)
    middle = float(now.mean())
    spread = float(((now - middle) ** 2).sum())
    slope = float(((now - middle) * (end - end.mean())).sum()) / spread if spread > 0 else 0.0
    expected = float(end.mean()) + slope * (value - middle)
    left = end - end.mean() - slope * (now - middle)
    variance = float((left**2).sum()) / (count - 2)
    leverage = 1 + 1 / count + ((value - middle) ** 2 / spread if spread > 0 else 0.0)
    if variance * leverage <= 0:
        return float(expected >= threshold)
    return float(student.sf((threshold - expected) / np.sqrt(variance * leverage), count - 2))
