"""The contract for places that share nothing with the driver: other processes, other machines.

An executor carries jobs there and messages back, and that is all. What is to become of them, `LeasedPool` decides for
every executor alike: a job is leased to a worker; whatever comes from it renews the lease; one that is lost is leased
again. So an executor may be slow, and may lose jobs and workers, but it never runs a job again by itself.

The worker's side of all executors is `run_job`. It says `Began`, then `Progress` for each report, for whose answer it
waits, and `Alive` now and then, and returns `Ended`. The files of a trial travel in the messages, so that a worker
needs neither a disk nor a path of the driver's.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from nas.errors import NasError
from nas.evaluation import Evaluator
from nas.workers.evaluating import Outcome, Task


@dataclass(frozen=True, slots=True)
class Job:
    """One evaluation for a worker anywhere, complete with the files that it begins with."""

    lease: str
    """Names this one attempt at a task, unlike the number of the trial, which others may have had before."""
    task: Task | None
    """Its budget names no files; None where only the data are to be described."""
    objective: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """What it begins with, by the field of `Budget` that names it: `checkpoint`, `inherit`."""
    wanted: tuple[str, ...] = ()
    """Fields of `Budget` whose files come back: `checkpoint`, `weights`, `int8`."""
    beat_seconds: float = 5.0
    """How often it says that it lives."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """That its worker must have (`nas.workers.executors.versions`)."""


@dataclass(frozen=True, slots=True)
class Worker:
    """Who works on a job, for messages."""

    host: str
    process: int
    node: str = ""
    """What the executor calls its place, where it has places."""

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}"


def this_worker(node: str = "") -> Worker:
    """Return this process as a worker, in a place of an executor."""
    return Worker(socket.gethostname(), os.getpid(), node)


@dataclass(frozen=True, slots=True)
class Began:
    """A worker has prepared its evaluator and begins."""

    lease: str
    worker: Worker
    description: Mapping[str, Any]
    """What the evaluator says of its data."""


@dataclass(frozen=True, slots=True)
class Alive:
    """A worker is at work."""

    lease: str
    checkpoint: bytes | None = field(default=None, repr=False)
    """The state of its training, where that is another than it last sent."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A report of an evaluation, whose worker waits to learn whether it is to end."""

    lease: str
    step: int
    scores: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Ended:
    """A worker has done its job; the last of it."""

    lease: str
    outcome: Outcome | None = None
    """None where only the data were to be described, or nothing could be prepared."""
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """By field of `Budget`: what it left of what was wanted."""
    said: str = ""
    """What is to be in the log of the search, such as the traceback of a failure."""
    error: NasError | None = None
    """Why its evaluator cannot be prepared there."""
    began: Began | None = field(default=None, repr=False)
    """What it said first: on its way that may have been overtaken."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A job has ended without an answer: its worker is gone."""

    lease: str
    reason: str
    own_fault: bool = True
    """False where it went down with another job, or its place was taken away as was announced, so that this does not
    count as an attempt at its task."""
    out_of_memory: bool = False
    """Whether it is known that memory ran out there."""


Event = Began | Alive | Progress | Ended | Lost


class Executor(Protocol):
    """What carries jobs to workers and their messages back. All is called by the driver's thread alone."""

    @property
    def name(self) -> str:
        """What it is, for messages, such as ray."""
        ...

    @property
    def room(self) -> int:
        """Number of jobs that can run at a time; it may change as workers join and leave."""
        ...

    @property
    def can_end(self) -> bool:
        """Whether `cancel` ends a job that runs; where it does not, one ends where it next reports."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What a user is to know of it, a line each, such as the address of its dashboard; known when it is open."""
        ...

    def resize(self, workers: int) -> None:
        """Have room for another number of jobs: what was started goes on, and what it has too many of ends after that.

        Raises:
            ConfigError: it cannot have so many.
        """
        ...

    def open(self, evaluator: Evaluator) -> None:
        """Make ready to start jobs, with what evaluates their tasks; called once.

        Raises:
            WorkerError: it cannot be sent, or nothing can be started.
        """
        ...

    def start(self, job: Job, *, avoid: Worker | None = None) -> None:
        """Have a job run as soon as a worker is free for it, in another place than `avoid` where there is one.

        Raises:
            WorkerError: no job can be started any more.
        """
        ...

    def receive(self, timeout: float) -> Sequence[Event]:
        """Return what came since the last call, in order for each job; waits so many seconds for the first.

        Raises:
            WorkerError: nothing can be received any more.
        """
        ...

    def answer(self, lease: str, end: bool) -> None:
        """Answer the last report of a job: whether it is to end. One whose worker is gone is no error."""
        ...

    def cancel(self, lease: str) -> None:
        """Give a job up: it does not begin, and ends at once where `can_end`. Nothing has to come of it any more."""
        ...

    def close(self) -> None:
        """End what runs, as far as it `can_end`, and give back what is held."""
        ...
