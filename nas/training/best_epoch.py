"""Early stopping: training ends where the validation score has not become better, and the best epoch is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from nas.training.task import TaskModule
from nas.training.tasks.task import Task


def best_row(history: Sequence[Mapping[str, float]], task: Task) -> Mapping[str, float]:
    """Return the metrics of the epoch with the best main score on the validation split; of equals those of the first.

    Args:
        history: metrics of each epoch, see `TaskModule.epoch_metrics`; of one at least.
        task: whose main score counts.
    """
    score = task.score(task.default)
    return max(history, key=lambda row: score.sign * row[score.on_val])


class BestEpoch(pl.Callback):
    """Keeps the network of the best epoch, and ends training after some epochs that are no better (Prechelt 1998).

    It keeps what was validated, so it has to stand behind `WeightAverage` and `FreshStatistics`. It is part of a
    checkpoint, so that a training that goes on ends where one that never stopped does.
    """

    def __init__(self, patience: int) -> None:
        """Take the epochs without a better score after which training ends."""
        self._patience, self._stale = patience, 0
        self._best: float | None = None
        """The best score, times its sign, so that larger is better."""
        self._state: dict[str, Tensor] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """End a training at once that has ended before."""
        self._end(trainer)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the network as it was validated, where its score is the best."""
        assert isinstance(pl_module, TaskModule)
        score = pl_module.task.score(pl_module.task.default)
        reached = score.sign * pl_module.epoch_metrics()[score.on_val]
        if self._best is not None and reached <= self._best:
            self._stale += 1
            return
        self._best, self._stale = reached, 0
        self._state = {name: value.detach().clone() for name, value in pl_module.network.state_dict().items()}

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """End training where it has become no better for long."""
        self._end(trainer)

    def _end(self, trainer: pl.Trainer) -> None:
        if self._stale >= self._patience:
            trainer.should_stop = True

    def restore(self, pl_module: pl.LightningModule) -> None:
        """Put the network of the best epoch in the place of that of the last one."""
        assert isinstance(pl_module, TaskModule)
        pl_module.network.load_state_dict(self._state)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of it."""
        return {"stale": self._stale, "best": self._best, "state": dict(self._state)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self._stale, self._best, self._state = state_dict["stale"], state_dict["best"], dict(state_dict["state"])
