"""Trials that failed are run again: as trials of their own, each once, whatever happens on the way."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

import nas
from nas.errors import ConfigError
from nas.line_log import LineLog, append_in_turn
from nas.run_folder import hold
from nas.search.budgets.halving import Halving
from nas.search.log import read_trials
from nas.search.steering import STEERING, steer
from nas.search.stop_reason import StopReason
from nas.search.study import Study
from nas.search.trial import State
from nas.seeds import derived_seed

SPACE = nas.load_space("mbconv")


class Flaky:
    """Scores by the number of parameters; the evaluations whose places are given fail, counted from 0."""

    def __init__(self, *failing: int, at: Callable[[int], None] = lambda call: None) -> None:
        self.failing, self.at = set(failing), at
        self.seen: list[tuple[str, int | None]] = []

    def __call__(self, architecture: nas.Architecture, budget: nas.Budget, seed: int) -> float:
        call = len(self.seen)
        self.seen.append((architecture.arch_id, budget.epochs))
        self.at(call)
        if call in self.failing:
            raise ValueError(f"the disk was away in evaluation {call}")
        return -nas.cost_of(architecture).params / 1e6


class Asks:
    """A recorder that has failed trials run again once so many trials have ended, or been paused."""

    def __init__(self, run: Path, changes: dict[int, dict[str, Any]]) -> None:
        self.run, self.changes, self.count = run, changes, 0

    def begin(self, study: Study) -> None: ...
    def proposed(self, study: Study, running: int) -> None: ...
    def end(self, study: Study) -> None: ...

    def ended(self, study: Study, trial: nas.Trial) -> None:
        self.count += 1
        if change := self.changes.pop(self.count, None):
            steer(self.run, change)

    def paused(self, study: Study, trial: nas.Trial) -> None:
        self.ended(study, trial)


def _search(run: Path, evaluator: Flaky, asked: dict[int, Any] | None = None, **named: Any) -> Study:
    changes = {count: {"rerun": trials} for count, trials in (asked or {}).items()}
    usual: dict[str, Any] = {"trials": 6, "sampler": "random", "workers": 0, "seed": 3}
    return nas.run_search(SPACE, evaluator, run_dir=run, recorders=[Asks(run, changes)], **{**usual, **named})


def _reruns(study: Study) -> dict[int, int]:
    """Return the numbers of trials that run others again, by the numbers of those."""
    return {trial.rerun_of: trial.number for trial in study.trials if trial.rerun_of is not None}


def _lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "trials.jsonl").read_text().splitlines()]


def test_failed_trials_are_run_again_in_trials_of_their_own(tmp_path: Path) -> None:
    evaluator = Flaky(1, 3)
    study = _search(tmp_path / "run", evaluator, {5: "failed"})
    by_number = {trial.number: trial for trial in study.trials}
    assert len(by_number) == len(study.trials) == 8
    assert study.counts() | {} == {"completed": 6, "failed": 2, "rejected": 0, "duplicate": 0}
    assert study.evaluated == 6  # what was asked for
    assert [trial.number for trial in study.trials if trial.state is State.FAILED] == [1, 3]
    assert _reruns(study) == {1: 5, 3: 6}  # before what is new
    for failed, again in _reruns(study).items():
        assert by_number[again].genotype == by_number[failed].genotype
        assert by_number[again].arch_id == by_number[failed].arch_id
        assert by_number[again].seed == derived_seed(3, again, "evaluation") != by_number[failed].seed
        assert by_number[again].state is State.COMPLETED
    assert Counter(Counter(evaluator.seen).values()) == {1: 4, 2: 2}
    assert study.stop is not None
    assert study.stop.text == StopReason.TRIALS_DONE.stop(trained=6).text
    assert _lines(tmp_path / "run")[5]["rerun_of"] == 1
    assert "rerun_of" not in _lines(tmp_path / "run")[0]
    resumed = Flaky()
    study = _search(tmp_path / "run", resumed, resume=True)
    assert resumed.seen == []
    assert (study.evaluated, len(study.trials)) == (6, 8)


def test_what_was_run_again_and_failed_again_is_run_again_by_its_own_number(tmp_path: Path) -> None:
    run = tmp_path / "run"
    study = _search(run, Flaky(0, 3), {3: [0], 5: "failed"})
    assert _reruns(study) == {0: 3, 3: 5}
    assert study.counts()["completed"] == 6
    with pytest.raises(ConfigError, match="trial 0 is run again already, as trial 3; where that fails, too"):
        steer(run, {"rerun": [0]})
    with pytest.raises(ConfigError, match=r"no trial in .* has failed that is not run again already"):
        steer(run, {"rerun": "failed"})
    with pytest.raises(ConfigError, match="trial 1 is completed, but only what has failed"):
        steer(run, {"rerun": [1]})
    with pytest.raises(ConfigError, match="trial 99 is not on record"):
        steer(run, {"rerun": [99]})


def test_two_requests_at_once_run_a_trial_once(tmp_path: Path) -> None:
    """Of some that have all looked before another wrote; the last one is seen when the trials were run again."""
    run = tmp_path / "run"

    def at(call: int) -> None:
        if call in (3, 6):
            for _ in range(2):
                append_in_turn(run / STEERING, "a line", lambda values: values, {"rerun": [1, 2]})

    evaluator = Flaky(1, 2, at=at)
    study = _search(run, evaluator)
    assert _reruns(study) == {1: 4, 2: 5}
    assert len(evaluator.seen) == 8
    with hold(run, "search"):
        append_in_turn(run / STEERING, "a line", lambda values: values, {"rerun": [2, 0]})
    resumed = Flaky()
    assert _reruns(_search(run, resumed, resume=True)) == {1: 4, 2: 5}, "2 was run again, and 0 has not failed"
    assert resumed.seen == []


@pytest.mark.parametrize("killed", [2, 3, 4, 5, 6])
def test_a_kill_between_the_request_and_its_end_neither_loses_nor_doubles_it(killed: int, tmp_path: Path) -> None:
    """The folder as it is at each evaluation after the request, which is asked for behind the second one."""
    run, copy = tmp_path / "run", tmp_path / "copy"

    def at(call: int) -> None:
        if call == killed:
            shutil.copytree(run, copy)

    _search(run, Flaky(0, 1, at=at), {2: "failed"})
    resumed = Flaky()
    study = _search(copy, resumed, resume=True)
    assert sorted(_reruns(study)) == [0, 1]
    assert [trial.rerun_of for trial in study.trials].count(0) == 1
    assert study.counts()["completed"] == study.evaluated == 6
    assert len({json.dumps(trial.genotype) for trial in study.trials}) == 6
    assert len(resumed.seen) == 8 - killed


def test_an_interrupted_rerun_is_gone_on_with_by_resume(tmp_path: Path) -> None:
    def at(call: int) -> None:
        if call == 3:
            raise KeyboardInterrupt

    study = _search(tmp_path / "run", Flaky(1, at=at), {3: "failed"})
    assert [(trial.number, trial.state, trial.rerun_of) for trial in study.trials][3:] == [(3, State.INTERRUPTED, 1)]
    study = _search(tmp_path / "run", resumed := Flaky(), resume=True)
    assert _reruns(study) == {1: 3}
    assert study.counts()["completed"] == study.evaluated == 6
    assert len(resumed.seen) == 4


def test_a_search_that_has_ended_runs_them_when_it_is_gone_on_with(tmp_path: Path) -> None:
    run = tmp_path / "run"
    study = _search(run, Flaky(*range(5)), max_equal_failures=5)
    assert study.failed_alike
    assert steer(run, {"rerun": "failed"}) == {"rerun": [0, 1, 2, 3, 4]}
    with pytest.raises(ConfigError, match="trial 4 is run again already; where"):
        steer(run, {"rerun": [4]})
    study = _search(run, resumed := Flaky(), resume=True)
    assert len(resumed.seen) == 6
    assert sorted(_reruns(study).values()) == [5, 6, 7, 8, 9]
    assert study.counts()["completed"] == study.evaluated == 6
    study = _search(run, Flaky(0), resume=True, trials=7)
    steer(run, {"rerun": "failed"})  # all that was asked for is done
    study = _search(run, resumed := Flaky(), resume=True, trials=7)
    assert len(resumed.seen) == 1
    assert study.counts()["completed"] == 7


def test_one_over_the_number_of_trials_is_run_again_all_the_same(tmp_path: Path) -> None:
    """Where the last evaluation runs already, and where it was the one before that failed."""
    study = _search(tmp_path / "run", Flaky(4), {5: "failed"})
    assert study.counts()["completed"] == 6
    assert _reruns(study) == {4: 5}


def test_the_sampler_sees_a_failed_and_a_completed_trial(tmp_path: Path) -> None:
    seen: dict[int, tuple[str, dict[str, Any]]] = {}

    class Sampler(optuna.samplers.RandomSampler):
        def before_trial(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
            seen.update({one.number: (one.state.name, one.params) for one in study.trials if one.state.is_finished()})

    _search(tmp_path / "run", Flaky(1), {2: "failed"}, sampler=Sampler(seed=0))
    assert [state for state, _ in seen.values()] == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE", "COMPLETE", "COMPLETE"]
    assert seen[1][1] == seen[2][1] != seen[3][1]
    live = dict(seen)
    seen.clear()
    _search(tmp_path / "run", Flaky(), resume=True, trials=7, sampler=Sampler(seed=0))
    assert {number: seen[number] for number in live} == live


def test_a_rerun_is_promoted_as_its_network_would_have_been() -> None:
    """The best of nine fails on the last rung: without it on the rungs below, its rerun is one of three promoted."""
    halving = Halving([1.0, 3.0, 9.0], 3, total=9)
    for number in range(9):
        halving.begin(number)
        halving.ended(number, (float(number),))
    for number in (8, 7, 6):
        assert halving.next() == (number, 1)
        halving.ended(number, (float(number),))
    assert halving.next() == (8, 2)
    halving.dropped(8)
    halving.forget(8)
    assert halving.begin(9) == 0
    assert halving.closed, "nine networks have begun"
    halving.ended(9, (8.0,))
    assert halving.next() == (9, 1)
    halving.ended(9, (8.0,))
    assert halving.next() == (9, 2)
    halving.ended(9, (8.0,))
    assert halving.next() is None
    halving.forget(77)  # which failed before it began on any


def _begun_by_rung(study: Study) -> list[tuple[int, ...]]:
    return sorted(tuple(step for step, _ in trial.steps) for trial in study.trials if trial.state is not State.FAILED)


@pytest.mark.parametrize("pruner", ["asha", "successive_halving", "hyperband"])
@pytest.mark.parametrize("failing", [(0, 2), (10,), (4, 11)], ids=str)
def test_with_rungs_a_rerun_takes_the_place_of_the_failed_trial(
    pruner: str, failing: tuple[int, ...], tmp_path: Path
) -> None:
    """Whether it fails on its first rung or when it was promoted: each network counts once on each rung."""
    named: dict[str, Any] = {"trials": 9, "pruner": pruner, "budget": nas.Budget(epochs=9)}
    whole = _search(tmp_path / "whole", Flaky(), **named)
    run = tmp_path / "run"
    study = _search(run, evaluator := Flaky(*failing), {12: "failed"}, **named)
    assert len(_reruns(study)) == len(failing)
    assert study.evaluated == 9
    assert len({json.dumps(trial.genotype) for trial in study.trials}) == 9
    again = set(_reruns(study))
    assert all((trial.state is State.FAILED) == (trial.number in again) for trial in study.trials)
    if pruner != "hyperband":  # where a trial may begin on another rung
        assert Counter(_begun_by_rung(study))[(1, 2, 3)] == Counter(_begun_by_rung(whole))[(1, 2, 3)] == 1
    # What is rebuilt from the record decides as what was there: nothing is promoted once more.
    resumed = _search(run, later := Flaky(), resume=True, **named)
    assert later.seen == []
    assert _begun_by_rung(resumed) == _begun_by_rung(study)
    assert Counter(_begun_by_rung(resumed)).total() == 9
    assert evaluator.seen


@pytest.mark.parametrize("killed", [10, 11, 12, 13, 14])
def test_with_rungs_a_kill_neither_loses_nor_doubles_a_rerun(killed: int, tmp_path: Path) -> None:
    named: dict[str, Any] = {"trials": 9, "pruner": "asha", "budget": nas.Budget(epochs=9)}
    run, copy = tmp_path / "run", tmp_path / "copy"

    def at(call: int) -> None:
        if call == killed:
            shutil.copytree(run, copy)

    whole = _search(run, Flaky(0, 3, at=at), {10: "failed"}, **named)
    study = _search(copy, Flaky(), resume=True, **named)
    assert sorted(_reruns(study)) == sorted(_reruns(whole))
    assert study.evaluated == 9
    assert len({json.dumps(trial.genotype) for trial in study.trials}) == 9
    assert Counter(_begun_by_rung(study))[(1, 2, 3)] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rerun_of": 0}, "it runs trial 0 again, which failed on no line before"),
        ({"rerun_of": 77}, "it runs trial 77 again, which failed on no line before"),
        ({"rerun_of": "1"}, "rerun_of is '1'"),
        ({"rerun_of": 1}, "trial 1 was run again before, as trial 2"),
    ],
)
def test_a_record_in_which_a_trial_is_run_again_twice_is_refused(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    _search(run, Flaky(1), {2: "failed"}, trials=3)
    assert [trial.rerun_of for trial in read_trials(run)] == [None, None, 1, None]
    lines = LineLog(run / "trials.jsonl")
    last = {**_lines(run)[-1], "number": 9, **change}
    del last["check"]
    lines.append(last, durable=True)
    lines.close()
    with pytest.raises(ConfigError, match=message):
        read_trials(run)


def test_a_proposal_of_the_same_network_has_the_result_of_the_rerun(space: nas.SearchSpace, tmp_path: Path) -> None:
    """Before its network is run again a proposal has the failure, and after that the score; so when resumed."""
    run, calls = tmp_path / "run", Counter[str]()

    def evaluate(architecture: nas.Architecture, budget: nas.Budget, seed: int) -> float:
        calls[architecture.arch_id] += 1
        if len(calls) % 4 == 0 and calls[architecture.arch_id] == 1:
            raise ValueError("the disk was away")
        return float(nas.cost_of(architecture).params)

    asks = Asks(run, {count: {"rerun": "failed"} for count in (30, 90)})
    named: dict[str, Any] = {"sampler": "random", "seed": 0, "run_dir": run, "workers": 0}
    nas.run_search(space, evaluate, trials=70, recorders=[asks], **named)
    study = nas.run_search(space, evaluate, trials=150, resume=True, **named)
    again = _reruns(study)
    assert len(again) > 5
    assert max(calls.values()) == 2
    assert sum(count == 2 for count in calls.values()) == len(again)
    by_number = {trial.number: trial for trial in study.trials}
    repeated = [trial for trial in study.trials if trial.duplicate_of is not None]
    for trial in repeated:
        original = by_number[trial.duplicate_of or 0]
        assert (trial.arch_id, trial.scores) == (original.arch_id, original.scores)
        assert original.number not in again or trial.number < again[original.number]
    assert {trial.duplicate_of for trial in repeated} & {*again.values()}, "some come after a rerun"
