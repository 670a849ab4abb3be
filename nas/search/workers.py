"""Evaluations in processes of their own, so that one that is killed or crashes ends only its own trial."""

from __future__ import annotations

import ctypes
import faulthandler
import logging
import multiprocessing as mp
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from nas.errors import NasError, WorkerError
from nas.evaluation import Budget, Evaluation, Evaluator, Listener, listening
from nas.network.architecture import Architecture
from nas.run_folder import open_inside

_LOG = logging.getLogger(__name__)

# One thread a process, and threads that sleep while they wait: about twice the throughput of threads on small
# networks. Set before torch is loaded.
SINGLE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}

# A process may die at its start once or twice because the machine is short of memory; then something is wrong.
_MAX_FAILED_STARTS = 3


@dataclass(frozen=True, slots=True)
class Task:
    """One evaluation to be done."""

    number: int
    architecture: Architecture
    budget: Budget
    seed: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an evaluation ended."""

    number: int
    evaluation: Evaluation | None
    """None where it failed."""
    reason: str = ""
    out_of_memory: bool = False


Hear = Callable[[int, int, Mapping[str, float]], bool]
"""Hears the number of a trial, a step and the scores then; says whether the evaluation is to end."""


@dataclass(frozen=True, slots=True)
class _Report:
    """How an evaluation goes; the worker waits for the answer."""

    number: int
    step: int
    scores: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Ready:
    """A worker's first message: what its evaluator says of its data, or why it cannot work."""

    description: Mapping[str, Any]
    error: NasError | None = None


def evaluate(evaluator: Evaluator, task: Task, objective: str, listener: Listener) -> Outcome:
    """Run an evaluator, hear its reports, and turn whatever it does into an outcome."""
    started = time.perf_counter()
    try:
        with listening(lambda step, scores: listener(int(step), _numbers(scores))):
            found = evaluator(task.architecture, task.budget, task.seed)
        evaluation = _as_evaluation(found, objective, time.perf_counter() - started)
    except (Exception, SystemExit) as error:  # whatever goes wrong in one trial must not end the study
        # An error of ours says what it has to; of any other the place is needed.
        _LOG.warning("trial %d failed: %s", task.number, error, exc_info=not isinstance(error, NasError))
        return Outcome(task.number, None, f"{type(error).__name__}: {error}", out_of_memory=_no_memory(error))
    return Outcome(task.number, evaluation)


def _no_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: Python's, torch's on a GPU, and torch's on the CPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)


_NO_MEMORY = ("can't allocate memory", "not enough memory")


def _killed_for_memory() -> int:
    """How many processes the system has killed so far because memory ran out; 0 where it does not tell."""
    found = 0
    for path in (Path("/proc/vmstat"), Path("/sys/fs/cgroup/memory.events")):
        with suppress(OSError):
            found += sum(int(line.split()[1]) for line in path.read_text().splitlines() if line.startswith("oom_kill "))
    return found


def _as_evaluation(found: Any, objective: str, seconds: float) -> Evaluation:
    """Bring what an evaluator returned into the one form, with plain numbers; raises what `float` raises."""
    if not isinstance(found, Evaluation):
        found = Evaluation(found if isinstance(found, Mapping) else {objective: found})
    return Evaluation(
        _numbers(found.scores),
        tuple(_numbers(row) for row in found.history),
        {"evaluation": seconds, **_numbers(found.seconds)},
    )


def _numbers(values: object) -> dict[str, float]:
    if not isinstance(values, Mapping):
        raise TypeError(f"scores, rows of history and seconds are mappings from names to numbers, but got {values!r}")
    for name, value in values.items():
        if not hasattr(value, "__float__") or isinstance(value, bool):
            raise TypeError(f"{name} must be a number, but got {value!r}")
    return {str(name): float(value) for name, value in values.items()}


