"""Evaluations in processes of their own."""

from __future__ import annotations

import multiprocessing
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nas
from nas.errors import DataError, WorkerError
from nas.search.config import Config, worker_count
from nas.search.trial import State, Trial
from nas.workers.processes import Outcome, Task, WorkerPool
from tests.frozen import changeable
from tests.search import evaluators


def _width(trial: Trial) -> object:
    return trial.genotype["stem.0.out_channels"]


def test_workers_give_what_this_process_gives(space: nas.SearchSpace) -> None:
    one = nas.run_search(space, evaluators.params, trials=12, seed=5, workers=1)
    here = nas.run_search(space, evaluators.params, trials=12, seed=5)
    assert [(t.genotype, t.scores) for t in one.trials] == [(t.genotype, t.scores) for t in here.trials]


def test_a_trial_that_kills_its_process_ends_only_itself(space: nas.SearchSpace, tmp_path: Path) -> None:
    study = nas.run_search(
        space, evaluators.Moody(), trials=12, sampler="random", seed=0, workers=2, run_dir=tmp_path / "run"
    )
    assert study.counts()["completed"] + study.counts()["failed"] == 12
    ends = {_width(t): (t.state, t.reason) for t in study.trials if t.trained}
    assert ends[4] == (State.FAILED, "its worker process was ended by SIGKILL (out of memory?)")
    assert ends[8] == (State.FAILED, "its worker process ended with exit code 3")
    assert ends[16] == (State.COMPLETED, "")


def test_a_trial_that_takes_too_long_is_ended(space: nas.SearchSpace) -> None:
    study = nas.run_search(
        space, evaluators.Sleepy(), trials=6, sampler="random", seed=0, workers=2, trial_minutes=0.02
    )
    assert {t.state for t in study.trials if t.trained and _width(t) != 4} == {State.COMPLETED}
    late = [t for t in study.trials if t.trained and _width(t) == 4]
    assert late
    assert {t.reason for t in late} == {"took longer than 1.2 s"}


def test_a_trial_that_reports_all_the_time_is_ended_too(space: nas.SearchSpace) -> None:
    study = nas.run_search(space, evaluators.Talkative(), trials=1, seed=0, workers=1, trial_minutes=0.01)
    assert [(t.state, t.reason) for t in study.trials] == [(State.FAILED, "took longer than 0.6 s")]


def test_workers_have_one_thread_and_stay(space: nas.SearchSpace) -> None:
    before = dict(os.environ)
    study = nas.run_search(space, evaluators.Environment(), trials=10, workers=2)
    done = [t.scores for t in study.trials if t.state is State.COMPLETED]
    assert {(s["threads"], s["passive"]) for s in done} == {(1.0, 1.0)}
    assert len({s["pid"] for s in done}) <= 2
    assert os.getpid() not in {s["pid"] for s in done}
    assert dict(os.environ) == before


def test_what_an_evaluator_lacks_is_said_before_any_trial(space: nas.SearchSpace, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="data nowhere: no files"):
        nas.run_search(space, evaluators.Unprepared(), trials=3, workers=1, run_dir=tmp_path / "run")


def test_workers_that_cannot_start_are_an_error(space: nas.SearchSpace) -> None:
    with pytest.raises(WorkerError, match="cannot start: its worker process ended with exit code 7"):
        nas.run_search(space, evaluators.Stillborn(), trials=3, workers=2)


def test_each_worker_sees_its_own_device(space: nas.SearchSpace) -> None:
    pool = WorkerPool(evaluators.visible_device, 3, devices=["0", "GPU-1"])
    try:
        for number in range(3):
            pool.submit(Task(number, space.decode(space.sample(0)), nas.Budget(), 0))
        found: list[float] = []
        while len(found) < 3:
            found += [o.evaluation.scores["device"] for o in pool.wait(1) if o.evaluation is not None]
    finally:
        pool.close()
    assert sorted(found) == [0.0, 0.0, 1.0]


@pytest.mark.parametrize(("value", "devices"), [("2, 3", ["2", "3"]), ("", []), ("-1", []), ("GPU-a", ["GPU-a"])])
def test_the_devices_that_the_user_chose_are_used(
    value: str, devices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    config = Config(space="mbconv")
    assert worker_count(config) == (len(devices) or len(os.sched_getaffinity(0)), devices)
    assert worker_count(replace(config, workers=5)) == (5, devices)
    assert worker_count(replace(config, workers=5, accelerator="cpu")) == (5, [])


def test_a_worker_that_dies_while_it_waits_is_replaced(space: nas.SearchSpace) -> None:
    others = {*multiprocessing.active_children()}
    pool = WorkerPool(evaluators.params, 1)
    try:
        pool.describe()
        (process,) = {*multiprocessing.active_children()} - others
        process.kill()
        process.join()
        pool.submit(Task(0, space.decode(space.sample(0)), nas.Budget(), 0))
        outcomes: list[Outcome] = []
        while not outcomes:
            outcomes += pool.wait(1)
    finally:
        pool.close()
    assert outcomes[0].evaluation is not None


def _evaluation(scores: Any, history: Any = ()) -> nas.Evaluation:
    """What an evaluator may return that minds no types."""
    return nas.Evaluation(scores, history)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (_evaluation({"val_accuracy": "0.5"}), "val_accuracy must be a number, but got '0.5'"),
        (_evaluation([0.5]), "mappings from names to numbers, but got"),
        ({"val_accuracy": None}, "val_accuracy must be a number, but got None"),
        ("good", "val_accuracy must be a number"),
        (_evaluation({"val_accuracy": 1.0}, history=({"epoch": "one"},)), "epoch must be a number"),
    ],
)
def test_what_is_no_score_fails_the_trial_and_not_the_study(space: nas.SearchSpace, found: Any, reason: str) -> None:
    study = nas.run_search(space, lambda arch, budget, seed: found, trials=2, sampler="random")
    assert study.counts()["failed"] == 2
    assert reason in study.trials[0].reason


def test_numbers_of_numpy_are_numbers(space: nas.SearchSpace, tmp_path: Path) -> None:
    found = _evaluation({"val_accuracy": np.float32(0.5)}, history=({"epoch": np.int64(1)},))
    study = nas.run_search(space, lambda arch, budget, seed: found, trials=1, run_dir=tmp_path / "run")
    assert study.trials[0].scores == {"val_accuracy": 0.5}


def test_an_evaluator_that_leaves_fails_its_trial(space: nas.SearchSpace) -> None:
    study = nas.run_search(space, lambda arch, budget, seed: sys.exit(3), trials=2, sampler="random")
    assert study.counts()["failed"] == 2


def test_only_what_keeps_account_of_workers_changes() -> None:
    assert changeable("nas.workers") == {"_Actor", "_Lease", "_Worker"}
