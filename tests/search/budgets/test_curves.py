"""The pruner that predicts where a curve ends."""

from __future__ import annotations

import math

import numpy as np
import optuna
import pytest
import scipy.stats
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from nas.search.budgets.curves import CurvePruner, chance_above

NOW = [0.50, 0.60, 0.70, 0.40, 0.55]
END = [0.60, 0.71, 0.79, 0.50, 0.66]


def _trial(values: dict[int, float], end: float | None) -> optuna.trial.FrozenTrial:
    return create_trial(
        state=TrialState.RUNNING if end is None else TrialState.COMPLETE,
        value=end,
        params={"x": 0.5},
        distributions={"x": FloatDistribution(0, 1)},
        intermediate_values=values,
    )


def _study(sign: int, complete: int = len(NOW)) -> optuna.Study:
    study = optuna.create_study(direction="maximize" if sign > 0 else "minimize")
    for now, end in list(zip(NOW, END, strict=True))[:complete]:
        study.add_trial(_trial({1: 0.3 * sign, 2: now * sign, 3: end * sign}, end * sign))
    return study


@pytest.mark.parametrize("sign", [1, -1], ids=["maximize", "minimize"])
def test_a_curve_far_below_the_best_is_ended_and_one_beside_it_goes_on(sign: int) -> None:
    study, pruner = _study(sign), CurvePruner()
    assert pruner.prune(study, _trial({1: 0.3 * sign, 2: 0.45 * sign}, None))
    assert not pruner.prune(study, _trial({1: 0.3 * sign, 2: 0.69 * sign}, None))
    assert not pruner.prune(study, _trial({1: 0.3 * sign, 2: 0.90 * sign}, None))


def test_none_is_ended_while_little_is_known() -> None:
    poor = _trial({1: 0.0, 2: 0.0}, None)
    assert CurvePruner().prune(_study(1), poor)
    assert not CurvePruner().prune(_study(1, complete=4), poor)
    assert CurvePruner(startup_trials=1).prune(_study(1, complete=4), poor)  # four are needed for any line
    assert not CurvePruner(startup_trials=1).prune(_study(1, complete=3), poor)
    assert not CurvePruner().prune(_study(1), _trial({1: 0.0}, None))
    assert not CurvePruner(warmup_epochs=2).prune(_study(1), poor)
    assert not CurvePruner().prune(_study(1), _trial({}, None))


@pytest.mark.parametrize(("value", "threshold"), [(0.45, 0.79), (0.6, 0.7), (0.8, 0.79)])
def test_the_chance_is_that_of_a_prediction_interval(value: float, threshold: float) -> None:
    """The chance outside an interval that ends at the threshold, by SciPy's line and the textbook's width."""
    line = scipy.stats.linregress(NOW, END)
    left = np.array(END) - line.intercept - line.slope * np.array(NOW)
    error = math.sqrt(sum(left**2) / 3)
    width = error * math.sqrt(1 + 1 / 5 + (value - np.mean(NOW)) ** 2 / (5 * np.var(NOW)))
    expected = scipy.stats.t(3).sf((threshold - line.intercept - line.slope * value) / width)
    assert chance_above(np.array(NOW), np.array(END), value, threshold) == pytest.approx(expected)


def test_curves_that_say_nothing() -> None:
    """All at one place: the mean with its own spread. All on one line: sure."""
    same = np.array([0.5, 0.5, 0.5, 0.5])
    end = np.array([0.5, 0.6, 0.7, 0.8])
    # Student's t with two degrees of freedom: four values with mean 0.65, variance 0.05 / 2 and one more.
    expected = scipy.stats.t(2).sf(0.1 / math.sqrt(0.05 / 2 * 1.25))
    assert chance_above(same, end, 0.5, 0.75) == pytest.approx(expected)
    assert chance_above(end, 2 * end, 0.5, 1.0 - 1e-9) == 1.0
    assert chance_above(end, 2 * end, 0.5, 1.0 + 1e-9) == 0.0