def _work(connection: Connection, evaluator: Evaluator, objective: str, log: str | None, device: str | None) -> None:
    """Body of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver, which then ends the workers
    if log is not None:
        file = open_inside(Path(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, 1)
        os.dup2(file, 2)
    faulthandler.enable()
    if device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    _be_killed_with_parent()
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        prepare = getattr(evaluator, "prepare", None)
        ready = _Ready(prepare() if prepare else {})
    except NasError as error:
        ready = _Ready({}, error)
    except Exception as error:  # reported by the driver as the reason why no worker starts
        _LOG.warning("the evaluator cannot be prepared", exc_info=True)
        ready = _Ready({}, WorkerError(f"{type(error).__name__}: {error}"))
    connection.send(ready)
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return

        def tell(step: int, scores: Mapping[str, float], number: int = task.number) -> bool:
            connection.send(_Report(number, step, scores))
            return bool(connection.recv())

        connection.send(evaluate(evaluator, task, objective, tell))


def _be_killed_with_parent() -> None:
    """Ask Linux to kill this process when the driver dies, since a stopped one cannot see to that itself."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    """End this process as soon as the driver is gone, also in the middle of a trial."""
    parent = mp.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@dataclass
class _Worker:
    process: SpawnProcess
    connection: Connection
    device: str | None
    ready: bool = False
    task: Task | None = None
    deadline: float = field(default=float("inf"))


class WorkerPool:
    """Worker processes that evaluate one architecture at a time each; a dead one is replaced."""

    def __init__(
        self,
        evaluator: Evaluator,
        count: int,
        *,
        objective: str = "val_accuracy",
        log: Path | None = None,
        trial_seconds: float | None = None,
        devices: Sequence[str] = (),
    ) -> None:
        """Start `count` processes; does not wait for them.

        Args:
            evaluator: picklable; its `prepare()`, where it has one, is called once a process.
            count: number of processes.
            objective: name of the score, where the evaluator returns a number.
            log: file that takes what workers print.
            trial_seconds: an evaluation that takes longer is ended.
            devices: CUDA devices that the workers share, by the names of CUDA_VISIBLE_DEVICES; none leaves the
                choice to the evaluator.
        """
        self._evaluator, self._objective = evaluator, objective
        self._log = str(log) if log else None
        self._trial_seconds = trial_seconds
        self._failed_starts = 0
        self._hear: Hear = lambda number, step, scores: False
        self._description: Mapping[str, Any] | None = None
        self._killed = _killed_for_memory()
        self._workers = [self._start(devices[i % len(devices)] if devices else None) for i in range(count)]

    def _start(self, device: str | None) -> _Worker:
        context = mp.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_work, args=(theirs, self._evaluator, self._objective, self._log, device), daemon=True
        )
        # The child reads its environment at start; ours is put back, since it is the user's process.
        before = {name: os.environ.get(name) for name in SINGLE_THREAD}
        os.environ.update(SINGLE_THREAD)
        try:
            process.start()
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
        theirs.close()
        return _Worker(process, ours, device)

    @property
    def free(self) -> int:
        """Number of workers without a task."""
        return sum(worker.task is None for worker in self._workers)

    def describe(self) -> Mapping[str, Any]:
        """Wait for the first worker and return what its evaluator's `prepare` returned.

        Raises:
            NasError: what `prepare` raised. WorkerError: the process died.
        """
        while self._description is None:
            self.wait(None)
        return self._description

    def listen(self, hear: Hear) -> None:
        """Tell `hear` how evaluations go; it is called inside `wait`."""
        self._hear = hear

    def now(self) -> float:
        """Seconds, from any point."""
        return time.monotonic()

    def submit(self, task: Task) -> None:
        """Give a task to a free worker."""
        index, worker = next((i, worker) for i, worker in enumerate(self._workers) if worker.task is None)
        try:
            worker.connection.send(task)
        except OSError:  # it died while it had nothing to do
            worker.process.join(timeout=10)
            self._replace(index, worker, f"its worker process {_end_of(worker.process)}")
            worker = self._workers[index]
            worker.connection.send(task)
        worker.task = task
        if worker.ready:
            self._set_deadline(worker)

    def _set_deadline(self, worker: _Worker) -> None:
        if self._trial_seconds is not None:
            worker.deadline = time.monotonic() + self._trial_seconds

    def wait(self, timeout: float | None) -> list[Outcome]:
        """Wait for workers and return the evaluations that ended; may return none.

        Raises:
            NasError: a worker could not start its work.
        """
        limit = min([w.deadline for w in self._workers] + [time.monotonic() + (timeout or float("inf"))])
        seconds = max(0.0, limit - time.monotonic()) if limit < float("inf") else None
        ready = set(wait([worker.connection for worker in self._workers], seconds))
        outcomes = []
        for index, worker in enumerate(self._workers):
            outcome = None
            if worker.connection in ready:
                outcome = self._receive(index, worker)
            elif time.monotonic() >= worker.deadline:
                outcome = self._replace(index, worker, f"took longer than {self._trial_seconds:g} s")
            if outcome is not None:
                outcomes.append(outcome)
        return outcomes

    def _receive(self, index: int, worker: _Worker) -> Outcome | None:
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            worker.process.join(timeout=10)
            return self._replace(index, worker, f"its worker process {_end_of(worker.process)}")
        if isinstance(message, _Ready):
            if message.error is not None:
                raise message.error
            worker.ready, self._failed_starts = True, 0
            self._description = message.description
            if worker.task is not None:
                self._set_deadline(worker)
            return None
        if isinstance(message, _Report):
            with suppress(OSError):  # where it died meanwhile, the next look at it tells
                worker.connection.send(self._hear(message.number, message.step, message.scores))
            return None
        worker.task, worker.deadline = None, float("inf")
        assert isinstance(message, Outcome)
        return message

    def _replace(self, index: int, worker: _Worker, reason: str) -> Outcome | None:
        """Put a new process in the place of a dead or late one."""
        worker.process.kill()
        worker.connection.close()
        self._failed_starts += not worker.ready
        if not worker.ready and (self._description is None or self._failed_starts >= _MAX_FAILED_STARTS):
            raise WorkerError(f"a worker process cannot start: {reason}{self._last_words()}")
        self._workers[index] = self._start(worker.device)
        killed, self._killed = self._killed, _killed_for_memory()
        memory = worker.process.exitcode == -signal.SIGKILL and self._killed > killed
        return Outcome(worker.task.number, None, reason, out_of_memory=memory) if worker.task is not None else None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop all workers meanwhile, so that they do not disturb a measurement.

        One that is only starting goes on, since it cannot yet be killed with this process while it is stopped.
        """
        stopped = [worker.process for worker in self._workers if worker.ready and worker.process.is_alive()]
        started = time.monotonic()
        try:
            _signal(stopped, signal.SIGSTOP)
            yield
        finally:
            _signal(stopped, signal.SIGCONT)
            for worker in self._workers:
                worker.deadline += time.monotonic() - started

    def _last_words(self) -> str:
        """The end of what workers printed, since the log may go with a run folder that never became a study."""
        if self._log is None or not Path(self._log).exists():
            return ""
        lines = Path(self._log).read_text(errors="replace").strip().splitlines()
        return "\n" + "\n".join(lines[-5:]) if lines else ""

    def close(self) -> None:
        """End all workers at once, also in the middle of a trial."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join(timeout=10)
            worker.connection.close()


def _signal(processes: Sequence[SpawnProcess], number: signal.Signals) -> None:
    for process in processes:
        assert process.pid is not None
        with suppress(ProcessLookupError):  # it died meanwhile
            os.kill(process.pid, number)


def _end_of(process: SpawnProcess) -> str:
    code = process.exitcode
    if code is None:
        return "stopped answering"
    if code < 0:
        name = signal.Signals(-code).name
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return f"was ended by {name}{hint}"
    return f"ended with exit code {code}"
