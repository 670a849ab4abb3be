"""What runs in a worker process, and what it says to the driver."""

from __future__ import annotations

import faulthandler
import logging
import multiprocessing as mp
import os
import resource
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

from nas import own_code
from nas.console import guard_streams
from nas.errors import NasError, WorkerError, reason_of
from nas.evaluation import Evaluator
from nas.held_out import forbid_test_split
from nas.run_folder import open_inside
from nas.workers.evaluating import Task, description, evaluate, failure, only_in_this_process

_LOG = logging.getLogger(__name__)

STARTING = "NAS_WORKER_IS_STARTING"
"""Is in the environment of a worker process until it has loaded what it works with."""

MAIN_GUARD = 'if __name__ == "__main__":'
HERE = "evaluate in this process with workers=0"
_TOP_LEVEL = (
    "Worker processes import what they work with: define it with def or class at the top level of a file that the "
    f"search imports (no lambda, nothing inside a function, after -c or in a notebook's cell), or {HERE}"
)


@dataclass(frozen=True, slots=True)
class Report:
    """How an evaluation goes; the worker waits for the answer."""

    number: int
    step: int
    scores: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker's first message: what its evaluator says of its data, or why it cannot work."""

    description: Mapping[str, Any]
    error: NasError | None = None


@dataclass(frozen=True, slots=True)
class _WithCode:
    """An evaluator with the files of the user's that it may run, which need not be where it goes."""

    evaluator: Evaluator
    code: Mapping[tuple[str, str], bytes]


def with_own_code(evaluator: Evaluator) -> object:
    """Return what is pickled of an evaluator for another process, which opens it by `PickledEvaluator`."""
    return _WithCode(evaluator, own_code.sent())


class PickledEvaluator:
    """An evaluator on its way to a worker process, which opens it only when it can say what is wrong with it."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        self._packed: bytes | None = None

    def __getstate__(self) -> bytes:
        try:
            return bytes(ForkingPickler.dumps(with_own_code(self._evaluator)))
        except Exception as error:  # anything may be in it
            raise WorkerError(
                f"the evaluator cannot be sent to worker processes ({reason_of(error)}). {_TOP_LEVEL}"
            ) from error

    def __setstate__(self, state: bytes) -> None:
        self._packed = state

    @classmethod
    def packed(cls, packed: bytes) -> PickledEvaluator:
        """Return one that has arrived, pickled in another way."""
        sent = cls.__new__(cls)
        sent.__setstate__(packed)
        return sent

    @property
    def key(self) -> object:
        """What is equal for the same evaluator, sent twice to this process."""
        return self._packed if self._packed is not None else self._evaluator

    def open(self) -> Evaluator:
        """Return the evaluator; raises `WorkerError` where what it needs is not here."""
        if self._packed is None:  # it has not left its process
            return self._evaluator
        try:
            arrived: _WithCode = ForkingPickler.loads(self._packed)
        except Exception as error:  # as above
            raise WorkerError(
                f"the evaluator cannot be loaded in a worker process ({reason_of(error)}). {_TOP_LEVEL}"
            ) from error
        own_code.take(arrived.code)
        return arrived.evaluator


@dataclass(frozen=True)
class WorkerEnvironment:
    """What a worker process works in."""

    log: str | None = None
    """File that takes what it prints; None is the driver's terminal."""
    device: str | None = None
    """A GPU by its name in CUDA_VISIBLE_DEVICES; None leaves the choice to the evaluator."""
    memory_bytes: int | None = None
    """The most private memory that it may have."""

    def enter(self, stderr: Connection) -> None:
        """Set this process up, with the file that its errors go to where there is no log."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver, which then ends the workers
        os.setsid()  # so that what it starts can be ended with it
        # The driver still ends it at its own end; here it means that the evaluator may start processes.
        mp.current_process().daemon = False
        if self.log is None:
            os.dup2(stderr.fileno(), 2)
        else:
            file = open_inside(Path(self.log), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(file, 1)
            os.dup2(file, 2)
            os.close(file)
        stderr.close()
        guard_streams()
        faulthandler.enable()
        if self.device is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = self.device
        if self.memory_bytes is not None:
            resource.setrlimit(resource.RLIMIT_DATA, (self.memory_bytes, self.memory_bytes))


def check_not_starting() -> None:
    """Raise `WorkerError` in a worker process that is only importing the user's script."""
    if STARTING in os.environ:
        raise WorkerError(
            "this script starts worker processes when it is imported, and they import it. Put what it does "
            f"under `{MAIN_GUARD}`, or {HERE}"
        )


def work(
    connection: Connection,
    stderr: Connection,
    sent: PickledEvaluator,
    objective: str,
    environment: WorkerEnvironment,
) -> None:
    """Body of a worker process."""
    forbid_test_split()  # whatever is evaluated: results of evaluations are chosen by
    environment.enter(stderr)
    try:
        with only_in_this_process():
            evaluator = sent.open()
            os.environ.pop(STARTING, None)
            ready = Ready(description(evaluator))
    except (Exception, SystemExit) as error:  # reported by the driver as the reason why no worker starts
        ours = isinstance(error, NasError) and type(error).__module__ == NasError.__module__
        if not ours:  # of which only the words can be sent
            _LOG.warning("the evaluator cannot be prepared", exc_info=True)
        connection.send(Ready({}, error if ours and isinstance(error, NasError) else WorkerError(reason_of(error))))
        return
    connection.send(ready)
    while True:
        try:
            task: Task = connection.recv()
        except EOFError:
            return

        def tell(step: int, scores: Mapping[str, float], number: int = task.number) -> bool:
            connection.send(Report(number, step, scores))
            return bool(connection.recv())

        try:
            outcome = evaluate(evaluator, task, objective, tell)
        except KeyboardInterrupt as error:  # of its own making: Ctrl-C does not come here
            outcome = failure(task, error)
        connection.send(outcome)
