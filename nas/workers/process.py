"""A worker process as the driver sees it: its start, its words where it fails, its end with all that it has started."""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path

from nas.errors import ConfigError, plain
from nas.held_out import FORBIDDEN
from nas.machine import cores
from nas.workers.keeper import Keeper, kill_group
from nas.workers.worker import HERE, MAIN_GUARD, STARTING, PickledEvaluator, WorkerEnvironment, work

# One thread a process, and threads that sleep while they wait: about twice the throughput of threads on small
# networks. Set before torch is loaded.
SINGLE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}

# Signals that a process does not send itself by a fault of its own.
_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
_WORDS_BYTES = 4000
_WORDS_LINES = 5


def killed_for_memory() -> int:
    """How many processes the system has killed so far because memory ran out; 0 where it does not tell."""
    kills = 0
    for path in (Path("/proc/vmstat"), Path("/sys/fs/cgroup/memory.events")):
        with suppress(OSError):
            kills += sum(int(line.split()[1]) for line in path.read_text().splitlines() if line.startswith("oom_kill "))
    return kills


def words_of_end(code: int | None) -> str:
    """Say how a process ended, from its exit code in the manner of `subprocess`; None is one that still runs."""
    if code is None:
        return "stopped answering"
    if code < 0:
        names = {number.value: number.name for number in signal.Signals}
        hint = " (out of memory?)" if code == -signal.SIGKILL else ""
        return f"was ended by {names.get(-code, f'signal {-code}')}{hint}"
    return f"ended with exit code {code}"


def check_worker_count(count: int) -> None:
    """Raise `ConfigError` for more processes than a machine of this size can be meant to run."""
    most = max(32, 4 * cores())
    if count > most:
        raise ConfigError(f"workers: at most {most} processes on this machine with {cores()} cores, but got {count:,}")


class WorkerProcess:
    """A process that evaluates, and the processes that it starts: they are ended together."""

    def __init__(self, sent: PickledEvaluator, objective: str, environment: WorkerEnvironment, keeper: Keeper) -> None:
        """Start it; does not wait for it.

        Raises:
            WorkerError: the evaluator cannot be sent.
        """
        self._keeper, self._log = keeper, environment.log
        self.connection, theirs = mp.get_context("spawn").Pipe()
        number, name = tempfile.mkstemp(prefix="nas-worker-")
        os.unlink(name)
        self._said = os.fdopen(number, "rb")
        """What it says before it has found the log."""
        with theirs, _starting(number) as stderr:
            self._process = mp.get_context("spawn").Process(
                target=work, args=(theirs, stderr, sent, objective, environment), daemon=True
            )
            self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid
        keeper.watch(self.pid)

    @property
    def alive(self) -> bool:
        """Whether it runs. Its connection does not tell: a process that it has started keeps that open too."""
        return self._process.exitcode is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it and to what it has started."""
        kill_group(self.pid, number)

    def end(self) -> None:
        """End it at once, with what it has started."""
        self.signal(signal.SIGKILL)
        self._process.join(timeout=10)
        self._keeper.forget(self.pid)
        self.connection.close()
        self._said.close()

    @property
    def ended_from_outside(self) -> bool:
        """Whether a signal has ended it that somebody else has sent: a user, or the system."""
        return -(self._process.exitcode or 0) in _OUTSIDE

    @property
    def killed(self) -> bool:
        """Whether it was ended by the signal that also the system sends where memory runs out."""
        return self._process.exitcode == -signal.SIGKILL

    def how_it_ended(self) -> str:
        """Say how it ended."""
        self._process.join(timeout=10)
        return words_of_end(self._process.exitcode)

    def last_words(self) -> str:
        """Return the end of what it has said where it came to no work, and what is to be done where it cannot start."""
        size = os.fstat(self._said.fileno()).st_size
        lines = _last_lines(os.pread(self._said.fileno(), _WORDS_BYTES, max(0, size - _WORDS_BYTES)))
        if lines and MAIN_GUARD in lines[-1]:  # our own words say it all
            lines = lines[-1:]
        elif lines:
            lines.append(
                "Worker processes import the script that starts the search: it must be a file, with what it does under "
                f"`{MAIN_GUARD}`. Or {HERE}"
            )
        elif self._log is not None and Path(self._log).exists():
            with open(self._log, "rb") as log:
                log.seek(max(0, os.fstat(log.fileno()).st_size - _WORDS_BYTES))
                lines = _last_lines(log.read())
        return "".join(f"\n{line}" for line in lines)


def _last_lines(said: bytes) -> list[str]:
    return [plain(line) for line in said.decode(errors="replace").strip().splitlines()[-_WORDS_LINES:]]


_START = threading.Lock()


@contextmanager
def _starting(said: int) -> Iterator[Connection]:
    """Change what a new process inherits, and put it back; yields the standard error of this process.

    Its environment is read at its start. What it says before it works is needed where it never comes to it.
    """
    with _START:
        changed = {**SINGLE_THREAD, STARTING: "1", FORBIDDEN: "1"}
        resource_tracker.ensure_running()  # which inherits the same where it is started first
        before = {name: os.environ.get(name) for name in changed}
        os.environ.update(changed)
        if sys.stderr is not None:
            with suppress(OSError, ValueError):  # a notebook's
                sys.stderr.flush()
        try:
            stderr = os.dup(2)
        except OSError:  # it is closed
            stderr = os.open(os.devnull, os.O_WRONLY)
        os.dup2(said, 2)
        try:
            with Connection(stderr, readable=False) as connection:
                try:
                    yield connection
                finally:
                    os.dup2(stderr, 2)
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
