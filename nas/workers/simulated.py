"""Workers on a simulated clock: a search on a table passes in seconds, and its clock shows what it would take."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from nas.evaluation import Evaluator
from nas.training.tasks.registry import OBJECTIVE
from nas.workers.evaluating import Outcome, ReportListener, Task, description, evaluate


class SimulatedPool:
    """Workers on a clock of their own: an evaluation takes the time that it states, and none passes in between."""

    def __init__(self, evaluator: Evaluator, workers: int = 1, *, objective: str = OBJECTIVE) -> None:
        """Take an evaluator whose `seconds["evaluation"]` says how long it takes."""
        self._evaluator, self._workers, self._objective = evaluator, workers, objective
        self._on_report: ReportListener = lambda number, step, scores: False
        self._clock = 0.0
        self._busy: list[tuple[float, int, Outcome]] = []

    @property
    def free(self) -> int:
        """Number of workers without a task."""
        return max(0, self._workers - len(self._busy))

    def describe(self) -> Mapping[str, Any]:
        """Return what the evaluator says of its data."""
        return description(self._evaluator)

    def now(self) -> float:
        """Simulated seconds since the start."""
        return self._clock

    def listen(self, listener: ReportListener) -> None:
        """Have `listener` called with how evaluations go."""
        self._on_report = listener

    def submit(self, task: Task) -> None:
        """Evaluate a task; its outcome comes when its time is over."""
        outcome = evaluate(self._evaluator, task, self._objective, partial(self._on_report, task.number))
        seconds = outcome.evaluation.seconds.get("evaluation", 0.0) if outcome.evaluation else 0.0
        heapq.heappush(self._busy, (self._clock + seconds, task.number, outcome))

    def wait(self, timeout: float | None) -> list[Outcome]:
        """Return the next outcome, and set the clock to its time."""
        self._clock, _, outcome = heapq.heappop(self._busy)
        return [outcome]

    def running(self) -> Mapping[int, float]:
        """Nothing hangs: how an evaluation ends is known when it begins."""
        return {}

    def end(self, number: int) -> None:
        """Leave an evaluation out; no outcome of it comes."""
        self._busy = [entry for entry in self._busy if entry[1] != number]
        heapq.heapify(self._busy)

    def resize(self, workers: int) -> None:
        """Have another number of workers on the same clock."""
        self._workers = workers

    def paused(self) -> AbstractContextManager[None]:
        """Nothing runs."""
        return nullcontext()

    def close(self) -> None:
        """Nothing is held."""
