"""What every pool does alike, whatever evaluations run in."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.errors import ConfigError
from nas.evaluation import Budget, Evaluation, report
from nas.held_out import check_test_split_allowed
from nas.network.architecture import Architecture
from nas.workers.evaluating import Outcome, Task
from nas.workers.executors import leased_pool
from nas.workers.executors.futures import FuturesExecutor
from nas.workers.executors.leased_pool import LeasedPool
from nas.workers.executors.versions import versions_here
from nas.workers.in_process import InThisProcess
from nas.workers.pool import Pool
from nas.workers.processes import WorkerPool
from nas.workers.simulated import SimulatedPool
from tests.workers import elsewhere


class Counting:
    """Scores an evaluation by its seed, in three steps, and takes as many simulated seconds."""

    def prepare(self) -> Mapping[str, Any]:
        return {"name": "counted"}

    def __call__(self, architecture: Architecture, budget: Budget, seed: int) -> Evaluation:
        if seed == 13:
            raise ValueError("unlucky")
        if seed == 17:
            check_test_split_allowed()
        steps = 0
        for step in (1, 2, 3):
            steps = step
            if report(step, {"val_accuracy": seed / 100}):
                break
        return Evaluation({"val_accuracy": seed / 100, "steps": steps}, seconds={"evaluation": float(seed)})


POOLS: dict[str, Callable[[], Pool]] = {
    "in this process": lambda: InThisProcess(Counting(), "val_accuracy"),
    "simulated": lambda: SimulatedPool(Counting(), 2),
    "processes": lambda: WorkerPool(Counting(), 2, objective="val_accuracy"),
    "threads": lambda: LeasedPool(FuturesExecutor(ThreadPoolExecutor(2)), Counting()),
    "process pool": lambda: LeasedPool(FuturesExecutor(partial(ProcessPoolExecutor, 2)), Counting()),
}
SPACE = nas.load_space("reference/squeezenet1_1")
ARCHITECTURE = SPACE.decode({})


@pytest.fixture(params=POOLS, ids=str)
def pool(request: pytest.FixtureRequest) -> Iterator[Pool]:
    made = POOLS[request.param]()
    yield made
    made.close()


def _all(pool: Pool, seeds: list[int]) -> dict[int, Outcome]:
    """Evaluate tasks whose numbers are their seeds, as many at a time as the pool takes."""
    left, ended = list(seeds), dict[int, Outcome]()
    while len(ended) < len(seeds):
        while left and pool.free:
            seed = left.pop(0)
            pool.submit(Task(seed, ARCHITECTURE, Budget(), seed))
        ended |= {outcome.number: outcome for outcome in pool.wait(0.1)}
    return ended


def test_it_says_what_the_evaluator_says_of_its_data(pool: Pool) -> None:
    assert pool.describe() == {"name": "counted"}


def test_every_task_ends_once_with_its_own_scores(pool: Pool) -> None:
    started = pool.now()
    ended = _all(pool, [3, 5, 8])
    assert {number: one.evaluation.scores for number, one in ended.items() if one.evaluation} == {
        seed: {"val_accuracy": seed / 100, "steps": 3.0} for seed in (3, 5, 8)
    }
    assert pool.now() >= started
    assert pool.free >= 1
    assert not pool.running()


@pytest.mark.parametrize("name", ["threads", "process pool"])
def test_a_worker_with_other_versions_gets_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leased_pool, "versions_here", lambda: {**versions_here(), "torch": "1.0"})
    pool = POOLS[name]()
    try:
        with pytest.raises(ConfigError, match=r"has other versions than the search: torch \d\S+, not 1\.0$"):
            _all(pool, [1])
    finally:
        pool.close()


def test_a_failure_ends_its_own_task_only(pool: Pool) -> None:
    ended = _all(pool, [13, 4])
    assert ended[13].evaluation is None
    assert ended[13].reason == "ValueError: unlucky"
    assert ended[4].evaluation is not None


def test_no_evaluation_can_read_the_test_split(pool: Pool) -> None:
    outcome = _all(pool, [17])[17]
    assert outcome.evaluation is None
    assert "the test split cannot be read here" in outcome.reason
    check_test_split_allowed()  # this process searches no more


def test_a_listener_hears_each_step_and_may_end_it(pool: Pool) -> None:
    heard: list[tuple[int, int, float]] = []

    def hear(number: int, step: int, scores: Mapping[str, float]) -> bool:
        heard.append((number, step, scores["val_accuracy"]))
        return step == 2

    pool.listen(hear)
    (outcome,) = _all(pool, [7]).values()
    assert heard == [(7, 1, 0.07), (7, 2, 0.07)]
    assert outcome.evaluation is not None
    assert outcome.evaluation.scores["steps"] == 2


def test_nothing_is_heard_of_what_was_ended(pool: Pool) -> None:
    pool.submit(Task(1, ARCHITECTURE, Budget(), 1))
    pool.end(1)
    assert set(_all(pool, [2])) == {2}


def test_where_there_is_one_place_another_number_of_workers_is_refused() -> None:
    pool = InThisProcess(Counting(), "val_accuracy")
    with pytest.raises(ConfigError, match="trials run in the process of the search, one at a time, but got 2"):
        pool.resize(2)


def test_more_processes_than_a_machine_can_run_are_refused() -> None:
    pool = WorkerPool(Counting(), 1, objective="val_accuracy")
    try:
        with pytest.raises(ConfigError, match=r"at most \d+ processes on this machine"):
            pool.resize(100_000)
        assert pool.free == 1
    finally:
        pool.close()


def test_simulated_workers_come_and_go() -> None:
    pool = SimulatedPool(Counting(), 1)
    pool.resize(3)
    for seed in (3, 5, 8):
        pool.submit(Task(seed, ARCHITECTURE, Budget(), seed))
    pool.resize(1)
    free = []
    for _ in range(3):
        pool.wait(None)
        free.append(pool.free)
    assert free == [0, 0, 1]
    assert pool.now() == 8.0


class Spinning:
    """Works until a file is there, and says how long that took."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __call__(self, architecture: Architecture, budget: Budget, seed: int) -> Evaluation:
        started = time.monotonic()
        report(1, {"val_accuracy": 0.0})
        while not self.file.exists():
            pass
        wall = time.monotonic() - started
        return Evaluation({"val_accuracy": wall}, seconds={"evaluation": wall, "train_steps": wall / 4})


