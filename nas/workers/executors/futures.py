"""Executors of Python (`concurrent.futures`), and whatever else takes functions and gives futures of that kind."""

from __future__ import annotations

import multiprocessing
import queue
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from nas.errors import ConfigError, NasError, WorkerError, reason_of
from nas.evaluation import Evaluator
from nas.workers.executors.channel import LOOPBACK, Address, Channel, Connected, Hung
from nas.workers.executors.executor import Began, Ended, Event, Job, Lost, Worker
from nas.workers.executors.job import run_job
from nas.workers.keeper import Keeper, kill_group
from nas.workers.worker import PickledEvaluator, check_not_starting

_BREAKING_SECONDS = 0.5
"""After which it is known which jobs were lost when an executor broke."""


def run_connected(job: Job, sent: PickledEvaluator, address: Address) -> Ended:
    """What a worker is given to do: a job, in touch with the driver."""
    with Connected(address) as link:
        return run_job(job, sent, link)


@dataclass(frozen=True, slots=True)
class _Done:
    """A future has come to its end."""

    lease: str
    future: Future[Ended]


class FuturesExecutor:
    """Runs jobs by a `concurrent.futures.Executor`, which cannot end what runs: an evaluation ends at its next report.

    A process that dies breaks a `ProcessPoolExecutor`, with all that runs in it. Where it can be made anew, it is, and
    only the job of that process counts as lost.
    """

    can_end = False
    notes = ()

    def __init__(
        self,
        executor: Executor | Callable[[], Executor],
        *,
        workers: int | None = None,
        host: str = LOOPBACK,
    ) -> None:
        """Take an executor, which stays open, or a function that makes one, which is closed with the search.

        Args:
            executor: such as `ThreadPoolExecutor(4)`, or `functools.partial(ProcessPoolExecutor, 4)`, which is called
                again where what it made is broken.
            workers: jobs at a time; None is what the executor says.
            host: address of this machine by which workers reach it. Messages to it are not encrypted.

        Raises:
            ConfigError: it is nothing of that kind, or does not say how many jobs it runs at a time.
        """
        check_not_starting()
        self._make = None if isinstance(executor, Executor) else executor
        made = executor if isinstance(executor, Executor) else executor()
        if not isinstance(made, Executor):
            raise ConfigError(
                f"executor must be a concurrent.futures.Executor or a function that makes one, but got {made!r:.80}"
            )
        self._executor, self._host = made, host
        self.name = type(made).__name__
        self.room = workers or _room(made)
        self._messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._futures: dict[str, tuple[int, Future[Ended]]] = {}
        """Of the jobs that are not done, each with the executor that has it, counted by how often one was made."""
        self._made = 0
        self._workers: dict[str, Worker] = {}
        self._hung: dict[str, float] = {}
        """When connections ended of jobs that are not done."""

    def open(self, evaluator: Evaluator) -> None:
        """Listen for the messages of jobs.

        Raises:
            ConfigError: it would be evaluated in several threads of this process, which it does not bear, or this
                machine has no such address as `host`.
        """
        self._alone_in = type(evaluator).__name__ if getattr(evaluator, "own_process", False) else ""
        self._check_threads(self.room)
        self._sent = PickledEvaluator(evaluator)
        self._channel = Channel(self._messages, self._host)
        self._keeper, self._watched = Keeper(), set[int]()

    def _check_threads(self, workers: int) -> None:
        """Raise `ConfigError` where evaluations would run in several threads of this process that do not bear it."""
        if self._alone_in and isinstance(self._executor, ThreadPoolExecutor) and workers > 1:
            raise ConfigError(
                f"{self._alone_in} seeds the random numbers of its process, so that {workers} at once in "
                "its threads would disturb one another: take a ProcessPoolExecutor, or one thread"
            )

    def resize(self, workers: int) -> None:
        """Run another number of jobs at a time, as far as the executor does, whose own number is fixed.

        Raises:
            ConfigError: it runs fewer at a time.
        """
        most = _room_said(self._executor)
        if most is not None and workers > most:
            raise ConfigError(
                f"workers: {self.name} was made to run {most} trials at a time, but got {workers}; make one for more, "
                "and go on with resume"
            )
        self._check_threads(workers)
        self.room = workers

    def start(self, job: Job, *, avoid: Worker | None = None) -> None:
        """Give a job to the executor, which has no places to choose among."""
        try:
            future = self._submit(job)
        except (BrokenExecutor, RuntimeError) as error:  # broken, or shut down
            if self._make is None:
                raise WorkerError(
                    f"executor {self.name} takes no more jobs ({reason_of(error)}); give a function that makes one, "
                    "such as functools.partial(ProcessPoolExecutor, 4), and a broken one is made anew"
                ) from None
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor, self._made = self._make(), self._made + 1
            future = self._submit(job)
        self._futures[job.lease] = self._made, future
        future.add_done_callback(lambda done: self._messages.put(_Done(job.lease, done)))

    def _submit(self, job: Job) -> Future[Ended]:
        return self._executor.submit(run_connected, job, self._sent, self._channel.address)

    def receive(self, timeout: float) -> Sequence[Event]:
        """Return what came; see `Executor`."""
        try:
            messages = [self._messages.get(timeout=timeout)]
        except queue.Empty:
            return []
        messages += self._waiting()
        if any(isinstance(one, _Done) and _broken(one.future) for one in messages):
            time.sleep(_BREAKING_SECONDS)
            messages += self._waiting()
        for message in messages:
            if isinstance(message, Hung) and message.lease in self._futures:
                self._hung[message.lease] = message.at
        culprits = self._culprits()
        return [event for message in messages for event in self._event(message, culprits)]

    def _waiting(self) -> Iterator[Any]:
        with suppress(queue.Empty):
            while True:
                yield self._messages.get_nowait()

    def _culprits(self) -> set[str]:
        """Return the job of each broken executor whose process died first; the others were ended by the executor."""
        broken: dict[int, list[str]] = {}
        for lease, (made, future) in self._futures.items():
            if future.done() and _broken(future):
                broken.setdefault(made, []).append(lease)
        return {min(leases, key=lambda lease: self._hung.get(lease, float("inf"))) for leases in broken.values()}

    def _event(self, message: Any, culprits: set[str]) -> Iterator[Event]:
        if isinstance(message, _Done):
            self._futures.pop(message.lease, None)
            self._hung.pop(message.lease, None)
            yield from self._end(message, message.lease in culprits)
        elif not isinstance(message, Hung):
            if isinstance(message, Began):
                self._workers[message.lease] = message.worker
                self._watch(message.worker)
            yield message

    def _end(self, message: _Done, culprit: bool) -> Iterator[Event]:
        worker = self._workers.pop(message.lease, None)
        try:
            yield message.future.result()
        except CancelledError:
            return
        except NasError as error:  # it did not come to its work
            yield Ended(message.lease, error=error)
        except BaseException as error:  # whatever an executor makes of the end of a worker
            if worker is not None and worker.process in self._watched:
                self._watched.remove(worker.process)
                self._keeper.forget(worker.process)
            yield Lost(message.lease, reason_of(error), own_fault=culprit or not _broken(message.future))

    def _watch(self, worker: Worker) -> None:
        """Have a process that this one has started end with this one, also where that is killed."""
        if worker.host != socket.gethostname() or worker.process in self._watched:
            return
        if any(worker.process == child.pid for child in multiprocessing.active_children()):
            self._watched.add(worker.process)
            self._keeper.watch(worker.process)

    def answer(self, lease: str, end: bool) -> None:
        """Answer a report."""
        self._channel.answer(lease, end)

    def cancel(self, lease: str) -> None:
        """Take a job back that has not begun."""
        if lease in self._futures:
            self._futures[lease][1].cancel()

    def close(self) -> None:
        """Take back what has not begun, and leave the user's executor as it is; one that was made here is ended."""
        for _, future in [*self._futures.values()]:
            future.cancel()
        self._channel.close()
        if self._make is not None:
            _end_with_processes(self._executor)
        else:
            for process in self._watched:
                self._keeper.forget(process)
        self._keeper.close()  # which ends the processes of ours that still work


def _end_with_processes(executor: Executor) -> None:
    """End an executor and all its processes.

    One that is ended by itself may hold the lock of the queue that the others read their end from, which then wait for
    ever, and this process for them.
    """
    processes = [*(getattr(executor, "_processes", None) or {})]  # of Python's; `kill_workers` is there from 3.14 on
    executor.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        kill_group(process)


def _broken(future: Future[Ended]) -> bool:
    return not future.cancelled() and isinstance(future.exception(), BrokenExecutor)


def _room(executor: Executor) -> int:
    """Return how many jobs an executor runs at a time."""
    found = _room_said(executor)
    if found is None:
        raise ConfigError(f"how many trials does {type(executor).__name__} run at a time? Give workers=N")
    return found


def _room_said(executor: Executor) -> int | None:
    """Return the same; None where the executor does not say it."""
    found = getattr(executor, "_max_workers", None)  # of both executors of Python, which say it nowhere else
    return found if isinstance(found, int) and found >= 1 else None
