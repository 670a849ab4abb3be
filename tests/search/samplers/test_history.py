"""What a sampler knows of the trials of a study: results, those of a part of the budget, and what is open."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from scipy.stats import linregress

from nas.search.samplers.history import History, _line

X = FloatDistribution(0, 1)
Direction = Literal["maximize", "minimize"]


class _Everything:
    """A domain that has all decisions of all trials."""

    def observe(self, trial: FrozenTrial) -> None:
        """There is nothing to note."""

    def decisions_in(self, params: dict[str, Any]) -> dict[str, Any]:
        return params


def _read(direction: Direction, *trials: tuple[TrialState, float | None, dict[int, float]]) -> History:
    study = optuna.create_study(direction=direction)
    for number, (state, value, steps) in enumerate(trials):
        study.add_trial(
            create_trial(
                state=state,
                value=value,
                params={"x": number / 100},
                distributions={"x": X},
                intermediate_values=steps,
            )
        )
    domain: Any = _Everything()
    history = History(domain)
    study.ask({"x": X})
    history.read(study, study.get_trials()[-1])
    return history


@pytest.mark.parametrize(("direction", "sign"), [("maximize", 1), ("minimize", -1)])
def test_what_had_a_part_of_the_budget_is_brought_to_the_scale_of_the_whole(direction: Direction, sign: int) -> None:
    """Step 2 is twice step 1, step 3 a tenth more than step 2: by lines through the trials that had both."""
    whole = [
        (TrialState.COMPLETE, sign * (2 * x + 0.1), {1: sign * x, 2: sign * 2 * x, 3: sign * (2 * x + 0.1)})
        for x in np.linspace(0.1, 0.4, 12)
    ]
    history = _read(
        direction,
        *whole,
        (TrialState.PRUNED, sign * 0.2, {1: sign * 0.2}),
        (TrialState.PRUNED, sign * 0.5, {1: sign * 0.25, 2: sign * 0.5}),
        (TrialState.FAIL, None, {1: sign * 0.3}),
        (TrialState.RUNNING, None, {1: sign * 0.15}),
        (TrialState.RUNNING, None, {}),
    )
    values = {one.number: one.values for one in history.results}
    assert values[12] == pytest.approx((0.5,))
    assert values[13] == pytest.approx((0.6,))
    assert values[15] == pytest.approx((0.4,))
    assert sorted(values) == [*range(14), 15]
    assert history.pending == [{"x": 0.16}]
    assert history.trial_number == 17


def test_a_few_pairs_only_shift() -> None:
    """With too few for a slope it is 1: 0.2 and 0.4 went up by 0.15 on average."""
    history = _read(
        "maximize",
        (TrialState.COMPLETE, 0.3, {1: 0.2, 2: 0.3}),
        (TrialState.COMPLETE, 0.6, {1: 0.4, 2: 0.6}),
        (TrialState.PRUNED, 0.1, {1: 0.1}),
    )
    assert history.results[2].values == pytest.approx((0.25,))


def test_without_pairs_the_value_stands() -> None:
    history = _read("maximize", (TrialState.COMPLETE, 0.3, {2: 0.3}), (TrialState.PRUNED, 0.1, {1: 0.1}))
    assert [one.values for one in history.results] == [(0.3,), (0.1,)]


def test_values_that_are_no_numbers_are_no_results() -> None:
    history = _read("maximize", (TrialState.COMPLETE, float("inf"), {}), (TrialState.COMPLETE, 0.5, {}))
    assert [one.number for one in history.results] == [1]


@pytest.mark.parametrize(("slope", "expected"), [(0.5, 0.5), (2.0, 2.0), (-1.0, 0.0)])
def test_later_values_are_foretold_by_the_line_of_those_that_have_both(slope: float, expected: float) -> None:
    """By scipy's least squares; never falling, since a better start is no sign of a worse end."""
    rng = np.random.default_rng(1)
    now = rng.normal(size=12)
    later = 3 + slope * now + 0.01 * rng.normal(size=12)
    fitted = max(0.0, float(linregress(now, later).slope))
    got, intercept = _line(np.stack([now, later], axis=1))
    assert got == pytest.approx(fitted)
    assert got == pytest.approx(expected, abs=0.05)
    assert intercept == pytest.approx(later.mean() - got * now.mean())


def _asked(study: optuna.Study) -> FrozenTrial:
    """A trial that is to be decided."""
    study.ask({"x": X})
    return study.get_trials()[-1]


def test_what_shows_a_broken_constraint_at_its_end_was_no_result() -> None:
    """Its values on the way count until then; behind it only how far it is over."""
    study = optuna.create_study(direction="maximize")
    domain: Any = _Everything()
    history = History(domain)
    good, poor = study.ask({"x": X}), study.ask({"x": X})
    good.report(0.9, 1)
    poor.report(0.2, 1)
    history.read(study, _asked(study))
    assert [result.values for result in history.results] == [(0.9,), (0.2,)]
    good.set_constraint("int8_latency_ms", 0.5)
    poor.set_constraint("int8_latency_ms", -0.5)
    study.tell(good, 0.95)
    study.tell(poor, 0.25)
    history.read(study, _asked(study))
    assert [(result.number, result.values) for result in history.results] == [(1, (0.25,))]
    assert [excess for _, _, excess in history.excesses["int8_latency_ms"]] == [0.5, -0.5]
