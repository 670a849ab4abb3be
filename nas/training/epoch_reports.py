"""What a training run reports of each epoch, and how a listener ends it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as pl
import torch

from nas.seeds import derived_seed
from nas.training.task import TaskModule

EpochListener = Callable[[Mapping[str, float]], bool]
"""Takes the metrics of an epoch by name; returns whether training is to end."""


class EpochReporter(pl.Callback):
    """Keeps and reports the metrics of each epoch; ends training when the listener says so or the budget is spent.

    Where several processes train together only that of rank 0 reports, and all of them do what its listener says, so
    that none waits for another that has ended. The metrics are part of a checkpoint.
    """

    def __init__(self, listener: EpochListener, *, last_epoch: int, seed: int) -> None:
        """Make a callback for one run.

        Args:
            listener: called after each epoch, in the process of rank 0 only.
            last_epoch: epochs after which training ends, whatever the listener says.
            seed: of what is random inside an epoch, such as dropout: an epoch is the same whether training began
                before it in this process or in another.
        """
        self.history: list[dict[str, float]] = []
        """The metrics of each epoch, see `TaskModule.epoch_metrics`."""
        self._listener, self._last_epoch, self._seed = listener, last_epoch, seed

    @property
    def state_key(self) -> str:
        """The key of its state in a checkpoint: the name that the class had when the first ones were written."""
        return "FollowEpochs"

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Seed what is random inside the epoch."""
        torch.manual_seed(derived_seed(self._seed, trainer.current_epoch, trainer.global_rank, num_bytes=7))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report the epoch, whose validation is over by then."""
        assert isinstance(pl_module, TaskModule)
        metrics = pl_module.epoch_metrics()
        self.history.append(metrics)
        # For callbacks and the logger of the user's own, who look for them here.
        trainer.callback_metrics.update({name: torch.tensor(one, dtype=torch.float64) for name, one in metrics.items()})
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=trainer.current_epoch)
        ends = len(self.history) >= self._last_epoch
        if trainer.is_global_zero:
            ends = self._listener(metrics) or ends
        if trainer.strategy.broadcast(ends):
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of it."""
        return {"rows": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.history = list(state_dict["rows"])
