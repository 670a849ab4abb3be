"""Evaluations in the driver's own process."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from nas.console import interrupt_at_once
from nas.errors import ConfigError
from nas.evaluation import Evaluator
from nas.workers.evaluating import Outcome, ReportListener, Task, description, evaluate


class InThisProcess:
    """For evaluators that are quick, or that cannot be pickled."""

    def __init__(self, evaluator: Evaluator, objective: str) -> None:
        self._evaluator, self._objective = evaluator, objective
        self._task: Task | None = None
        self._on_report: ReportListener = lambda number, step, scores: False

    @property
    def free(self) -> int:
        """1 where no task waits."""
        return 1 if self._task is None else 0

    def describe(self) -> Mapping[str, Any]:
        """Return what the evaluator says of its data."""
        return description(self._evaluator)

    def submit(self, task: Task) -> None:
        """Keep a task until `wait`."""
        self._task = task

    def wait(self, timeout: float | None) -> list[Outcome]:
        """Evaluate the task; there is no other time than that which it takes."""
        assert self._task is not None
        task, self._task = self._task, None
        with interrupt_at_once():
            return [evaluate(self._evaluator, task, self._objective, partial(self._on_report, task.number))]

    def running(self) -> Mapping[int, float]:
        """Nothing can be ended here while it runs."""
        return {}

    def end(self, number: int) -> None:
        """Leave the task out that waits."""
        self._task = None

    def listen(self, listener: ReportListener) -> None:
        """Have `listener` called with how evaluations go."""
        self._on_report = listener

    def now(self) -> float:
        """Seconds of the system's clock."""
        return time.monotonic()

    def resize(self, workers: int) -> None:
        """Raise `ConfigError`: there is this process alone."""
        raise ConfigError(f"workers: trials run in the process of the search, one at a time, but got {workers}")

    def paused(self) -> AbstractContextManager[None]:
        """Nothing runs."""
        return nullcontext()

    def close(self) -> None:
        """Nothing is held."""
