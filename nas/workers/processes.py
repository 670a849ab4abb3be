"""Evaluations in processes of their own, so that one that is killed or crashes ends only its own trial."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from nas.errors import ConfigError, WorkerError
from nas.evaluation import Evaluator
from nas.run_folder import open_inside
from nas.training.tasks.registry import OBJECTIVE
from nas.workers.evaluating import Outcome, ReportListener, Task, evaluate
from nas.workers.keeper import Keeper
from nas.workers.process import SINGLE_THREAD, WorkerProcess, check_worker_count, killed_for_memory
from nas.workers.worker import PickledEvaluator, Ready, Report, WorkerEnvironment, check_not_starting

__all__ = ["SINGLE_THREAD", "Outcome", "ReportListener", "Task", "WorkerPool", "evaluate"]

_LOG = logging.getLogger(__name__)

# A process may die at its start once or twice because the machine is short of memory; then something is wrong.
_MAX_FAILED_STARTS = 3
# How often it is seen whether workers live.
_LOOK_SECONDS = 0.2
# What is kept of what workers print, and looked at now and then.
_LOG_BYTES = 16 * 2**20
_LOG_SECONDS = 1.0


@dataclass
class _Worker:
    process: WorkerProcess
    environment: WorkerEnvironment
    ready: bool = False
    task: Task | None = None
    attempts: int = 0
    """At its task, this one included."""
    began: float = field(default=float("inf"))
    """When it began its task; what time it stood still is added."""
    stopped: float = 0.0
    """Seconds of its task that it stood still."""


class WorkerPool:
    """Worker processes that evaluate one architecture at a time each; a dead one is replaced.

    An evaluation whose process is killed from outside is tried once again. What a process has started ends with it.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        count: int,
        *,
        objective: str = OBJECTIVE,
        log: Path | None = None,
        trial_seconds: float | None = None,
        devices: Sequence[str] = (),
        memory_mib: float | None = None,
    ) -> None:
        """Start `count` processes; does not wait for them.

        Args:
            evaluator: picklable; its `prepare()`, where it has one, is called once a process.
            count: number of processes.
            objective: name of the score, where the evaluator returns a number.
            log: file that takes what workers print; of what is more than 16 MiB the earlier part is left out.
            trial_seconds: an evaluation that takes longer is ended.
            devices: CUDA devices that the workers share, by the names of CUDA_VISIBLE_DEVICES; none leaves the
                choice to the evaluator.
            memory_mib: the most private memory of a process, where an evaluation that wants more runs out of memory.
                Memory of a GPU does not count.

        Raises:
            ConfigError: more processes than this machine can run. WorkerError: the evaluator cannot be sent to them, or
                this is one of them.
        """
        check_not_starting()
        check_worker_count(count)
        self._sent, self._objective = PickledEvaluator(evaluator), objective
        self._log, self._log_seen = log.absolute() if log else None, time.monotonic()
        self._trial_seconds = trial_seconds
        self._failed_starts = 0
        self._on_report: ReportListener = lambda number, step, scores: False
        self._description: Mapping[str, Any] | None = None
        self._killed = killed_for_memory()
        self._keeper = Keeper()
        self._workers: list[_Worker] = []
        self._count, self._devices = count, devices
        self._memory = None if memory_mib is None else int(memory_mib * 2**20)
        try:
            self._start_missing()
        except BaseException:
            self.close()
            raise

    def _start_missing(self) -> None:
        """Start as many processes as there are to be more, each for the device that has the fewest."""
        while len(self._workers) < self._count:
            load = Counter(worker.environment.device for worker in self._workers)
            device = min(self._devices, key=load.__getitem__, default=None)
            log = str(self._log) if self._log else None
            self._workers.append(self._start(WorkerEnvironment(log, device, self._memory)))

    def _start(self, environment: WorkerEnvironment) -> _Worker:
        return _Worker(WorkerProcess(self._sent, self._objective, environment, self._keeper), environment)

    @property
    def free(self) -> int:
        """Number of tasks that can begin at once: workers without one, but for those that are to end."""
        idle = sum(worker.task is None for worker in self._workers)
        return max(0, idle - max(0, len(self._workers) - self._count))

    def resize(self, workers: int) -> None:
        """Start more processes, or end some: those without a task now, others when they have done theirs.

        Raises:
            ConfigError: more than this machine can run.
        """
        check_worker_count(workers)
        self._count = workers
        self._end_superfluous()
        try:
            self._start_missing()
        except OSError as error:
            self._count = len(self._workers)
            raise ConfigError(f"workers: no more than {self._count} can be started here: {error}") from None

    def _end_superfluous(self) -> None:
        """End processes that are too many and have no task, so that the devices are left with about as many each."""
        while len(self._workers) > self._count:
            load = Counter(worker.environment.device for worker in self._workers)
            most = max(load.values())
            idle = [
                index
                for index, worker in enumerate(self._workers)
                if worker.task is None and load[worker.environment.device] == most
            ]
            if not idle:  # one will be
                return
            self._workers.pop(idle[-1]).process.end()

    def describe(self) -> Mapping[str, Any]:
        """Wait for the first worker and return what its evaluator's `prepare` returned.

        Raises:
            NasError: what `prepare` raised. WorkerError: the process died.
        """
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
        """Give a task to a free worker."""
        index = next(i for i, worker in enumerate(self._workers) if worker.task is None)
        self._give(index, task, attempts=1)

    def _give(self, index: int, task: Task, *, attempts: int) -> None:
        try:
            self._workers[index].process.connection.send(task)
        except OSError:  # it died while it had nothing to do
            self._replace(index)
            self._workers[index].process.connection.send(task)
        worker = self._workers[index]
        worker.task, worker.attempts, worker.stopped = task, attempts, 0.0
        if worker.ready:
            worker.began = time.monotonic()

    def running(self) -> Mapping[int, float]:
        """Return the seconds that evaluations take already, by the number of the trial."""
        now = time.monotonic()
        return {
            worker.task.number: now - worker.began for worker in self._workers if worker.task and worker.began <= now
        }

    def end(self, number: int) -> None:
        """End an evaluation; no outcome of it comes."""
        for index, worker in enumerate(self._workers):
            if worker.task is not None and worker.task.number == number:
                self._renew(index)

    def wait(self, timeout: float | None) -> list[Outcome]:
        """Wait for workers and return the evaluations that ended; may return none.

        Raises:
            NasError: a worker could not start its work.
        """
        until = time.monotonic() + (float("inf") if timeout is None else timeout)
        while True:
            self._shorten_log()
            self._end_superfluous()
            seconds = max(0.0, min(_LOOK_SECONDS, until - time.monotonic()))
            ready = set(wait([worker.process.connection for worker in self._workers], seconds))
            looks = [self._look(index, worker, ready) for index, worker in enumerate(self._workers)]
            outcomes = [outcome for outcome in looks if outcome is not None]
            if ready or outcomes or time.monotonic() >= until:
                return outcomes

    def _look(self, index: int, worker: _Worker, ready: Set[object]) -> Outcome | None:
        """See to one worker: what it says, whether it lives, whether it takes too long."""
        if worker.process.connection in ready:
            outcome = self._receive(index, worker)
            # One that reports all the time is late too.
            if outcome is not None or worker is not self._workers[index]:
                return outcome
        elif not worker.process.alive:
            return self._replace(index)
        if self._trial_seconds is not None and time.monotonic() - worker.began >= self._trial_seconds:
            assert worker.task is not None
            self._renew(index)
            return Outcome(worker.task.number, None, f"took longer than {self._trial_seconds:g} s")
        return None

    def _receive(self, index: int, worker: _Worker) -> Outcome | None:
        try:
            message = worker.process.connection.recv()
        except (EOFError, OSError):
            return self._replace(index)
        if isinstance(message, Ready):
            if message.error is not None:
                raise message.error
            worker.ready, self._failed_starts = True, 0
            self._description = message.description
            if worker.task is not None:
                worker.began = time.monotonic()
            return None
        if worker.task is None or message.number != worker.task.number:  # nobody waits for it
            return None
        if isinstance(message, Report):
            with suppress(OSError):  # where it died meanwhile, the next look at it tells
                worker.process.connection.send(self._on_report(message.number, message.step, message.scores))
            return None
        worker.task, worker.began = None, float("inf")
        assert isinstance(message, Outcome)
        return message.without_stops(worker.stopped)

    def _replace(self, index: int) -> Outcome | None:
        """Put a new process in the place of one that died, and give it the task of one that was killed.

        Raises:
            WorkerError: processes die before they can work.
        """
        worker = self._workers[index]
        reason = f"its worker process {worker.process.how_it_ended()}"
        outside = worker.process.ended_from_outside
        killed, self._killed = self._killed, killed_for_memory()
        memory = worker.process.killed and self._killed > killed
        if not worker.ready:
            self._failed_starts += 1
            if (self._description is None and not outside) or self._failed_starts >= _MAX_FAILED_STARTS:
                raise WorkerError(f"a worker process cannot start: {reason}{worker.process.last_words()}")
        self._renew(index)
        task = worker.task
        if task is None:
            return None
        if outside and not memory and worker.attempts == 1:
            _LOG.warning("trial %d is tried again: %s", task.number, reason)
            self._give(index, task, attempts=2)
            return None
        return Outcome(task.number, None, reason, out_of_memory=memory, killed=memory)

    def _renew(self, index: int) -> None:
        """Put a new process in the place of another, which ends at once."""
        worker = self._workers[index]
        worker.process.end()
        self._workers[index] = self._start(worker.environment)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop all workers meanwhile, with what they have started, so that they do not disturb a measurement.

        One that is only starting goes on, since it has not yet a group of its own.
        """
        stopped = [worker for worker in self._workers if worker.ready and worker.process.alive]
        started = time.monotonic()
        try:
            for worker in stopped:
                worker.process.signal(signal.SIGSTOP)
            yield
        finally:
            for worker in stopped:
                worker.process.signal(signal.SIGCONT)
            seconds = time.monotonic() - started
            for worker in self._workers:
                worker.began += seconds
            for worker in stopped:
                worker.stopped += seconds

    def _shorten_log(self) -> None:
        """Leave out the earlier part of what workers have printed, where that is too much."""
        now = time.monotonic()
        if self._log is None or now - self._log_seen < _LOG_SECONDS:
            return
        self._log_seen = now
        with suppress(OSError, ConfigError), os.fdopen(open_inside(self._log, os.O_RDWR), "r+b") as file:
            size = file.seek(0, os.SEEK_END)
            if size > _LOG_BYTES:
                file.seek(-_LOG_BYTES // 4, os.SEEK_END)
                kept = file.read()
                # Workers add to the end, wherever that is.
                file.truncate(0)
                file.seek(0)
                file.write(b"[%d bytes left out]\n" % (size - len(kept)) + kept)

    def close(self) -> None:
        """End all workers at once, also in the middle of a trial."""
        for worker in self._workers:
            worker.process.signal(signal.SIGKILL)
        for worker in self._workers:
            worker.process.end()
        self._workers = []
        self._keeper.close()