def test_a_process_that_still_works_is_ended_with_the_pool(tmp_path: Path) -> None:
    others = {*multiprocessing.active_children()}
    pool = LeasedPool(FuturesExecutor(partial(ProcessPoolExecutor, 3)), Spinning(tmp_path / "never"))
    begun: list[int] = []

    def hear(number: int, step: int, scores: Mapping[str, float]) -> bool:
        begun.append(number)
        return False

    pool.listen(hear)
    pool.submit(Task(1, ARCHITECTURE, Budget(), 1))
    while not begun:
        assert not pool.wait(0.1)
    processes = {*multiprocessing.active_children()} - others
    assert len(processes) == 3, "two of them wait for something to do"
    pool.close()
    until = time.monotonic() + 20
    while None in (codes := [process.exitcode for process in processes]) and time.monotonic() < until:
        time.sleep(0.05)  # not by `join`: the thread of the pool waits for them too, and one of both hears nothing
    assert None not in codes
    assert -signal.SIGKILL in codes, "that of the one that works"


def _next(pool: Pool) -> Outcome:
    ended: Sequence[Outcome] = ()
    while not ended:
        ended = pool.wait(0.1)
    return ended[0]


def test_what_a_worker_was_stopped_for_is_no_time_of_its_evaluation(tmp_path: Path) -> None:
    pool, begun = WorkerPool(Spinning(tmp_path / "file"), 1), list[int]()

    def heard(number: int, step: int, scores: Mapping[str, float]) -> bool:
        begun.append(number)
        return False

    pool.listen(heard)
    try:
        pool.submit(Task(0, ARCHITECTURE, Budget(), 1))
        while not begun:
            pool.wait(0.1)
        started = time.monotonic()
        for _ in range(2):
            with pool.paused():
                time.sleep(0.2)
        stopped = time.monotonic() - started
        (tmp_path / "file").touch()
        outcome = _next(pool)
        pool.submit(Task(1, ARCHITECTURE, Budget(), 1))
        again = _next(pool)
    finally:
        pool.close()
    assert outcome.evaluation is not None
    seconds, wall = outcome.evaluation.seconds, outcome.evaluation.scores["val_accuracy"]
    assert 0.4 <= seconds["stopped"] <= stopped
    assert seconds["evaluation"] == pytest.approx(wall - seconds["stopped"])
    assert seconds["train_steps"] == pytest.approx(seconds["evaluation"] / 4)
    assert again.evaluation is not None
    assert "stopped" not in again.evaluation.seconds


@pytest.mark.slow
def test_workers_that_stay_are_spread_over_the_devices(tmp_path: Path) -> None:
    """Of two on each GPU one stays on each, also where the others are free first; a third one goes anywhere."""
    pool = WorkerPool(elsewhere.Waiting(tmp_path), 4, devices=("5", "6"))
    count, ended = 0, list[Outcome]()

    def begin() -> None:
        nonlocal count
        while pool.free:
            pool.submit(Task(count, ARCHITECTURE, Budget(), count))
            count += 1

    def end(*numbers: int) -> list[float]:
        for number in numbers:
            (tmp_path / f"end-{number}").touch()
        found: list[Outcome] = []
        while len(found) < len(numbers):
            found += pool.wait(0.1)
        ended.extend(found)
        return sorted(one.evaluation.scores["device"] for one in found if one.evaluation is not None)

    try:
        begin()
        assert count == 4
        pool.resize(2)
        assert end(0, 2) == [5, 5]
        begin()
        assert count == 4, "two run yet"
        assert end(1, 3) == [6, 6]
        begin()
        assert count == 6
        assert end(4, 5) == [5, 6]
        pool.resize(4)
        begin()
        assert end(6, 7, 8, 9) == [5, 5, 6, 6]
    finally:
        pool.close()
