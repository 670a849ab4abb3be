"""Following a training run: a row of metrics an epoch, its seeds, and its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as pl
import torch

from nas.seeds import derived_seed
from nas.training.task import Classification

Tell = Callable[[Mapping[str, float]], bool]
"""Is told the row of an epoch; says whether training is to end."""


class FollowEpochs(pl.Callback):
    """Keeps a row of metrics an epoch, tells of it, and ends training when it is told to or the budget is spent.

    With several processes the first one tells, and all of them do what it hears, so that none waits for another that
    has ended. Its rows are part of a checkpoint.
    """

    def __init__(self, tell: Tell, *, until: int, seed: int) -> None:
        """Follow a run.

        Args:
            tell: called after each epoch, in the process of rank 0 only.
            until: epochs after which training ends, whatever it hears.
            seed: of what is random inside an epoch, such as dropout: an epoch is the same whether training began
                before it in this process or in another.
        """
        self.rows: list[dict[str, float]] = []
        self._tell, self._until, self._seed = tell, until, seed

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        torch.manual_seed(derived_seed(self._seed, trainer.current_epoch, trainer.global_rank, num_bytes=7))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # After the epoch's validation.
        assert isinstance(pl_module, Classification)
        row = pl_module.epoch_row()
        self.rows.append(row)
        ends = len(self.rows) >= self._until
        if trainer.is_global_zero:
            ends = self._tell(row) or ends
        if trainer.strategy.broadcast(ends):
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])
