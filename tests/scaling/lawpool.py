"""Scaling studies without training: a pool that says what a law says."""

from __future__ import annotations

from math import log
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import nas
from nas.commands.scale import scale_command
from nas.workers.processes import Outcome, Task

SMALL = {
    "name": "small",
    "assume": {"channels": 1, "resolution": 8, "num_classes": 10},
    "stem": {"block": "conv", "out_channels": 16},
    "stages": [
        {"block": "mbconv", "out_channels": 16, "expand_ratio": 2, "depth": 2},
        {"block": "mbconv", "out_channels": 24, "expand_ratio": 4, "stride": 2, "depth": 2},
    ],
    "head": {"block": "classifier", "dropout": 0.1},
}


class LawPool:
    """Says what a law says, with noise, in place of training."""

    noise = 0.01
    best_lr = 3e-3
    images = 1000
    tasks: ClassVar[list[Task]] = []
    fail: ClassVar[set[int]] = set()
    """Counts of multiply-adds whose runs fail."""

    def __init__(self, evaluator: Any, workers: int, log: Path) -> None:
        self._evaluator, self._tasks = evaluator, list[Task]()
        self.free = 1

    def submit(self, task: Task) -> None:
        self._tasks.append(task)
        if task.budget.epochs != 1:  # which only shows how long an epoch takes
            LawPool.tasks.append(task)
        self.free = 0

    def wait(self, timeout: float | None) -> list[Outcome]:
        self.free = 1
        return [self._outcome(task) for task in [self._tasks.pop()]]

    def _outcome(self, task: Task) -> Outcome:
        macs = nas.cost_of(task.architecture).macs
        if macs in LawPool.fail:
            return Outcome(task.number, None, "TrainingError: the loss is not a number")
        recipe = task.evaluator.recipe  # type: ignore[union-attr]
        error = self.law(macs) * (1 + 0.2 * log(recipe.lr / self.best_lr) ** 2)
        error *= 2.718281828 ** (self.noise * Random(task.seed).gauss(0, 1))
        return Outcome(task.number, nas.Evaluation({"val_accuracy": 1 - error, "val_loss": 3 * error}))

    @staticmethod
    def law(macs: float) -> float:
        """Error by multiply-adds."""
        return float(0.05 + 100 * macs**-0.5)

    def running(self) -> dict[int, float]:
        return {}

    def end(self, number: int) -> None:
        """Nothing takes long."""

    def describe(self) -> dict[str, int]:
        return {"train_images": self.images, "val_images": 500}

    def close(self) -> None:
        """Nothing to end."""


def run(folder_of: Path, **settings: Any) -> int:
    """`python -m nas.scale` with some settings."""
    records = {"dir": str(folder_of.parent / "runs"), "mlflow": False}
    usual = {"base": str(folder_of), "records": records, "name": "study", "workers": 1, "latency": False}
    return scale_command({**usual, **settings})


def folder(base: Path) -> Path:
    return base.parent / "runs" / "study"
