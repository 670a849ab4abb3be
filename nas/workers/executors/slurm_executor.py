"""Jobs by workers that Slurm starts: an array of jobs, each a worker that connects to the driver and asks for trials.

A job of Slurm is a place in a queue, which costs more than a short trial, so each does one trial after another until
its wall time does not allow another. The driver asks for as many as there is work for, and for others where some end.
"""

from __future__ import annotations

import logging
import pickle
import queue
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import spawn
from pathlib import Path
from typing import Any

from nas.errors import ConfigError, WorkerError, plain
from nas.evaluation import Evaluator
from nas.workers.executors import slurm_commands as slurm
from nas.workers.executors.channel import Channel, Hung, Outbox
from nas.workers.executors.executor import Began, Ended, Event, Job, Lost, Worker
from nas.workers.executors.job import CHECKPOINT
from nas.workers.executors.settings import SlurmSettings
from nas.workers.executors.slurm_batch import options, own_address, parts, script
from nas.workers.executors.slurm_messages import (
    Answer,
    Arrived,
    Do,
    Freed,
    Leave,
    Leaving,
    Meeting,
    Setup,
    Stop,
)
from nas.workers.executors.versions import versions_here
from nas.workers.worker import PickledEvaluator, check_not_starting

_LOG = logging.getLogger(__name__)

_FIRST_LOOK_SECONDS = 2.0
_LOOK_SECONDS = 30.0
"""How often the queue is looked at, for jobs that end before their worker has connected; more often at first."""
_PAUSE_SECONDS = 60.0
"""After which more jobs are asked for again, where Slurm was too busy or a worker could not start."""
_IDLE_SECONDS = 600.0
"""After which a worker without work gives its place back."""
_REMEMBERED = 50
"""Last trials, whose longest says what a trial takes."""
_USUAL_REASONS = ("None", "Priority", "Resources", "BeginTime", "Cleaning")
_OF_SCRIPT = ("name", "sys_path", "sys_argv", "init_main_from_name", "init_main_from_path", "start_method")


@dataclass
class _Worker:
    """A worker that has connected. Times are those of the driver's clock."""

    slurm_job: str
    worker: Worker
    outbox: Outbox
    until: float
    """When Slurm tells it to end."""
    whole: float
    """Seconds that it had until then when it came."""
    since: float
    """When it became free, or began its job."""
    lease: str | None = None
    describes: bool = False
    """Whether its job is only to describe the data, which is soon done."""
    trials: int = 0
    stopping: bool = False
    """Whether it was told to end its job, and has not said that it did."""
    leaving: bool = False


@dataclass(frozen=True, slots=True)
class _Listing:
    """What the queue held."""

    at: float
    jobs: Mapping[str, tuple[str, str]]


