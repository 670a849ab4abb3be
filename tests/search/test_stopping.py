"""When a search gives up: equal failures, evaluations that hang, and time that is over."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nas
from nas.cost import Cost
from nas.errors import EvaluationError
from nas.search.log import read_trials
from nas.search.stop_reason import StopReason
from nas.search.stopping import check_ended
from nas.search.study import Study
from nas.search.trial import State, Trial
from nas.workers import giving_up
from nas.workers.evaluating import Outcome
from nas.workers.giving_up import EqualFailures, Watch, kind_of, work_of
from tests.search import evaluators, trouble

# Equal failures


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("object at 0x7f0ee83ab2e0", "object at 0x55d0C"),
        ("size mismatch: [1, 8, 8] against [64]", "size mismatch: [3, 224] against [1, 2, 3, 4]"),
        ("mat1 and mat2 (64x512 and 128x10)", "mat1 and mat2 (8x16 and 32x10)"),
        ("the loss is nan in epoch 3", "the loss is inf in epoch 12"),
        ("took 1.5e-3 s, -7 left", "took 12 s, 3 left"),
        ("no file '/tmp/tmpa8f_x/1.png'", "no file '/var/data/b.jpg'"),
        ("1.0000000000000002e+16 MiB", "3 MiB"),
        ("network 3f9a01bc77de12aa failed", "network 9b01bc77de12aa44 failed"),
        ("run 123e4567-e89b-12d3-a456-426614174000", "run 00112233-4455-6677-8899-aabbccddeeff"),
    ],
)
def test_failures_that_are_alike(one: str, other: str) -> None:
    assert kind_of(one) == kind_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("NameError: name 'a' is not defined", "NameError: name 'b' is not defined"),
        ("ValueError: 3", "TypeError: 3"),
        ("expects 3 channels", "expects channels"),
        ("KeyError: 'stem'", "KeyError: 'head'"),
    ],
)
def test_failures_that_are_not_alike(one: str, other: str) -> None:
    assert kind_of(one) != kind_of(other)


_SHAPES = st.lists(st.integers(0, 2**64), min_size=1, max_size=4)


@settings(max_examples=50)
@given(_SHAPES, _SHAPES, st.floats(), st.floats())
def test_numbers_make_no_difference(one: list[int], other: list[int], x: float, y: float) -> None:
    assert kind_of(f"shape {one} at {x} in {hex(one[0])}") == kind_of(f"shape {other} at {y} in {hex(other[0])}")


def test_a_success_or_another_failure_begins_the_count_anew() -> None:
    failures = EqualFailures(3)
    said = [failures.failed(reason) for reason in ("a", "a", "b", "b")]
    failures.succeeded()
    said += [failures.failed("b 1"), failures.failed("b 2")]
    assert said == [""] * 6
    assert failures.failed("b 3") == "the last 3 evaluations failed alike, the last one with: b 3"
    assert not any(EqualFailures(None).failed("a") for _ in range(100))


def test_a_network_counts_once() -> None:
    failures = EqualFailures(2)
    for _ in range(5):
        failures.count(Outcome(0, None, "a"), "network")
    with pytest.raises(EvaluationError, match="the last 2 evaluations failed alike"):
        failures.count(Outcome(0, None, "a"), "other")


class _Misspelt:
    """Fails always, with an address and a number in its words."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, *_: Any) -> float:
        self.calls += 1
        raise NameError(f"name 'misspelt' is not defined in {object()!r}, call {self.calls}")


@pytest.mark.parametrize("most", [2, 5])
def test_a_search_whose_trials_fail_alike_ends(space: nas.SearchSpace, most: int) -> None:
    evaluator = _Misspelt()
    study = nas.run_search(space, evaluator, trials=60, sampler="random", max_equal_failures=most)
    assert evaluator.calls == most == study.counts()["failed"]
    assert f"the last {most} evaluations failed alike" in study.stop_reason
    assert "name 'misspelt' is not defined" in study.stop_reason
    assert study.failed_alike
    with pytest.raises(EvaluationError, match="misspelt"):
        check_ended(study)


def test_a_search_ends_by_default_and_where_that_is_off_does_not(space: nas.SearchSpace) -> None:
    assert nas.run_search(space, _Misspelt(), trials=60, sampler="random").counts()["failed"] == 5
    study = nas.run_search(space, _Misspelt(), trials=12, sampler="random", max_equal_failures=None)
    assert study.counts()["failed"] == 12
    assert not study.failed_alike


def test_a_resumed_search_counts_anew(space: nas.SearchSpace, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"sampler": "random", "trials": 20, "run_dir": tmp_path / "run"}
    first = nas.run_search(space, _Misspelt(), **arguments)
    assert first.can_go_on
    again = nas.run_search(space, _Misspelt(), **arguments, resume=True)
    assert again.counts()["failed"] == 10
    mended = nas.run_search(space, evaluators.params, **arguments, resume=True)
    assert mended.counts() == {"completed": 10, "failed": 10, "rejected": 0, "duplicate": mended.counts()["duplicate"]}
    assert not mended.failed_alike


