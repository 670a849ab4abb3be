"""Many evaluations in a pool, as many at a time as it takes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from nas.cost import cost_of
from nas.workers.evaluating import Outcome, Task
from nas.workers.giving_up import EqualFailures, Watch, work_of
from nas.workers.pool import Pool

_POLL_SECONDS = 1.0


def run_all(pool: Pool, tasks: Sequence[Task]) -> Iterator[tuple[Task, Outcome, float]]:
    """Evaluate tasks, and yield each as it ends, with its outcome and the seconds since it was submitted.

    One that fails ends only itself; one that hangs is ended as failed (`Watch`).

    Args:
        pool: where they are evaluated; nothing else runs in it, and it stays open.
        tasks: with different numbers, in the order in which they begin.

    Raises:
        EvaluationError: tasks of several networks in a row have failed alike, so that no other is tried.
    """
    left, running = list(tasks), dict[int, tuple[Task, float]]()
    watch, failures = Watch(pool), EqualFailures()
    while left or running:
        while left and pool.free:
            task = left.pop(0)
            running[task.number] = task, time.monotonic()
            watch.began(task.number, work_of(cost_of(task.architecture), task.budget))
            pool.submit(task)
        for outcome in (*pool.wait(_POLL_SECONDS), *watch.late()):
            watch.ended(outcome)
            task, began = running.pop(outcome.number)
            yield task, outcome, time.monotonic() - began
            failures.count(outcome, task.architecture.arch_id)
