"""Tasks by name. One more is a file here, and a row below. Loads neither torch nor NumPy by itself."""

from __future__ import annotations

from collections.abc import Mapping

from nas.errors import DataError, nearest
from nas.training.tasks.classification import CLASSIFICATION
from nas.training.tasks.multilabel import MULTILABEL
from nas.training.tasks.regression import REGRESSION
from nas.training.tasks.segmentation import SEGMENTATION
from nas.training.tasks.task import Score, Task

DEFAULT: Task = CLASSIFICATION
"""That of data, records and files that name none."""
TASKS: Mapping[str, Task] = {task.name: task for task in (CLASSIFICATION, MULTILABEL, REGRESSION, SEGMENTATION)}

OBJECTIVE = DEFAULT.objective
"""What a search is for where neither it nor its evaluator says anything."""
AUTO = "auto"
"""In place of the name of a score: that of the task, or of the evaluator."""


def without_auto(wanted: str | list[str], default: str) -> str | list[str]:
    """Return objectives with a name in the place of `AUTO`."""
    if isinstance(wanted, list):
        return [default if name == AUTO else name for name in wanted]
    return default if wanted == AUTO else wanted


def task_named(name: object) -> Task:
    """Return a task by the name that a record or a file has; raises `DataError` for another."""
    if not isinstance(name, str) or name not in TASKS:
        raise DataError(f"unknown task {name!r:.80}. {nearest(str(name), TASKS)}")
    return TASKS[name]


def task_of(described: Mapping[str, object]) -> Task:
    """Return the task of data, as their record (`ImageData.record`) says; raises `DataError` for an unknown one."""
    return task_named(described.get("task", DEFAULT.name))


def score_named(name: object) -> Score:
    """Return a score of any task by its name without a split; raises `DataError` for another."""
    known = {score.name: score for task in TASKS.values() for score in task.scores}
    if not isinstance(name, str) or name not in known:
        raise DataError(f"unknown score {name!r:.80}. {nearest(str(name), known)}")
    return known[name]


def known_score(name: str) -> Score | None:
    """Return the score of any task by its name, with that of a split before it; None where no task has it."""
    for task in TASKS.values():
        if name.startswith(("val_", "test_")) and name.partition("_")[2] in {score.name for score in task.scores}:
            return task.score(name)
    return None
