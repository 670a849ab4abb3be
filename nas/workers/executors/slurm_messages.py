"""What a worker of Slurm and its driver say to each other beside the messages of jobs, and how they find each other."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nas.errors import ConfigError
from nas.workers.executors.executor import Worker


@dataclass(frozen=True, slots=True)
class Meeting:
    """Where workers find their driver. It is written to a file that its owner alone can read, since it has the key."""

    host: str
    port: int
    key: str = field(repr=False)
    """In hexadecimal digits."""
    silent_seconds: float
    """Either ends where the machine of the other gives no sign of life for so long."""
    minutes: float | None
    """The wall time that was asked for."""
    versions: Mapping[str, str]
    """Of Python and of the packages that both must have alike."""

    def write(self, path: Path) -> None:
        """Write it to a new file."""
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(asdict(self), file)

    @classmethod
    def read(cls, path: Path) -> Meeting:
        """Read such a file.

        Raises:
            ConfigError: it may be another's, or does not hold that. FileNotFoundError: it is gone.
        """
        with open(path) as file:
            status = os.fstat(file.fileno())
            if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077:
                raise ConfigError(f"{path} must be yours and readable by you alone (mode 0600): it tells what to run")
            try:
                return cls(**json.load(file))
            except (TypeError, ValueError) as error:
                raise ConfigError(f"{path} does not say where the search is: {error}") from None


@dataclass(frozen=True, slots=True)
class Arrived:
    """A worker's first message."""

    lease: str
    """The name of its connection."""
    slurm_job: str
    """Its job of Slurm, such as 123_4."""
    worker: Worker
    seconds: float | None
    """What is left of its wall time; None where nobody knows."""


@dataclass(frozen=True, slots=True)
class Freed:
    """A worker has ended what it was told to end."""

    lease: str


@dataclass(frozen=True, slots=True)
class Leaving:
    """Slurm ends a worker; the last of it."""

    lease: str
    reason: str


@dataclass(frozen=True, slots=True)
class Setup:
    """The driver's first message: what a worker works with."""

    evaluator: bytes = field(repr=False)
    """Pickled."""
    script: Mapping[str, Any] = field(repr=False)
    """Of the driver's process, as `multiprocessing.spawn` prepares one by: what it imports from, and what it runs."""


@dataclass(frozen=True, slots=True)
class Do:
    """A job, pickled, which the first process does not open."""

    lease: str
    job: bytes = field(repr=False)
    keeps: bool
    """Whether the state of its training is wanted."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Of a report: whether the evaluation is to end."""

    lease: str
    end: bool


@dataclass(frozen=True, slots=True)
class Stop:
    """End a job at once."""

    lease: str


@dataclass(frozen=True, slots=True)
class Leave:
    """End yourself."""
