"""The record of a search and a pool that gives scores by a rule, for tests of the whole of `nas finish`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

import nas
from nas.commands.finish import finish_command
from nas.errors import TrainingError
from nas.evaluation import Budget
from nas.finishing.bench import Job
from nas.finishing.folder import MODEL
from nas.finishing.report import Report
from nas.training.data.config import DataConfig
from nas.workers.evaluating import Task
from nas.workers.in_process import InThisProcess

SPACE: dict[str, Any] = {
    "name": "tiny",
    "assume": {"channels": 1, "resolution": 28, "num_classes": 10},
    "stem": {"block": "conv", "out_channels": {"choose": [4, 8, 12]}, "stride": 2},
    "stages": [{"block": "residual_basic", "out_channels": {"choose": [8, 12, 16, 24]}, "stride": 2}],
    "head": {"block": "classifier"},
}
STUB_WEIGHTS = save({"stub": np.zeros(1, np.float32)})
"""A whole safetensors file, which names no network."""
DATA = {"name": "digits", "input_shape": [1, 28, 28], "num_classes": 10, "split_fingerprint": "f", "test_images": 360}


class StubPool(InThisProcess):
    """One worker on a clock of its own, for which every evaluation takes a second."""

    clock = 0.0
    tasks: list[Task | Job]
    better = 0.0
    """By how much published networks are better than those of the space."""
    dies_after = 10**9
    shift = 0.0
    """Of all scores, as on another machine."""
    fails: Callable[[nas.Architecture, int], str] = staticmethod(lambda architecture, seed: "")
    """Says why a training fails, or nothing."""

    def __init__(self, evaluator: Any, count: int, **_: Any) -> None:
        super().__init__(evaluator, "val_accuracy")

    def describe(self) -> Mapping[str, Any]:
        return DATA

    def now(self) -> float:
        return StubPool.clock

    def submit(self, task: Task) -> None:
        if len(StubPool.tasks) >= StubPool.dies_after:
            raise KeyboardInterrupt
        StubPool.tasks.append(task)
        StubPool.clock += 1
        super().submit(replace(task, evaluator=partial(self._score, task.evaluator)))

    @staticmethod
    def _score(evaluator: object, architecture: nas.Architecture, budget: Budget, seed: int) -> dict[str, float]:
        if why := StubPool.fails(architecture, seed):
            raise RuntimeError(why) if why != "nan" else TrainingError("the loss is nan")
        if budget.weights is not None:
            Path(budget.weights).write_bytes(STUB_WEIGHTS)
        return {"val_accuracy": _true_score(architecture, seed), "val_loss": 1.0}


def _true_score(architecture: nas.Architecture, seed: int) -> float:
    own = architecture.stages[0].blocks[0].kind == "residual_basic" and len(architecture.stages) == 1
    return (
        0.8
        + StubPool.shift
        + nas.cost_of(architecture).params / 1e7
        + (seed % 100) / 1e4
        + (0.0 if own else StubPool.better)
    )


@dataclass
class StubTester:
    """Gives a point less on the test split than there was on validation."""

    data: DataConfig
    run: Path
    accelerator: str

    def __call__(self, job: Job, weights: Path) -> dict[str, float]:
        if len(StubPool.tasks) >= StubPool.dies_after:
            raise KeyboardInterrupt
        assert weights.read_bytes() == STUB_WEIGHTS
        StubPool.tasks.append(job)
        return {"test_accuracy": _true_score(job.architecture, job.seed) - 0.01, "test_loss": 1.0}


def write_weights_name(report: Report, weights: Path) -> Path:
    """Write the name of the weights that would ship."""
    final = report.finish.finals[report.finish.recommended]
    path = report.folder / MODEL
    path.write_text(f"{final.shipped.key}.safetensors")
    assert (weights / path.read_text()).is_file()
    return path


def finish(folder: Path, **finish: Any) -> int:
    return finish_command({"run": str(folder), "workers": 1, "mlflow": False, "finish": finish})


def report_of(folder: Path) -> dict[str, Any]:
    report = json.loads((folder / "finish" / "report.json").read_text())
    assert isinstance(report, dict)
    return report