def test_failures_among_successes_end_nothing(space: nas.SearchSpace) -> None:
    calls = 0

    def moody(*_: Any) -> float:
        nonlocal calls
        calls += 1
        if calls % 5:
            raise ValueError("again")
        return 1.0

    assert nas.run_search(space, moody, trials=20, sampler="random").counts()["failed"] == 16


def test_halving_ends_too(space: nas.SearchSpace) -> None:
    evaluator = _Misspelt()
    nas.run_search(space, evaluator, trials=30, sampler="random", pruner="asha", budget=nas.Budget(epochs=9))
    assert evaluator.calls == 5


# What hangs


class _Running:
    """A pool of which only the times are real."""

    def __init__(self) -> None:
        self.times: dict[int, float] = {}
        self.ended: list[int] = []

    def running(self) -> dict[int, float]:
        return self.times

    def end(self, number: int) -> None:
        self.ended.append(number)


def _ended(watch: Watch, *seconds: float, work: float = 100.0) -> None:
    for number, spent in enumerate(seconds):
        watch.began(number, work)
        watch.ended(Outcome(number, nas.Evaluation({"score": 1.0}, seconds={"evaluation": spent})))


def test_the_limit_follows_from_the_others() -> None:
    pool: Any = _Running()
    watch = Watch(pool)
    _ended(watch, 30.0, 20.0)
    assert watch.limit(100) == float("inf"), "two are too few"
    _ended(watch, 8.0)
    assert watch.limit(100) == watch.limit(1) == 10 * 30
    assert watch.limit(250) == 10 * 30 * 2.5
    watch.began(7, 100)
    pool.times = {7: 300.0}
    assert watch.late() == []
    pool.times = {7: 301.0}
    (late,) = watch.late()
    assert pool.ended == [7]
    assert late.reason == "took longer than 300 s: 10 times what the longest of the others took, for its size"
    watch.ended(late)
    assert watch.limit(100) == 300, "what failed does not count"


def test_what_is_quick_has_a_minute() -> None:
    pool: Any = _Running()
    watch = Watch(pool)
    _ended(watch, 0.1, 0.1, 0.1)
    assert watch.limit(100) == 60


