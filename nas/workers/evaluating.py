"""One evaluation, in whichever process it runs: what is asked for, and how it ended."""

from __future__ import annotations

import logging
import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from nas.errors import NasError, plain, reason_of
from nas.evaluation import Budget, Evaluation, Evaluator, Listener, listening
from nas.held_out import without_test_split
from nas.network.architecture import Architecture

_LOG = logging.getLogger(__name__)
_TRACEBACK = 20_000


@dataclass(frozen=True, slots=True)
class Task:
    """One evaluation to be done."""

    number: int
    architecture: Architecture
    budget: Budget
    seed: int
    evaluator: Evaluator | None = None
    """Evaluates this one in place of the pool's; what decides an evaluation is in its task."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an evaluation ended."""

    number: int
    evaluation: Evaluation | None
    """None where it failed."""
    reason: str = ""
    out_of_memory: bool = False
    killed: bool = False
    """Whether the system killed its process because memory ran out."""

    def without_stops(self, seconds: float) -> Outcome:
        """Return it with times that leave out what its process was stopped for; that is a time of its own, `stopped`.

        In what part of the evaluation it was stopped is not known: all are shortened alike.
        """
        whole = self.evaluation.seconds.get("evaluation", 0.0) if self.evaluation is not None else 0.0
        if self.evaluation is None or not 0 < seconds < whole:
            return self
        parts = {name: value * (1 - seconds / whole) for name, value in self.evaluation.seconds.items()}
        return replace(self, evaluation=replace(self.evaluation, seconds={**parts, "stopped": seconds}))


ReportListener = Callable[[int, int, Mapping[str, float]], bool]
"""Takes the number of a trial, a step and the scores then; returns whether the evaluation is to end."""


def evaluate(evaluator: Evaluator, task: Task, objective: str, listener: Listener) -> Outcome:
    """Run an evaluator, pass its reports on, and turn whatever it does into an outcome.

    The test split cannot be read meanwhile, in whatever process this is.

    Raises:
        KeyboardInterrupt: the user ends the search.
    """
    started, here = time.perf_counter(), os.getpid()

    def on_report(step: int, scores: Mapping[str, float]) -> bool:
        return os.getpid() == here and listener(step, _numbers(scores))

    try:
        # Whatever is evaluated: results of evaluations are chosen by.
        with without_test_split(), only_in_this_process(), listening(on_report):
            result = (task.evaluator or evaluator)(task.architecture, task.budget, task.seed)
        evaluation = _as_evaluation(result, objective, time.perf_counter() - started)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever goes wrong in one trial must not end the study
        if isinstance(error, SystemExit) and isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error  # Lightning leaves the program where it is interrupted
        return failure(task, error)
    return Outcome(task.number, evaluation)


def description(evaluator: Evaluator) -> Mapping[str, Any]:
    """Return what an evaluator says of its data, by its method `prepare`; nothing where it has none."""
    prepare = getattr(evaluator, "prepare", None)
    return prepare() if prepare else {}


@contextmanager
def only_in_this_process() -> Iterator[None]:
    """Run code of the user's; a process that it forks, and that comes out of it by a return or an error, ends here.

    It would go on as if it were this process, with the same connections and files.
    """
    here, code = os.getpid(), 1
    try:
        yield
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        raise
    finally:
        if os.getpid() != here:
            os._exit(code & 0xFF)


def failure(task: Task, error: BaseException) -> Outcome:
    """Return the outcome of an evaluation that raised an error, and log it."""
    reason = reason_of(error)
    # An error of ours says what it has to; of any other the place is needed.
    place = [] if isinstance(error, NasError) else ["\n", *traceback.format_exception(error)]
    _LOG.warning("trial %d failed: %s%s", task.number, reason, plain("".join(place), _TRACEBACK).rstrip())
    return Outcome(task.number, None, reason, out_of_memory=_no_memory(error, reason))


def _no_memory(error: BaseException, reason: str) -> bool:
    """Whether an error says that memory ran out: Python's, torch's on a GPU, and torch's on the CPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(words in reason for words in _NO_MEMORY)


_NO_MEMORY = ("can't allocate memory", "not enough memory")


def _as_evaluation(result: Any, objective: str, seconds: float) -> Evaluation:
    """Bring what an evaluator returned into the one form, with plain numbers; raises what `float` raises."""
    if not isinstance(result, Evaluation):
        result = Evaluation(result if isinstance(result, Mapping) else {objective: result})
    return Evaluation(
        _numbers(result.scores),
        tuple(_numbers(row) for row in result.history),
        {"evaluation": seconds, **_numbers(result.seconds)},
        {str(name): str(reason) for name, reason in result.missing.items()},
        result.inherited,
        tuple(_numbers(fold) for fold in result.folds),
    )


def _numbers(values: object) -> dict[str, float]:
    if not isinstance(values, Mapping):
        raise TypeError(f"scores, rows of history and seconds are mappings from names to numbers, but got {values!r}")
    for name, value in values.items():
        if not hasattr(value, "__float__") or isinstance(value, bool):
            raise TypeError(f"{name} must be a number, but got {value!r}")
    return {str(name): float(value) for name, value in values.items()}
