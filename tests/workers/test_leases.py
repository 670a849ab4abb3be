"""Leases by the message: what becomes of tasks whose workers come, go, and answer late."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.errors import DataError, WorkerError
from nas.evaluation import Budget, Evaluation, Evaluator
from nas.workers.evaluating import Outcome, Task
from nas.workers.executors.executor import Alive, Began, Ended, Event, Job, Lost, Progress, Worker
from nas.workers.executors.leased_pool import LeasedPool

ARCHITECTURE = nas.load_space("reference/squeezenet1_1").decode({})
FIRST, SECOND = Worker("one", 1, "a"), Worker("two", 2, "b")
DATA = {"name": "some", "split_fingerprint": "f"}


class Scripted:
    """An executor whose messages a test says; time passes only where it waits."""

    name = "scripted"
    notes = ("a note",)

    def __init__(self, room: int = 2, *, can_end: bool = True) -> None:
        self.room, self.can_end = room, can_end
        self.jobs: list[Job] = []
        self.avoided: list[Worker | None] = []
        self.answers: list[tuple[str, bool]] = []
        self.cancelled: list[str] = []
        self.coming: deque[Event] = deque()
        self.closed = False

    def open(self, evaluator: Evaluator) -> None:
        pass

    def resize(self, workers: int) -> None:
        self.room = workers

    def start(self, job: Job, *, avoid: Worker | None = None) -> None:
        self.jobs.append(job)
        self.avoided.append(avoid)

    def receive(self, timeout: float) -> Sequence[Event]:
        if not self.coming:
            time.sleep(min(timeout, 0.01))
            return []
        events, self.coming = [*self.coming], deque()
        return events

    def answer(self, lease: str, end: bool) -> None:
        self.answers.append((lease, end))

    def cancel(self, lease: str) -> None:
        self.cancelled.append(lease)

    def close(self) -> None:
        self.closed = True

    def say(self, *events: Callable[[str], Event], job: int = -1) -> None:
        """Have a worker send messages about a job, by its place in `jobs`."""
        self.coming.extend(event(self.jobs[job].lease) for event in events)


def began(worker: Worker = FIRST, data: Mapping[str, Any] = DATA) -> Callable[[str], Event]:
    return lambda lease: Began(lease, worker, data)


def lost(reason: str = "it died", **named: bool) -> Callable[[str], Event]:
    return lambda lease: Lost(lease, reason, **named)


def ended(number: int, score: float = 1.0, **files: bytes) -> Callable[[str], Event]:
    outcome = Outcome(number, Evaluation({"val_accuracy": score}))
    return lambda lease: Ended(lease, outcome, files)


def progress(step: int) -> Callable[[str], Event]:
    return lambda lease: Progress(lease, step, {"val_accuracy": 0.5})


def _pool(executor: Scripted, **named: Any) -> LeasedPool:
    return LeasedPool(executor, lambda *given: 0.0, **named)


def _task(number: int = 7, **files: Any) -> Task:
    return Task(number, ARCHITECTURE, Budget(epochs=3, **files), seed=5)


def test_a_job_names_no_file_of_the_driver(tmp_path: Path) -> None:
    executor = Scripted()
    (tmp_path / "1.ckpt").write_bytes(b"state")
    (tmp_path / "parent").write_bytes(b"weights")
    names = {"checkpoint": "1.ckpt", "inherit": "parent", "weights": "weights", "int8": "int8"}
    task = _task(7, **{name: str(tmp_path / file) for name, file in names.items()})
    _pool(executor).submit(task)
    (job,) = executor.jobs
    assert job.task == replace(task, budget=Budget(epochs=3))
    assert job.files == {"checkpoint": b"state", "inherit": b"weights"}
    assert set(job.wanted) == {"checkpoint", "weights", "int8"}


def test_what_comes_back_is_where_the_budget_says(tmp_path: Path) -> None:
    executor, state = Scripted(), tmp_path / "1.ckpt"
    (tmp_path / "int8").mkdir()
    pool = _pool(executor)
    weights = str(tmp_path / "weights" / "w")
    pool.submit(_task(checkpoint=str(state), weights=weights, int8=str(tmp_path / "int8")))
    executor.say(began(), lambda lease: Alive(lease, b"half"))
    assert pool.wait(0) == []
    assert state.read_bytes() == b"half"
    executor.say(ended(7, checkpoint=b"whole", weights=b"w", int8=b"8"))
    assert [outcome.number for outcome in pool.wait(0)] == [7]
    assert state.read_bytes() == b"whole"
    assert Path(weights).read_bytes() == b"w"
    assert (tmp_path / "int8" / f"{ARCHITECTURE.arch_id}.onnx").read_bytes() == b"8"


def test_a_lost_task_is_given_away_once_more_elsewhere_with_its_state(tmp_path: Path) -> None:
    executor, state = Scripted(), tmp_path / "1.ckpt"
    pool = _pool(executor)
    pool.submit(_task(checkpoint=str(state)))
    executor.say(began(FIRST), lambda lease: Alive(lease, b"half"), lost("it died"))
    assert pool.wait(0) == []
    assert executor.jobs[1].files == {"checkpoint": b"half"}
    assert executor.jobs[1].lease != executor.jobs[0].lease
    assert executor.avoided == [None, FIRST]
    executor.say(began(SECOND), lost("it was taken away"))
    (outcome,) = pool.wait(0)
    assert outcome == Outcome(
        7, None, "its worker was lost 2 times: process 1 on one: it died; process 2 on two: it was taken away"
    )
    assert len(executor.jobs) == 2


def test_silence_ends_a_lease_and_signs_of_life_renew_it() -> None:
    executor = Scripted()
    pool = _pool(executor, lease_seconds=0.3)
    pool.submit(_task())
    executor.say(began())
    pool.wait(0)
    for _ in range(6):
        executor.say(Alive)
        pool.wait(0)
        time.sleep(0.01)
        pool.wait(0.1)
    assert len(executor.jobs) == 1
    until = time.monotonic() + 30
    while len(executor.jobs) == 1 and time.monotonic() < until:
        pool.wait(0.05)
    assert len(executor.jobs) == 2
    assert executor.cancelled == [executor.jobs[0].lease]


def test_a_driver_that_does_not_listen_counts_no_silence() -> None:
    executor = Scripted()
    pool = _pool(executor, lease_seconds=0.3)
    pool.submit(_task())
    executor.say(began())
    pool.wait(0)
    with pool.paused():
        time.sleep(0.5)
    pool.wait(0)
    assert len(executor.jobs) == 1


def test_a_late_answer_is_dropped_and_its_worker_told_to_end(caplog: pytest.LogCaptureFixture) -> None:
    executor, heard = Scripted(), list[int]()
    pool = _pool(executor)

    def hear(number: int, step: int, scores: Mapping[str, float]) -> bool:
        heard.append(step)
        return False

    pool.listen(hear)
    pool.submit(_task())
    executor.say(began(FIRST), progress(1), lost())
    pool.wait(0)
    executor.say(progress(2), ended(7, 0.1), job=0)
    assert pool.wait(0) == []
    executor.say(began(SECOND), progress(2), ended(7, 0.9))
    (outcome,) = pool.wait(0)
    assert outcome.evaluation is not None
    assert outcome.evaluation.scores == {"val_accuracy": 0.9}
    first, second = executor.jobs
    assert executor.answers == [(first.lease, False), (first.lease, True), (second.lease, False)]
    assert heard == [1, 2]
    assert "trial 7: a late answer of process 1 on one is dropped" in caplog.text


def test_nothing_that_begins_is_an_error_and_not_an_endless_search() -> None:
    executor = Scripted()
    pool = _pool(executor)
    pool.submit(_task())
    for _ in range(2):
        executor.say(lost("no such module"))
        assert pool.wait(0) == []
    executor.say(lost("no such module"))
    with pytest.raises(WorkerError, match=r"no worker of executor=scripted can start: no such module"):
        pool.wait(0)


def test_what_goes_down_with_another_is_no_attempt_of_its_own() -> None:
    executor = Scripted()
    pool = _pool(executor)
    pool.submit(_task())
    for _ in range(5):
        executor.say(began(), lost("the pool broke", own_fault=False))
        assert pool.wait(0) == []
    executor.say(began(), lost("the pool broke", own_fault=False))
    assert pool.wait(0) == [], "the sixth time counts as its first attempt"
    executor.say(began(), lost("the pool broke", own_fault=False))
    (outcome,) = pool.wait(0)
    assert outcome.reason.startswith("its worker was lost 2 times")


def test_a_task_whose_place_is_taken_away_goes_on_as_long_as_it_comes_further(tmp_path: Path) -> None:
    executor = Scripted()
    pool = _pool(executor)
    pool.submit(_task(checkpoint=str(tmp_path / "1.ckpt")))
    states = [*(b"%d" % step for step in range(12)), *5 * [b"11"], b"12", b"12"]  # one that is sent again is no step
    for state in states:
        executor.say(began(), lambda lease, state=state: Alive(lease, state), lost("preempted", own_fault=False))  # type: ignore[misc]
        assert pool.wait(0) == []
    executor.say(began(), lambda lease: Alive(lease, b"12"), lost("preempted", own_fault=False))
    (outcome,) = pool.wait(0)
    assert outcome.reason.startswith("its worker was lost 2 times")


def test_memory_that_ran_out_is_told_at_once() -> None:
    executor = Scripted()
    pool = _pool(executor)
    pool.submit(_task())
    executor.say(began(), lost("killed by the system", out_of_memory=True))
    (outcome,) = pool.wait(0)
    assert (outcome.out_of_memory, outcome.killed, outcome.evaluation) == (True, True, None)
    assert len(executor.jobs) == 1


def test_the_first_worker_describes_the_data_also_where_its_end_overtakes_that() -> None:
    executor = Scripted()
    pool = _pool(executor)
    executor.coming.append(Ended(""))  # of nobody
    pool.wait(0)

    def start(job: Job, *, avoid: Worker | None = None) -> None:
        assert job.task is None
        executor.coming.append(Ended(job.lease, began=Began(job.lease, FIRST, DATA)))

    executor.start = start  # type: ignore[method-assign]
    assert pool.describe() == DATA
    assert pool.free == 2


def test_an_evaluator_that_nobody_can_prepare_ends_the_search() -> None:
    executor = Scripted()
    pool = _pool(executor)
    pool.submit(_task())
    executor.say(lambda lease: Ended(lease, error=DataError("no files")))
    with pytest.raises(DataError, match="no files"):
        pool.wait(0)


@pytest.mark.parametrize(
    "unfit",
    [began(SECOND, {**DATA, "split_fingerprint": "g"}), lambda lease: Ended(lease, error=DataError("no files"))],
)
def test_a_machine_with_other_data_gets_no_trial(
    unfit: Callable[[str], Event], caplog: pytest.LogCaptureFixture
) -> None:
    executor = Scripted()
    pool = _pool(executor)
    pool.submit(_task(1))
    pool.submit(_task(2))
    executor.say(began(FIRST), job=0)
    executor.say(unfit, job=1)
    assert pool.wait(0) == []
    assert executor.cancelled == [executor.jobs[1].lease]
    assert "trial 2 is given to another worker" in caplog.text
    executor.say(ended(2, 0.1), job=1)
    assert pool.wait(0) == [], "what it has found all the same is of other data"
    executor.say(began(FIRST), ended(2), job=2)
    assert [outcome.number for outcome in pool.wait(0)] == [2]


def test_another_number_of_workers_is_the_executors_business() -> None:
    executor = Scripted(room=1)
    pool = _pool(executor)
    pool.submit(_task(1))
    pool.resize(3)
    assert (executor.room, pool.free) == (3, 2)
    pool.submit(_task(2))
    pool.resize(1)
    assert pool.free == 0
    executor.say(began(), ended(1), job=0)
    assert [outcome.number for outcome in pool.wait(0)] == [1]
    assert pool.free == 0, "the other task still runs"


def test_room_follows_workers_that_join_and_leave() -> None:
    executor = Scripted(room=1)
    pool = _pool(executor)
    pool.submit(_task(1))
    assert pool.free == 0
    executor.room = 3
    assert pool.free == 2
    executor.room = 0
    assert pool.free == 0
    executor.say(began(), ended(1))
    pool.wait(0)
    assert pool.free == 1, "a task that waits makes a cluster grow"


@pytest.mark.parametrize("can_end", [True, False])
def test_a_trial_that_takes_too_long_fails(can_end: bool) -> None:
    executor = Scripted(can_end=can_end)
    pool = _pool(executor, trial_seconds=0.05)
    pool.submit(_task())
    executor.say(began())
    pool.wait(0)
    time.sleep(0.1)
    found = pool.wait(0)
    lease = executor.jobs[0].lease
    if can_end:
        assert executor.cancelled == [lease]
    else:
        assert found == []
        assert pool.running() == {}
        executor.say(progress(1), ended(7))
        found = pool.wait(0)
        assert executor.answers == [(lease, True)]
    assert found == [Outcome(7, None, "took longer than 0.05 s")]


def test_a_task_that_is_ended_or_left_at_the_end_is_taken_back() -> None:
    executor = Scripted()
    pool = _pool(executor)
    pool.submit(_task(1))
    pool.submit(_task(2))
    pool.end(1)
    assert executor.cancelled == [executor.jobs[0].lease]
    pool.close()
    assert executor.cancelled == [job.lease for job in executor.jobs]
    assert executor.closed


def test_what_a_worker_says_of_a_failure_is_in_the_log(tmp_path: Path) -> None:
    executor, log = Scripted(), tmp_path / "workers.log"
    pool = _pool(executor, log=log)
    pool.submit(_task())
    executor.say(began(), lambda lease: Ended(lease, Outcome(7, None, "no"), said="Traceback\n"))
    assert pool.wait(0) == [Outcome(7, None, "no")]
    assert log.read_text() == "Traceback\n"


def test_a_long_wait_for_a_worker_is_said_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.workers.executors.leased_pool._SAY_WAITING_SECONDS", 0.01)
    executor = Scripted()
    pool = _pool(executor)
    pool.submit(_task())
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            pool.wait(0.02)
    assert caplog.text.count("trial 7 has waited for a worker of executor=scripted") == 1
