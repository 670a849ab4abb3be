"""Limits in a search: guided sampling where rejecting is wasteful, and soft limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import nas
from nas.search.stop_reason import StopReason
from nas.search.study import Study
from nas.search.trial import State

TIGHT = {"params": [100_000, 101_000], "macs": [3.5e6, None], "receptive_field": [None, 260]}
"""About 1 in 3,000 random networks of mbconv."""


def score(arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
    """Most multiply-adds."""
    return nas.cost_of(arch).macs / 1e6


def _search(trials: int, **settings: Any) -> Study:
    defaults: dict[str, Any] = {"sampler": "random", "constraints": TIGHT, "trials": trials}
    return nas.run_search(nas.load_space("mbconv"), score, **{**defaults, **settings})


def test_tight_limits_are_met_by_guided_sampling() -> None:
    study = _search(30)
    assert study.stop == StopReason.TRIALS_DONE.stop(trained=30)
    trained = [trial for trial in study.trials if trial.trained]
    for trial in trained:
        assert trial.cost is not None
        assert 100_000 <= trial.cost.params <= 101_000
        assert trial.cost.macs >= 3.5e6
    found, looked = study.guided()
    assert found >= 28
    assert looked > found
    # Every rejection is of a proposal of the sampler, with its distances; what is between is only counted.
    for trial in study.trials:
        if trial.state is State.REJECTED:
            assert trial.guided == 0
            assert any(violation.rejects for violation in trial.violations)
    assert sum(study.counts().values()) == len(study.trials)


def test_generous_limits_need_no_guide() -> None:
    assert _search(30, constraints={"params": 2e6}).guided() == (0, 0)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_guided_search_repeats_and_goes_on_as_if_it_was_never_interrupted(tmp_path: Path) -> None:
    whole = _search(20, sampler="tpe", seed=4)
    assert whole.guided()[0] > 0
    _search(9, sampler="tpe", seed=4, run_dir=tmp_path / "run")
    resumed = _search(20, sampler="tpe", seed=4, run_dir=tmp_path / "run", resume=True)
    assert [(t.genotype, t.state, t.guided) for t in resumed.trials] == [
        (t.genotype, t.state, t.guided) for t in whole.trials
    ]


@pytest.mark.slow
def test_what_nothing_holds_ends_soon_and_says_what_came_nearest() -> None:
    study = _search(5, constraints={"params": 1000})
    assert study.best() == []
    assert study.stop is not None
    assert study.stop.reason is StopReason.INFEASIBLE
    assert "is over 1,000" in study.stop_reason
    assert len(study.trials) < 200


def test_soft_limits_cost_score() -> None:
    free = _search(60, constraints=None, sampler="tpe")
    soft = _search(60, constraints=None, sampler="tpe", soft={"params": 3e5}, soft_weight=100.0)
    assert soft.rejections() == {}
    best = soft.best(1)[0]
    assert best.cost is not None
    for trial in soft.trials:
        assert trial.cost is not None
        over = max(0.0, trial.cost.params / 3e5 - 1)
        assert soft.judged(trial) == pytest.approx(trial.scores["val_accuracy"] - 100 * over)
        assert soft.judged(trial) <= soft.judged(best)
    free_best = free.best(1)[0]
    assert free_best.cost is not None
    assert best.cost.params < free_best.cost.params


def test_soft_limits_of_what_is_minimized() -> None:
    study = _search(10, constraints=None, soft={"params": 3e5}, soft_weight=2.0, direction="minimize")
    for trial in study.trials:
        assert study.judged(trial) == pytest.approx(trial.scores["val_accuracy"] + 2 * trial.soft_excess)