def test_a_trial_that_hangs_ends(space: nas.SearchSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(giving_up, "_MIN_SECONDS", 0.5)
    study = nas.run_search(space, trouble.HangsOnce(tmp_path), trials=8, sampler="random", workers=1, seed=2)
    assert study.counts()["completed"] == 7
    (hung,) = (trial for trial in study.trials if trial.state is State.FAILED)
    assert "times what the longest of the others took" in hung.reason


def test_a_limit_that_is_given_is_the_only_one(
    space: nas.SearchSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(giving_up, "_MIN_SECONDS", 0.1)
    study = nas.run_search(
        space, trouble.HangsOnce(tmp_path), trials=6, sampler="random", workers=1, seed=2, trial_minutes=1 / 60
    )
    assert [t.reason for t in study.trials if t.state is State.FAILED] == ["took longer than 1 s"]


# Time that is over


def _facts(study: Study) -> list[tuple[Any, ...]]:
    return [(t.number, t.state, t.genotype, dict(t.scores), t.seed) for t in study.trials]


def test_what_runs_when_the_time_is_over_is_run_again(space: nas.SearchSpace, tmp_path: Path) -> None:
    (tmp_path / "calls").mkdir()
    (tmp_path / "whole").mkdir()
    for number in range(5):  # so that nothing hangs there
        (tmp_path / "whole" / str(number)).touch()
    arguments: dict[str, Any] = {"trials": 7, "sampler": "tpe", "seed": 3, "workers": 1}
    whole = nas.run_search(space, trouble.HangsOnce(tmp_path / "whole"), **arguments)
    run: dict[str, Any] = {**arguments, "run_dir": tmp_path / "run"}
    cut = nas.run_search(space, trouble.HangsOnce(tmp_path / "calls"), **run, minutes=3 / 60)
    assert cut.stop == StopReason.TIME_OVER.stop(minutes=0.05)
    assert cut.can_go_on
    assert cut.counts()["interrupted"] == 1
    last = read_trials(tmp_path / "run")[-1]
    assert (last.state, last.scores, last.trained) == (State.INTERRUPTED, {}, False)
    again = nas.run_search(space, trouble.HangsOnce(tmp_path / "calls"), **run, resume=True)
    assert _facts(again) == _facts(whole)
    assert "interrupted" not in again.counts()
    assert len({trial.number for trial in again.trials}) == len(again.trials)
    # What was interrupted has two lines by now.
    assert sorted(read_trials(tmp_path / "run"), key=lambda trial: trial.number) == again.trials
    assert nas.load_study(tmp_path / "run").counts() == again.counts()
    more = nas.run_search(space, trouble.HangsOnce(tmp_path / "calls"), **run | {"trials": 8}, resume=True)
    assert _facts(more)[:7] == _facts(whole)


class _Reports:
    """Reports for ever; ends when it is told to."""

    def __call__(self, *_: Any) -> float:
        for step in range(1, 100_000):
            if nas.report(step, {"val_accuracy": 0.5}):
                return 0.5
            time.sleep(0.01)
        raise AssertionError("never told to end")


def test_what_reports_in_this_process_ends_with_the_time(space: nas.SearchSpace, tmp_path: Path) -> None:
    study = nas.run_search(
        space, _Reports(), trials=3, sampler="random", seed=0, minutes=0.2 / 60, run_dir=tmp_path / "run"
    )
    assert [trial.state for trial in study.trials] == [State.INTERRUPTED]
    again = nas.run_search(
        space, evaluators.params, trials=3, sampler="random", seed=0, run_dir=tmp_path / "run", resume=True
    )
    assert again.counts()["completed"] == 3
    assert again.trials[0].genotype == study.trials[0].genotype


def _interrupts_at(call: int) -> Any:
    calls = 0

    def evaluate(arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
        nonlocal calls
        calls += 1
        if calls == call:
            raise KeyboardInterrupt
        return -abs(nas.cost_of(arch).params - 3000.0) * (budget.epochs or 1)

    return evaluate


@pytest.mark.parametrize("pruner", ["none", "asha", "hyperband"])
def test_a_search_that_is_interrupted_anywhere_goes_on_as_if_nothing_had_been(
    space: nas.SearchSpace, tmp_path: Path, pruner: str
) -> None:
    arguments: dict[str, Any] = {
        "trials": 8,
        "sampler": "tpe",
        "seed": 1,
        "pruner": pruner,
        "budget": nas.Budget(epochs=9),
    }
    whole = nas.run_search(space, _interrupts_at(0), **arguments)
    calls = sum(max(1, len(trial.steps)) for trial in whole.trials if trial.trained)
    for call in range(1, calls + 1, 2):
        run = {**arguments, "run_dir": tmp_path / str(call)}
        cut = nas.run_search(space, _interrupts_at(call), **run)
        assert cut.interrupted
        again = nas.run_search(space, _interrupts_at(0), **run, resume=True)
        assert sorted(_facts(again), key=lambda one: one[0]) == sorted(_facts(whole), key=lambda one: one[0])
        read = read_trials(tmp_path / str(call))
        assert {trial.number: trial.state for trial in read} == {one.number: one.state for one in again.trials}


# Signals at the end


class _Recorder:
    """Is interrupted while it ends."""

    def __init__(self, *numbers: signal.Signals) -> None:
        self.numbers, self.whole = numbers, False

    def begin(self, study: Study) -> None: ...

    def proposed(self, study: Study, running: int) -> None: ...

    def paused(self, study: Study, trial: Trial) -> None: ...

    def ended(self, study: Study, trial: Trial) -> None: ...

    def end(self, study: Study) -> None:
        for number in self.numbers:
            signal.raise_signal(number)
        self.whole = True


def test_a_second_ctrl_c_does_not_cut_the_end(space: nas.SearchSpace) -> None:
    recorder = _Recorder(signal.SIGINT, signal.SIGINT)
    before = signal.getsignal(signal.SIGINT)
    study = nas.run_search(space, _interrupts_at(3), trials=5, sampler="random", recorders=[recorder])
    assert study.interrupted
    assert recorder.whole
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_at_the_end_of_a_whole_search_comes_after_it(space: nas.SearchSpace) -> None:
    recorder = _Recorder(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        nas.run_search(space, evaluators.params, trials=2, sampler="random", recorders=[recorder])
    assert recorder.whole


def test_what_was_begun_is_ended_where_the_search_itself_fails(space: nas.SearchSpace) -> None:
    recorder, broken = _Recorder(), _Recorder()
    broken.ended = lambda study, trial: 1 / 0  # type: ignore[method-assign,assignment]
    with pytest.raises(ZeroDivisionError):
        nas.run_search(space, evaluators.params, trials=2, sampler="random", recorders=[recorder, broken])
    assert recorder.whole


@pytest.mark.parametrize(
    ("budget", "work"),
    [
        (nas.Budget(), 100),
        (nas.Budget(epochs=3), 300),
        (nas.Budget(epochs=3, data_fraction=0.5), 150),
        (nas.Budget(epochs=4, resolution_fraction=0.5), 100),  # a quarter of the positions
    ],
)
def test_the_work_of_an_evaluation_is_multiply_adds_times_epochs(budget: nas.Budget, work: float) -> None:
    assert work_of(Cost(params=1, macs=100), budget) == work
