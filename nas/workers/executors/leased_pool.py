"""A pool over any executor: tasks are leased to workers that may come, go and be lost."""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nas.errors import WorkerError, plain
from nas.evaluation import Evaluator
from nas.run_folder import open_inside, read_inside, write_bytes
from nas.training.tasks.registry import OBJECTIVE
from nas.workers.evaluating import Outcome, ReportListener, Task
from nas.workers.executors.executor import Alive, Began, Ended, Event, Executor, Job, Lost, Progress, Worker
from nas.workers.executors.job import BROUGHT, CHECKPOINT, LEFT, carried
from nas.workers.executors.versions import versions_here

_LOG = logging.getLogger(__name__)

LEASE_SECONDS = 60.0
"""After which a worker that gave no sign of life has lost its task."""
_BEATS = 12
"""Signs of life that a worker gives in that time."""
_ATTEMPTS = 2
"""Leases of a task that began, before it fails."""
_MAX_FAILED_STARTS = 3
"""Leases in a row that were lost before they began; then something is wrong."""
_MAX_DRAGGED = 5
"""Leases of a task that went down with others, or with their machine as was announced, and had come no further; more
count as attempts of its own."""
_LOOK_SECONDS = 0.2
_SAY_WAITING_SECONDS = 60.0
_FINGERPRINT = "split_fingerprint"


@dataclass
class _Lease:
    """One attempt at a task by a worker. All times are those of the driver's clock."""

    id: str
    task: Task | None
    """None where only the data are described."""
    given: float
    renewed: float
    attempt: int = 1
    history: tuple[str, ...] = ()
    """How earlier attempts were lost."""
    dragged: int = 0
    """Times that it was lost by no fault of its own, and had come no further."""
    moved: bool = False
    """Whether a state of its training came back that is another than it began with."""
    worker: Worker | None = None
    """None until it has begun."""
    began: float = field(default=float("inf"))
    overdue: bool = False
    """Whether it has taken longer than it may, and ends where it next reports."""
    waiting_said: bool = False

    @property
    def what(self) -> str:
        """Return what it is, for messages."""
        return "the description of the data" if self.task is None else f"trial {self.task.number}"


