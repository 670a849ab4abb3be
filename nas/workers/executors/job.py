"""What a worker of any executor does for one job, and how it speaks with the driver."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from nas.errors import NasError, WorkerError, plain, reason_of
from nas.evaluation import Budget, Evaluator
from nas.held_out import without_test_split
from nas.meanwhile import meanwhile
from nas.workers.evaluating import Outcome, Task, description, evaluate, failure, only_in_this_process
from nas.workers.executors.executor import Alive, Began, Ended, Job, Progress, this_worker
from nas.workers.executors.versions import check_versions
from nas.workers.worker import PickledEvaluator

_LOG = logging.getLogger(__name__)

CHECKPOINT = "checkpoint"
BROUGHT = (CHECKPOINT, "inherit")
"""Fields of `Budget` whose files a job begins with."""
LEFT = (CHECKPOINT, "weights", "int8")
"""Fields of `Budget` whose files come back."""
_NAMES: Mapping[str, str] = {
    CHECKPOINT: "state.ckpt",
    "inherit": "inherited.safetensors",
    "weights": "weights.safetensors",
    "int8": "int8",
}
"""What they are called in the folder of a job; `int8` is a folder in it."""
_FOLDER = "nas-trial-"
_SHARE_OF_SENDING = 0.1
"""Of the time of a job, at most so much goes into sending states of its training."""
_LOG_LETTERS = 40_000


class Link(Protocol):
    """A worker's way to the driver. `tell` may be called beside a call of `ask`, from another thread."""

    def tell(self, event: Began | Alive) -> None:
        """Send a message. Raises `OSError` or `EOFError` where the driver is gone."""
        ...

    def ask(self, event: Progress) -> bool:
        """Send a report, and wait to learn whether the evaluation is to end; raises as `tell`."""
        ...


def run_job(job: Job, sent: PickledEvaluator, link: Link, node: str = "") -> Ended:
    """Do a job, and return what came of it; `node` is what the executor calls this place.

    Whatever the evaluator does is an outcome; an error is that of the way to the driver.
    """
    try:
        check_versions(job.versions)
        evaluator, described = _prepared(sent)
    except (Exception, SystemExit) as error:  # it may raise whatever it likes
        ours = isinstance(error, NasError) and type(error).__module__ == NasError.__module__
        if not ours:  # of which only the words can be sent
            _LOG.warning("the evaluator cannot be prepared", exc_info=True)
        return Ended(job.lease, error=error if ours and isinstance(error, NasError) else WorkerError(reason_of(error)))
    began = Began(job.lease, this_worker(node), described)
    link.tell(began)
    if job.task is None:
        return Ended(job.lease, began=began)
    with TemporaryDirectory(prefix=_FOLDER) as name, _records() as records:
        folder = Path(name)
        task = _with_files(job, job.task, folder)
        with meanwhile(partial(_beat, job, link, folder / _NAMES[CHECKPOINT]), "nas-heartbeat"):
            outcome = _evaluated(evaluator, task, job, link)
        return Ended(job.lease, outcome, _left(job, folder), "".join(records)[-_LOG_LETTERS:], began=began)


_PREPARED: list[tuple[object, Evaluator, Mapping[str, Any]]] = []
"""The last evaluator of this process, with what it says of its data: later jobs find it ready."""
_PREPARING = threading.Lock()


def _prepared(sent: PickledEvaluator) -> tuple[Evaluator, Mapping[str, Any]]:
    with _PREPARING:
        for key, evaluator, described in _PREPARED:
            if key is sent.key or (isinstance(key, bytes) and key == sent.key):
                return evaluator, described
        with without_test_split(), only_in_this_process():
            evaluator = sent.open()
            described = description(evaluator)
        _PREPARED[:] = [(sent.key, evaluator, described)]
        return evaluator, described


def _with_files(job: Job, task: Task, folder: Path) -> Task:
    """Put the files of a job into a folder, and return its task with a budget that names files there."""
    for name, data in job.files.items():
        (folder / _NAMES[name]).write_bytes(data)
    named: dict[str, Any] = {name: str(folder / _NAMES[name]) for name in {*job.files, *job.wanted}}
    if "int8" in job.wanted:
        (folder / _NAMES["int8"]).mkdir()
    return replace(task, budget=replace(task.budget, **named))


def _evaluated(evaluator: Evaluator, task: Task, job: Job, link: Link) -> Outcome:
    def tell(step: int, scores: Mapping[str, float]) -> bool:
        try:
            return link.ask(Progress(job.lease, step, scores))
        except (OSError, EOFError):
            raise WorkerError("the search that gave this trial away is gone") from None

    try:
        return evaluate(evaluator, task, job.objective, tell)
    except KeyboardInterrupt as error:  # of its own making: Ctrl-C is for the driver
        return failure(task, error)


def _left(job: Job, folder: Path) -> dict[str, bytes]:
    """Return the files that came of a job, by the field of `Budget` that names them."""
    found = {}
    for name in job.wanted:
        path = folder / _NAMES[name]
        if path.is_dir():
            path = next(path.glob("*.onnx"), path / "none")
        with suppress(FileNotFoundError):
            found[name] = path.read_bytes()
    return found


def state_left(folder: Path) -> bytes | None:
    """Return the last state of training of a job whose process was ended; None where it left none.

    Args:
        folder: the one for temporary files that its process had, and no other.
    """
    for path in folder.glob(f"{_FOLDER}*/{_NAMES[CHECKPOINT]}"):
        with suppress(OSError):
            return path.read_bytes()  # it is replaced as a whole
    return None


def _beat(job: Job, link: Link, state: Path, over: threading.Event) -> None:
    """Say that the job goes on, and send the state of its training where there is a new one."""
    sent, not_before = _version(state), 0.0
    while not over.wait(job.beat_seconds):
        data = None
        if CHECKPOINT in job.wanted and time.monotonic() >= not_before and (found := _version(state)) != sent:
            with suppress(OSError):
                data, sent = state.read_bytes(), found  # it is replaced as a whole
        began = time.monotonic()
        try:
            link.tell(Alive(job.lease, data))
        except (OSError, EOFError):
            return  # the driver is gone, which the next report finds, too
        not_before = time.monotonic() + (time.monotonic() - began) / _SHARE_OF_SENDING


def _version(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino


@contextmanager
def _records() -> Iterator[list[str]]:
    """Collect what nas logs meanwhile in this thread, such as tracebacks of failures."""
    lines: list[str] = []
    here = threading.get_ident()

    class _Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == here:
                lines.append(f"{record.levelname} {plain(self.format(record), _LOG_LETTERS)}\n")

    collector = _Collector(logging.WARNING)
    logger = logging.getLogger("nas")
    logger.addHandler(collector)
    try:
        yield lines
    finally:
        logger.removeHandler(collector)


def carried(budget: Budget) -> Budget:
    """Return a budget as it travels: it names no files, which are named anew where it is used."""
    return replace(budget, checkpoint=None, inherit=None, weights=None, int8=None)
