"""A search that runs takes other settings of when it ends."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.errors import ConfigError
from nas.run_folder import hold
from nas.search.budgets.halving import Halving
from nas.search.proposing import Pace
from nas.search.settings import SearchSettings
from nas.search.steering import STEERED, STEERING, Steering, checked, current, steer, steered
from nas.search.stop_reason import StopReason
from nas.search.study import Study
from nas.workers.simulated import SimulatedPool

SPACE = nas.load_space("mbconv")


def _score(architecture: nas.Architecture, budget: nas.Budget, seed: int) -> float:
    return -nas.cost_of(architecture).params / 1e6


class _Steers:
    """A recorder that steers the search after some of its trials."""

    def __init__(self, changes: dict[int, dict[str, Any]]) -> None:
        self.changes = changes
        self.seen: list[dict[str, Any]] = []

    def begin(self, study: Study) -> None:
        pass

    def proposed(self, study: Study, running: int) -> None:
        self.seen.append(dict(study.steered))

    def paused(self, study: Study, trial: nas.Trial) -> None:
        assert study.folder is not None
        if change := self.changes.pop(0, None):
            steer(study.folder, change)

    def ended(self, study: Study, trial: nas.Trial) -> None:
        assert study.folder is not None
        if change := self.changes.pop(len(study.trials), None):
            steer(study.folder, change)

    def end(self, study: Study) -> None:
        pass


def _searched(folder: Path, changes: dict[int, dict[str, Any]], **arguments: Any) -> tuple[Study, _Steers]:
    steers = _Steers(changes)
    arguments = {"trials": 6, "sampler": "random", "workers": 0, "recorders": [steers], **arguments}
    return nas.run_search(SPACE, _score, run_dir=folder, **arguments), steers


@pytest.mark.parametrize(("trials", "evaluated"), [(9, 9), (4, 4), (1, 3)])
def test_more_and_fewer_trials(trials: int, evaluated: int, tmp_path: Path) -> None:
    """After the third of six; what is evaluated by then stays."""
    study, steers = _searched(tmp_path / "run", {3: {"trials": trials}})
    assert len([trial for trial in study.trials if trial.trained]) == evaluated
    assert study.stop is not None
    assert study.stop.reason is StopReason.TRIALS_DONE
    assert steers.seen[0] == {}
    assert steers.seen[-1] == {"trials": trials}


def test_halving_lets_more_trials_begin(tmp_path: Path) -> None:
    """Of 9 trials with one epoch three get three; without the change it would be one of three."""
    study, _ = _searched(tmp_path / "run", {0: {"trials": 9}}, trials=3, pruner="asha", budget=nas.Budget(epochs=3))
    assert len(study.trials) == 9
    assert sorted(len(trial.steps) for trial in study.trials) == [1] * 6 + [2] * 3


def test_minutes_end_it(tmp_path: Path) -> None:
    study, _ = _searched(tmp_path / "run", {2: {"minutes": 1e-6}})
    assert study.stop is not None
    assert study.stop.reason is StopReason.TIME_OVER
    assert len(study.trials) < 6


def test_changes_of_an_earlier_session_are_not_taken_by_the_next_from_python(tmp_path: Path) -> None:
    """Who calls `run_search` says with each call when it ends."""
    _searched(tmp_path / "run", {2: {"trials": 3}})
    study, _ = _searched(tmp_path / "run", {}, trials=5, resume=True)
    assert len(study.trials) == 5
    assert steered(tmp_path / "run") == {"trials": 3}


def test_a_damaged_line_does_not_end_a_search(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Damages(_Steers):
        def ended(self, study: Study, trial: nas.Trial) -> None:
            assert study.folder is not None
            (study.folder / STEERING).write_text('{"trials": "many"}\n')

    damages = Damages({})
    with caplog.at_level(logging.WARNING):
        study = nas.run_search(
            SPACE, _score, run_dir=tmp_path / "run", trials=3, sampler="random", workers=0, recorders=[damages]
        )
    assert len(study.trials) == 3
    assert "the search goes on as it was" in caplog.text
    assert "steering.jsonl:1" in caplog.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trails": 3}, "trails is no setting of a search: .* Did you mean 'trials'"),
        ({"keep": 3}, "keep cannot be changed while it runs"),
        ({"trials": 0}, "search.trials must be > 0, but got 0"),
        ({"trials": 2.5}, "search.trials must be a whole number, but got 2.5"),
        ({"minutes": -1}, "search.minutes must be > 0, but got -1"),
        ({"trials": None}, "trials and minutes are both null"),
        ({"workers": 0}, "workers must be >= 1, but got 0"),
        ({"workers": None}, "workers must be a whole number"),
        ({"rerun": "all"}, "rerun must be failed or numbers of trials, such as 12,15, but got 'all'"),
        ({"rerun": [-1]}, "rerun must be failed or numbers of trials"),
    ],
)
def test_changes_that_cannot_be_made(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        checked(SearchSettings(trials=4), changes)


def test_what_is_not_steered_stays() -> None:
    before = SearchSettings(trials=4, keep=2, patience=9)
    after = checked(before, {"trials": 8, "max_rejections": 7})
    assert (after.trials, after.max_rejections, after.keep, after.patience) == (8, 7, 2, 9)
    assert set(STEERED) == {"trials", "minutes", "patience", "max_rejections"}


def test_only_a_search_that_runs_is_steered(tmp_path: Path) -> None:
    run = tmp_path / "run"
    _searched(run, {})
    with pytest.raises(ConfigError, match=r"no search runs in .*; `nas search resume=.*run search.trials=9` goes on"):
        steer(run, {"trials": 9})
    assert not (run / STEERING).exists()
    with pytest.raises(ConfigError, match="no study in"):
        steer(tmp_path, {"trials": 9})


def test_settings_that_a_search_goes_by(tmp_path: Path) -> None:
    run = tmp_path / "run"
    _searched(run, {}, notes={"config": {"search": {"trials": 20, "minutes": None, "keep": 3}}})
    now = current(run)
    assert now is not None
    assert (now.trials, now.minutes) == (20, None)
    with hold(run, "search"):
        steer(run, {"trials": 30})
        steer(run, {"minutes": 5.0})
        steer(run, {"trials": 40})
    now = current(run)
    assert now is not None
    assert (now.trials, now.minutes) == (40, 5.0)
    assert [json.loads(line).keys() for line in (run / STEERING).read_text().splitlines()] == [
        {"trials", "check"},
        {"minutes", "check"},
        {"trials", "check"},
    ]


def test_only_new_lines_are_seen(tmp_path: Path) -> None:
    run = tmp_path / "run"
    study, _ = _searched(run, {2: {"trials": 7}})
    steering = Steering(study, SimulatedPool(_score), Pace(1))
    assert steering.since() == {}
    with hold(run, "search"):
        steer(run, {"trials": 8})
        steer(run, {"patience": 3})
    assert steering.since() == {"trials": 8, "patience": 3}
    assert steering.since() == {}
    kept_nowhere = nas.run_search(SPACE, _score, trials=1, sampler="random")
    assert Steering(kept_nowhere, SimulatedPool(_score), Pace(1)).since() == {}


def test_more_trials_begin_where_halving_had_all_of_its_own() -> None:
    halving = Halving([1.0, 3.0], 3, total=2)
    halving.begin(0)
    halving.begin(1)
    closed = [halving.closed]
    for total in (3, 1):
        halving.let_begin(total)
        closed.append(halving.closed)
    assert closed == [True, False, True]
