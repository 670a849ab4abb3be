"""The process of a worker of Slurm that does its trials, and how the worker has it do them."""

from __future__ import annotations

import faulthandler
import multiprocessing as mp
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing import spawn
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from nas.console import guard_streams
from nas.errors import WorkerError, reason_of
from nas.evaluation import Evaluator
from nas.held_out import forbid_test_split
from nas.workers.executors.executor import Alive, Began, Ended, Job, Progress
from nas.workers.executors.job import run_job, state_left
from nas.workers.executors.slurm_messages import Answer, Do, Setup
from nas.workers.keeper import Keeper, kill_group
from nas.workers.process import killed_for_memory, words_of_end
from nas.workers.worker import STARTING, PickledEvaluator

SIGNALS = (signal.SIGUSR1, signal.SIGTERM)
"""By which Slurm says that a job is to end: the first before the end of its wall time, the other where it is preempted
or cancelled; some clusters send others of the two."""


_DONE = b"done "
"""What the second process sends behind the last message of a job, with its lease; pickled messages begin otherwise."""


class _OfScript(PickledEvaluator):
    """An evaluator that may be defined in the script that the user runs, which is imported first."""

    script: Mapping[str, Any]

    def open(self) -> Evaluator:
        os.environ[STARTING] = "1"
        try:
            spawn.prepare(dict(self.script))
            return super().open()
        except WorkerError:
            raise
        except (Exception, SystemExit) as error:  # it may do whatever it likes
            raise WorkerError(
                f"what the search runs cannot be imported on {socket.gethostname()} ({reason_of(error)}): is its "
                "folder seen by the nodes of the cluster?"
            ) from error
        finally:
            os.environ.pop(STARTING, None)


class JobPipe:
    """The way of jobs to the first process; a `nas.workers.executors.job.Link`."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._sending = connection, threading.Lock()

    def tell(self, event: Began | Alive | Progress | Ended) -> None:
        """Send a message."""
        with self._sending:
            self._connection.send(event)

    def ask(self, event: Progress) -> bool:
        """Send a report, and return whether the evaluation is to end."""
        self.tell(event)
        return bool(self._connection.recv())

    def done(self, lease: str) -> None:
        """Say that a job has ended."""
        with self._sending:
            self._connection.send_bytes(_DONE + lease.encode())


def _work(connection: Connection, setup: Setup, folder: str) -> None:
    """Do jobs until the pipe closes; `folder` takes temporary files."""
    for number in (signal.SIGINT, *SIGNALS):  # they are the first process's business; no SIG_IGN, which is inherited
        signal.signal(number, lambda *_: None)
    os.setsid()  # so that what it starts can be ended with it
    mp.current_process().daemon = False  # the evaluator may start processes
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    forbid_test_split()  # whatever is evaluated: results of evaluations are chosen by
    guard_streams()
    faulthandler.enable()
    sent = _OfScript.packed(setup.evaluator)
    assert isinstance(sent, _OfScript)
    sent.script = setup.script
    pipe = JobPipe(connection)
    with suppress(EOFError, OSError):  # the first process is gone
        while True:
            job: Job = connection.recv()
            pipe.tell(run_job(job, sent, pipe, os.environ.get("SLURMD_NODENAME", "")))
            pipe.done(job.lease)


class Trials:
    """The second process, and what it does now; it is started when there is something to do."""

    def __init__(self, keeper: Keeper, setup: Setup) -> None:
        self._keeper, self._setup = keeper, setup
        self._folder = Path(tempfile.mkdtemp(prefix="nas-worker-"))
        self._process: Any = None
        self.connection: Connection | None = None
        self.lease: str | None = None
        self._keeps = False
        self._killed = 0

    @property
    def waited_for(self) -> list[Any]:
        """What shows that there is news of it."""
        return [] if self._process is None else [self.connection, self._process.sentinel]

    def start(self) -> None:
        """Start the process, so that it is ready sooner; one that runs is left."""
        if self._process is not None:
            return
        context = mp.get_context("spawn")
        self.connection, theirs = context.Pipe()
        with theirs:
            self._process = context.Process(
                target=_work, args=(theirs, self._setup, str(self._folder)), daemon=True, name="nas-trials"
            )
            self._process.start()
        self._keeper.watch(self._process.pid)
        self._killed = killed_for_memory()

    def do(self, message: Do) -> None:
        """Have a job done."""
        self.start()
        assert self.connection is not None
        self.lease, self._keeps = message.lease, message.keeps
        with suppress(OSError):  # it has died, which is seen next
            self.connection.send_bytes(message.job)

    def answer(self, message: Answer) -> None:
        """Pass the answer to a report on; one for a job that has ended is dropped."""
        if message.lease == self.lease and self.connection is not None:
            with suppress(OSError):
                self.connection.send(message.end)

    def heard(self) -> list[bytes]:
        """Return the messages that it has sent, still pickled."""
        found = []
        assert self.connection is not None
        with suppress(EOFError, OSError):
            while self.connection.poll():
                message = self.connection.recv_bytes()
                if not message.startswith(_DONE):
                    found.append(message)
                elif self.lease is not None and message == _DONE + self.lease.encode():  # no other was begun meanwhile
                    self.lease = None
        return found

    @property
    def ended(self) -> bool:
        """Whether the process has ended by itself."""
        return self._process is not None and self._process.exitcode is not None

    def end(self) -> bytes | None:
        """End the process and what it has started; returns the last state of its training, where one is wanted."""
        if self._process is None:
            return None
        kill_group(self._process.pid)
        self._process.join(timeout=10)
        self._keeper.forget(self._process.pid)
        assert self.connection is not None
        self.connection.close()
        state = state_left(self._folder) if self._keeps and self.lease is not None else None
        for left in self._folder.iterdir():
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)
        self._process = self.connection = self.lease = None
        return state

    def close(self) -> None:
        """End the process, and remove its files."""
        self.end()
        shutil.rmtree(self._folder, ignore_errors=True)

    def how_it_ended(self) -> tuple[str, bool]:
        """Return how the process ended, and whether memory had run out."""
        code = self._process.exitcode
        return f"its process {words_of_end(code)}", code == -signal.SIGKILL and killed_for_memory() > self._killed