class SlurmExecutor:
    """Runs jobs by workers that are jobs of Slurm."""

    can_end = True
    name = "slurm"

    def __init__(
        self, settings: SlurmSettings, workers: int, folder: Path, *, look_seconds: float = _LOOK_SECONDS
    ) -> None:
        """Take settings, and how many workers there are to be.

        Args:
            settings: what Slurm is asked for.
            workers: jobs at a time.
            folder: for the logs of workers, and for the file by which they find this driver; the nodes see it.
            look_seconds: how often the queue is looked at.

        Raises:
            ConfigError: there is no Slurm here.
        """
        check_not_starting()
        slurm.check_installed()
        self._settings, self._look_seconds, self.room = settings, look_seconds, workers
        self._folder = folder.absolute()
        self._name = f"nas-{uuid.uuid4().hex[:12]}"
        self._messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._waiting: dict[str, tuple[Job, Worker | None]] = {}
        self._coming: dict[str, float] = {}
        """Jobs of Slurm whose worker has not connected, with when they were asked for."""
        self._came: set[str] = set()
        """Jobs of Slurm whose worker has connected, also those that are gone."""
        self._workers: dict[str, _Worker] = {}
        self._arrays: list[str] = []
        self._took: deque[float] = deque(maxlen=_REMEMBERED)
        """Seconds of the last trials."""
        self._most = sys.maxsize
        """Workers that there may be: for jobs that were given away before their number was lowered none is to come."""
        self._not_before = 0.0
        self._said: set[str] = set()
        self._closed = threading.Event()
        self._look_soon = threading.Event()

    @property
    def notes(self) -> Sequence[str]:
        """What a user is to know of it."""
        jobs = f"array job{'s' * (len(self._arrays) > 1)} {', '.join(self._arrays)}" if self._arrays else "no job yet"
        address = self._channel.address
        return (
            f"Slurm: {jobs} (up to {self.room} at a time), logs in {self._folder}; workers connect to "
            f"{address.host}:{address.port}",
        )

    def open(self, evaluator: Evaluator) -> None:
        """Listen for workers, and write the file by which they find this driver.

        Raises:
            ConfigError: the folder cannot be used, or this machine has no such address as `executor.host`.
        """
        settings = self._settings
        packed = PickledEvaluator(evaluator).__getstate__()
        main = spawn.get_preparation_data("nas-trials")
        self._setup = Setup(packed, {name: main[name] for name in _OF_SCRIPT if name in main})
        self._channel = Channel(self._messages, settings.host or own_address(), settings.lease_seconds)
        address = self._channel.address
        meeting = Meeting(
            address.host, address.port, address.key.hex(), settings.lease_seconds, settings.minutes, versions_here()
        )
        self._meeting = self._folder / f"{self._name}.json"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            meeting.write(self._meeting)
        except OSError as error:
            self._channel.close()
            raise ConfigError(f"executor.log_folder: {self._folder} cannot be used: {error}") from None
        threading.Thread(target=self._look, daemon=True, name="nas-squeue").start()

    def resize(self, workers: int) -> None:
        """Have another number of workers: more are asked for with their jobs, and what is too many leaves when free."""
        self.room = self._most = workers
        self._give()

    def start(self, job: Job, *, avoid: Worker | None = None) -> None:
        """Give a job to a worker that has none, or ask Slurm for one."""
        self._waiting[job.lease] = job, avoid
        self._give()
        self._ask_for_workers()

    # Jobs of Slurm

    def _ask_for_workers(self) -> None:
        """Have Slurm start as many workers as there is work for and none comes; all of them at the first time.

        Raises:
            WorkerError: Slurm refuses them, and no other worker is there.
        """
        free = sum(
            (worker.lease is None or worker.describes) and not worker.leaving for worker in self._workers.values()
        )
        missing = len(self._waiting) - free - len(self._coming) if self._arrays else self.room
        missing = min(missing, self._most - len(self._working()) - len(self._coming))
        if missing <= 0 or (self._arrays and time.monotonic() < self._not_before):
            return
        settings = self._settings
        for count in parts(missing):
            try:
                number = slurm.submit(
                    options(settings, self._name, self._folder, count), script(settings, self._meeting)
                )
            except WorkerError as error:
                self._not_before = time.monotonic() + _PAUSE_SECONDS
                if not self._arrays or not (isinstance(error, slurm.BusyError) or self._workers):
                    raise
                _LOG.warning("%s; more workers are asked for in %.0f s", error, _PAUSE_SECONDS)
                return
            if self._arrays:
                _LOG.warning("%d more of Slurm: array job %s", count, number)
            self._arrays.append(number)
            asked = {f"{number}_{index}": time.monotonic() for index in range(count)}
            self._coming |= {job: at for job, at in asked.items() if job not in self._came}
        self._look_soon.set()

    def _look(self) -> None:
        """Look at the queue now and then, in a thread of its own."""
        seconds = _FIRST_LOOK_SECONDS
        while not self._closed.is_set():
            if self._look_soon.wait(min(seconds, self._look_seconds)):
                self._look_soon.clear()
                seconds = _FIRST_LOOK_SECONDS
                self._closed.wait(min(seconds, self._look_seconds))
            seconds *= 1.5
            began = time.monotonic()
            with suppress(slurm.BusyError):  # nothing is known
                self._messages.put(_Listing(began, slurm.listed(self._name)))

    def _listed(self, listing: _Listing) -> Iterator[Event]:
        """See to jobs of Slurm that have ended before their worker has connected, and say why others wait."""
        for name in listing.jobs.keys() - self._came:
            self._coming.setdefault(name, listing.at)  # sbatch did not come to saying it
        missing = [name for name, asked in self._coming.items() if asked < listing.at and name not in listing.jobs]
        for place, name in enumerate(missing):
            del self._coming[name]
            if place == 0:
                yield from self._never_came(name, len(missing) - 1)
        for state, reason in {*listing.jobs.values()}:
            if state == "PENDING" and reason not in (*_USUAL_REASONS, *self._said):
                self._said.add(reason)
                _LOG.warning("jobs of this search wait in Slurm's queue for the reason %s", plain(reason))

    def _never_came(self, name: str, others: int) -> Iterator[Event]:
        how = slurm.ending(name)
        log = self._folder / f"{name}.log"
        reason = f"Slurm job {name} ended before its worker was ready{f' ({how})' if how else ''}{_last_line(log)}"
        self._not_before = time.monotonic() + _PAUSE_SECONDS
        if self._workers:
            more = f", and {others} more" if others else ""
            _LOG.warning("%s%s; the others go on", reason, more)
        elif self._waiting:
            lease = next(iter(self._waiting))
            del self._waiting[lease]
            self._not_before = 0.0
            yield Lost(lease, reason)

    # Workers

    def receive(self, timeout: float) -> Sequence[Event]:
        """Return what came; see `Executor`."""
        messages = []
        with suppress(queue.Empty):
            messages.append(self._messages.get(timeout=timeout))
            while True:
                messages.append(self._messages.get_nowait())
        events = [event for message in messages for event in self._event(message)]
        self._give()
        if self._waiting:
            self._ask_for_workers()
        return events

    def _event(self, message: Any) -> Iterator[Event]:
        if isinstance(message, _Listing):
            yield from self._listed(message)
        elif isinstance(message, Arrived):
            self._arrived(message)
        elif isinstance(message, Freed):
            self._freed(message)
        elif isinstance(message, Leaving | Hung):
            yield from self._left(message)
        else:
            for worker in self._workers.values():
                if worker.lease == message.lease:
                    self._note(worker, message)
            yield message

    def _note(self, worker: _Worker, message: Event) -> None:
        """Note what a message of its job says of a worker."""
        if isinstance(message, Began):
            worker.since = time.monotonic()
        elif isinstance(message, Ended | Lost) and not worker.stopping:
            now = time.monotonic()
            if isinstance(message, Ended) and message.outcome is not None:
                self._took.append(now - worker.since)
                worker.trials += 1
            worker.lease, worker.since = None, now

    def _arrived(self, message: Arrived) -> None:
        now = time.monotonic()
        whole = float("inf") if message.seconds is None else message.seconds - self._settings.signal_seconds
        outbox = Outbox(self._channel, message.lease)
        outbox.put(self._setup)
        self._workers[message.lease] = _Worker(message.slurm_job, message.worker, outbox, now + whole, whole, now)
        self._coming.pop(message.slurm_job, None)
        self._came.add(message.slurm_job)

    def _freed(self, message: Freed) -> None:
        if (worker := self._workers.get(message.lease)) is not None:
            worker.lease, worker.stopping, worker.since = None, False, time.monotonic()

    def _left(self, message: Leaving | Hung) -> Iterator[Event]:
        """See to a worker that is gone: that Slurm has ended it is not the fault of its trial."""
        worker = self._workers.pop(message.lease, None)
        if worker is None:
            return
        worker.outbox.close()
        if worker.lease is None or worker.stopping:
            return
        told = isinstance(message, Leaving)
        reason = message.reason if isinstance(message, Leaving) else f"Slurm job {worker.slurm_job} is gone"
        yield Lost(worker.lease, reason, own_fault=not told)

    def _working(self) -> list[_Worker]:
        """Return the workers that do jobs, or can."""
        return [worker for worker in self._workers.values() if not (worker.leaving or worker.stopping)]

    def _give(self) -> None:
        """Give the jobs that wait to workers that have none, the longest time left first.

        One whose time does not suffice for as long as the longest of the last trials took makes room for another,
        unless no worker has so much: then trials go on from their states in the next.
        """
        now, longest = time.monotonic(), max(self._took, default=0.0)
        free = sorted((one for one in self._working() if one.lease is None), key=lambda one: one.until)
        too_many = len(self._working()) - self._most
        for place, worker in enumerate(free):
            late = worker.until - now < longest and (worker.trials or worker.whole >= longest)
            if late or place < too_many or (not self._waiting and now - worker.since > _IDLE_SECONDS):
                worker.leaving = True
                worker.outbox.put(Leave())
        free = sorted((one for one in free if not one.leaving), key=lambda one: -one.until)
        for lease, (job, avoid) in [*self._waiting.items()]:
            if not free:
                return
            worker = min(free, key=lambda one: avoid is not None and one.worker.host == avoid.host)
            free.remove(worker)
            del self._waiting[lease]
            worker.lease, worker.describes, worker.since = lease, job.task is None, now
            worker.outbox.put(Do(lease, pickle.dumps(job), CHECKPOINT in job.wanted))

    def answer(self, lease: str, end: bool) -> None:
        """Answer a report."""
        for worker in self._workers.values():
            if worker.lease == lease:
                worker.outbox.put(Answer(lease, end))

    def cancel(self, lease: str) -> None:
        """Take a job back, or have its worker end it, which stays for others."""
        self._waiting.pop(lease, None)
        for worker in self._workers.values():
            if worker.lease == lease:
                worker.stopping = True
                worker.outbox.put(Stop(lease))

    def close(self) -> None:
        """End the workers, and cancel what is in the queue; workers also end by the end of their connection."""
        self._closed.set()
        self._look_soon.set()
        self._channel.close()
        for worker in self._workers.values():
            worker.outbox.close()
        self._meeting.unlink(missing_ok=True)
        if self._arrays and (trouble := slurm.cancel(self._arrays)):
            _LOG.warning("jobs may be left in Slurm's queue (scancel: %s): scancel %s", trouble, " ".join(self._arrays))
        with suppress(OSError):
            for log in self._folder.glob("*.log"):
                if not log.stat().st_size:
                    log.unlink()
            self._folder.rmdir()  # where nothing is left in it


def _last_line(log: Path) -> str:
    """Return what a worker has said last, and where the rest is; srun then only adds that it has ended."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return f"; it left no log at {log}, whose folder the nodes must see (executor.log_folder)"
    lines = [line for line in lines if not line.startswith("srun: ")] or lines
    return f"; {log}: {plain(lines[-1])}" if lines else f"; its log {log} is empty"