class LeasedPool:
    """Evaluates by an executor. A lost task is leased once more, elsewhere where there is such a place, and then fails.

    The files of its budget stay with the driver: it sends what a task begins with, and writes what comes back.
    """

    preemptible = True

    def __init__(
        self,
        executor: Executor,
        evaluator: Evaluator,
        *,
        objective: str = OBJECTIVE,
        log: Path | None = None,
        trial_seconds: float | None = None,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        """Open an executor, which ends with the pool.

        Args:
            executor: carries jobs to workers.
            evaluator: what they evaluate with.
            objective: name of the score, where the evaluator returns a number.
            log: file that takes what workers have to say of failures.
            trial_seconds: an evaluation that takes longer fails; where it cannot be ended from outside, at its next
                report.
            lease_seconds: a worker that gives no sign of life for so long has lost its task.

        Raises:
            WorkerError: nothing can be started.
        """
        self._executor, self._objective = executor, objective
        self._log = log.absolute() if log is not None else None
        self._trial_seconds, self._lease_seconds = trial_seconds, lease_seconds
        self._on_report: ReportListener = lambda number, step, scores: False
        self._leases: dict[str, _Lease] = {}
        self._given_up: dict[str, _Lease] = {}
        """Leases that are over for the pool; whatever comes from their workers is late."""
        self._description: Mapping[str, Any] | None = None
        self._failed_starts = 0
        self._listened = time.monotonic()
        executor.open(evaluator)

    @property
    def free(self) -> int:
        """Number of tasks that can be given away now; one at least where none is, since workers may yet come."""
        tasks = sum(lease.task is not None for lease in self._leases.values())
        return max(self._executor.room - tasks, 0 if tasks else 1)

    def resize(self, workers: int) -> None:
        """Have the executor run another number of tasks at a time.

        Raises:
            ConfigError: it cannot.
        """
        self._executor.resize(workers)

    @property
    def notes(self) -> Sequence[str]:
        """What a user is to know of where its tasks run, a line each."""
        return self._executor.notes

    def describe(self) -> Mapping[str, Any]:
        """Wait for a worker and return what its evaluator says of its data.

        Raises:
            NasError: what its `prepare` raised. WorkerError: no worker can start.
        """
        if self._description is None:
            self._lease(_Lease(_new_id(), None, time.monotonic(), time.monotonic()))
        while self._description is None:
            self.wait(None)
        return self._description

    def listen(self, listener: ReportListener) -> None:
        """Have `listener` called with how evaluations go; it is called inside `wait`."""
        self._on_report = listener

    def now(self) -> float:
        """Seconds, from any point."""
        return time.monotonic()

    def submit(self, task: Task) -> None:
        """Lease a task to a worker."""
        self._lease(_Lease(_new_id(), task, time.monotonic(), time.monotonic()))

    def _lease(self, lease: _Lease, avoid: Worker | None = None) -> None:
        self._leases[lease.id] = lease
        job = Job(lease.id, None, beat_seconds=self._lease_seconds / _BEATS, versions=versions_here())
        if (task := lease.task) is not None:
            budget = task.budget
            job = replace(
                job,
                task=replace(task, budget=carried(budget)),
                objective=self._objective,
                files=_brought(task),
                wanted=tuple(name for name in LEFT if getattr(budget, name) is not None),
            )
        self._executor.start(job, avoid=avoid)

    def running(self) -> Mapping[int, float]:
        """Return the seconds that evaluations take already, by number, as far as they can be ended on the way."""
        if not self._executor.can_end:
            return {}
        now = time.monotonic()
        return {
            lease.task.number: now - lease.began
            for lease in self._leases.values()
            if lease.task is not None and lease.worker is not None
        }

    def end(self, number: int) -> None:
        """End an evaluation; no outcome of it comes."""
        for lease in [*self._leases.values()]:
            if lease.task is not None and lease.task.number == number:
                self._give_up(lease)

    def _give_up(self, lease: _Lease) -> None:
        self._given_up[lease.id] = self._leases.pop(lease.id)
        self._executor.cancel(lease.id)

    def wait(self, timeout: float | None) -> list[Outcome]:
        """Wait for workers and return the evaluations that ended; may return none.

        Raises:
            NasError: no worker can prepare the evaluator. WorkerError: no worker can start.
        """
        until = time.monotonic() + (float("inf") if timeout is None else timeout)
        while True:
            absent = time.monotonic() - self._listened
            for lease in self._leases.values():
                lease.renewed += absent  # nobody listened meanwhile, so that silence says nothing
            seconds = max(0.0, min(_LOOK_SECONDS, until - time.monotonic()))
            events = self._executor.receive(seconds)
            outcomes = [outcome for event in events for outcome in self._heard(event)]
            outcomes += self._overdue()
            self._listened = time.monotonic()
            if events or outcomes or self._listened >= until:
                return outcomes

    def _heard(self, event: Event) -> Iterator[Outcome]:
        """See to one message, and yield the outcome of its task, where it ends that."""
        lease = self._leases.get(event.lease)
        if lease is None:
            self._late(event)
            return
        lease.renewed = time.monotonic()
        if isinstance(event, Lost):
            yield from self._lost(lease, event)
        elif isinstance(event, Began):
            self._began(lease, event)
        elif isinstance(event, Progress):
            task = lease.task
            assert task is not None
            end = lease.overdue or self._on_report(task.number, event.step, event.scores)
            self._executor.answer(lease.id, end)
        elif isinstance(event, Alive):
            if event.checkpoint is not None and lease.task is not None:
                lease.moved |= _brought(lease.task).get(CHECKPOINT) != event.checkpoint
                _keep(lease.task, {CHECKPOINT: event.checkpoint})
        elif event.error is not None:
            self._unfit(lease, event.error)
        else:
            yield from self._ended(lease, event)

    def _late(self, event: Event) -> None:
        """See to what comes from a worker that has lost its task: it is to end, and its answer is dropped."""
        if isinstance(event, Progress):
            self._executor.answer(event.lease, True)
        lease = self._given_up.get(event.lease)
        if isinstance(event, Ended | Lost):
            self._given_up.pop(event.lease, None)
        if isinstance(event, Ended) and lease is not None:
            _LOG.warning("%s: a late answer of %s is dropped: it had been given up", lease.what, lease.worker)

    def _began(self, lease: _Lease, event: Began) -> None:
        known, found = self._description, event.description
        if known is not None and known.get(_FINGERPRINT) != found.get(_FINGERPRINT):
            self._unfit(
                lease,
                WorkerError(
                    f"the data of {event.worker} are others than those of the first worker: their fingerprint is "
                    f"{found.get(_FINGERPRINT)}, not {known.get(_FINGERPRINT)}"
                ),
            )
            return
        self._description = known if known is not None else found
        lease.worker, lease.began, self._failed_starts = event.worker, time.monotonic(), 0

    def _ended(self, lease: _Lease, event: Ended) -> Iterator[Outcome]:
        if lease.worker is None and event.began is not None:
            self._began(lease, event.began)
        # One that was found unfit has lost its task meanwhile.
        if self._leases.pop(lease.id, None) is None or lease.task is None or event.outcome is None:
            return
        self._say(event.said)
        if lease.overdue:
            yield Outcome(lease.task.number, None, self._too_long())
            return
        _keep(lease.task, event.files)
        yield event.outcome

    def _unfit(self, lease: _Lease, error: Exception) -> None:
        """Try elsewhere where a worker cannot prepare its evaluator, unless no other could so far.

        Raises:
            NasError: the error.
        """
        self._failed_starts += 1
        if self._description is None or self._failed_starts >= _MAX_FAILED_STARTS:
            raise error
        _LOG.warning("%s is given to another worker: %s", lease.what, error)
        self._give_up(lease)
        self._again(lease, "", attempt=lease.attempt)

    def _lost(self, lease: _Lease, event: Lost) -> Iterator[Outcome]:
        """Lease a lost task again, or yield its failure.

        Raises:
            WorkerError: nothing that was given away lately has begun.
        """
        self._given_up[lease.id] = self._leases.pop(lease.id)
        reason = event.reason if lease.worker is None else f"{lease.worker}: {event.reason}"
        if event.out_of_memory and lease.task is not None:
            yield Outcome(lease.task.number, None, reason, out_of_memory=True, killed=True)
            return
        if not event.own_fault and (lease.moved or lease.dragged < _MAX_DRAGGED):
            lease.dragged += not lease.moved
            self._again(lease, reason, attempt=lease.attempt)
        elif lease.worker is None:
            self._failed_starts += 1
            if self._failed_starts >= _MAX_FAILED_STARTS:
                raise WorkerError(f"no worker of executor={self._executor.name} can start: {reason}")
            self._again(lease, reason, attempt=lease.attempt)
        elif lease.attempt < _ATTEMPTS:
            self._again(lease, reason, attempt=lease.attempt + 1)
        elif lease.task is not None:
            history = "; ".join((*lease.history, reason))
            yield Outcome(lease.task.number, None, plain(f"its worker was lost {lease.attempt} times: {history}"))

    def _again(self, lease: _Lease, reason: str, *, attempt: int) -> None:
        """Lease the task of a lease that is over anew; it goes on from the last state that came back."""
        if reason:
            _LOG.warning("%s is run again: %s", lease.what, reason)
        history = (*lease.history, reason) if attempt > lease.attempt else lease.history
        now = time.monotonic()
        again = _Lease(_new_id(), lease.task, now, now, attempt, history, lease.dragged)
        self._lease(again, avoid=lease.worker)

    def _overdue(self) -> list[Outcome]:
        """See to leases that were not renewed, and to evaluations that take too long."""
        now, outcomes = time.monotonic(), list[Outcome]()
        for lease in [*self._leases.values()]:
            if lease.worker is None:
                self._say_waiting(lease, now)
                continue
            if now - lease.renewed > self._lease_seconds:
                self._executor.cancel(lease.id)
                reason = f"no sign of life for {self._lease_seconds:g} s"
                outcomes += self._lost(lease, Lost(lease.id, reason))
            elif lease.task is not None and self._trial_seconds is not None:
                if now - lease.began < self._trial_seconds:
                    continue
                if self._executor.can_end:
                    self._give_up(lease)
                    outcomes.append(Outcome(lease.task.number, None, self._too_long()))
                lease.overdue = True
        return outcomes

    def _too_long(self) -> str:
        return f"took longer than {self._trial_seconds:g} s"

    def _say_waiting(self, lease: _Lease, now: float) -> None:
        if not lease.waiting_said and now - lease.given > _SAY_WAITING_SECONDS:
            lease.waiting_said = True
            _LOG.warning(
                "%s has waited for a worker of executor=%s for %.0f s: are there as many free cores and GPUs as it "
                "asks for?",
                lease.what,
                self._executor.name,
                now - lease.given,
            )

    def _say(self, text: str) -> None:
        if not text or self._log is None:
            return
        with suppress(OSError), os.fdopen(open_inside(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "wb") as file:
            file.write(text.encode(errors="backslashreplace"))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do nothing else meanwhile in the driver; workers go on, most of them elsewhere."""
        yield

    def close(self) -> None:
        """Give everything up that runs, and close the executor."""
        for lease in [*self._leases.values()]:
            self._give_up(lease)
        self._executor.close()


def _new_id() -> str:
    return uuid.uuid4().hex


def _brought(task: Task) -> dict[str, bytes]:
    """Return the files that a task begins with, as far as they are there."""
    files = {}
    for name in BROUGHT:
        if (path := getattr(task.budget, name)) is not None:
            with suppress(FileNotFoundError):
                files[name] = read_inside(Path(path))
    return files


def _keep(task: Task, files: Mapping[str, bytes]) -> None:
    """Write what came back where the budget of a task says, each whole or not at all."""
    for name, data in files.items():
        path = Path(getattr(task.budget, name))
        if name == "int8":
            path /= f"{task.architecture.arch_id}.onnx"
        path.parent.mkdir(exist_ok=True)
        write_bytes(path, data)
