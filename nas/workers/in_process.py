"""Evaluations in the driver's own process."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from nas.console import at_once
from nas.evaluation import Evaluator
from nas.workers.evaluating import Hear, Outcome, Task, evaluate


class InThisProcess:
    """For evaluators that are quick, or that cannot be pickled."""

    def __init__(self, evaluator: Evaluator, objective: str) -> None:
        self._evaluator, self._objective = evaluator, objective
        self._task: Task | None = None
        self._hear: Hear = lambda number, step, scores: False

    @property
    def free(self) -> int:
        return 1 if self._task is None else 0

    def submit(self, task: Task) -> None:
        self._task = task

    def wait(self, timeout: float | None) -> list[Outcome]:
        assert self._task is not None
        task, self._task = self._task, None
        with at_once():
            return [evaluate(self._evaluator, task, self._objective, partial(self._hear, task.number))]

    def running(self) -> Mapping[int, float]:
        return {}  # nothing can be ended here while it runs

    def end(self, number: int) -> None:
        self._task = None

    def listen(self, hear: Hear) -> None:
        self._hear = hear

    def now(self) -> float:
        return time.monotonic()

    def paused(self) -> AbstractContextManager[None]:
        return nullcontext()
