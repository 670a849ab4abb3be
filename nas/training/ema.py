"""A moving average of the weights, which is validated and kept in place of those of the last step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from nas.training.task import TaskModule


def decay_at(step: int, decay: float) -> float:
    """Return the decay at a step, from 1: step / (step + 9) as long as that is less.

    So the average soon forgets the random weights that it begins with (TensorFlow's `ExponentialMovingAverage` with
    `num_updates`; Tan & Le 2019, "EfficientNet", trained with it).
    """
    return min(decay, step / (step + 9))


class WeightAverage(pl.Callback):
    """Averages the parameters after each step, and puts the average in their place in each validation.

    It has to stand before `FreshStatistics`, which then computes the statistics of batch normalisation for the average.
    The average is part of a checkpoint.
    """

    def __init__(self, decay: float, batches: int = 1) -> None:
        """Take the decay a step, and the batches that a step is made of; the last one of an epoch may be of fewer."""
        self._decay, self._batches, self._steps = decay, batches, 0
        self._averages: dict[str, Tensor] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin with the weights as they are, or go on with the average of a checkpoint."""
        for name, parameter in _parameters(pl_module).items():
            known = self._averages.get(name, parameter)
            self._averages[name] = known.detach().to(parameter.device, copy=True)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take the weights after a step into the average."""
        done = batch_idx + 1
        if done % self._batches and done < trainer.num_training_batches:
            return
        self._steps += 1
        parameters = _parameters(pl_module)
        update = get_ema_multi_avg_fn(decay_at(self._steps, self._decay))
        update([self._averages[name] for name in parameters], [*parameters.values()], self._steps)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the average in the place of the weights."""
        self.swap(pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the weights back."""
        self.swap(pl_module)

    def swap(self, pl_module: pl.LightningModule) -> None:
        """Exchange the average and the weights; doing it again takes that back."""
        with torch.no_grad():
            for name, parameter in _parameters(pl_module).items():
                kept = parameter.clone()
                parameter.copy_(self._averages[name])
                self._averages[name].copy_(kept)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of it."""
        return {"steps": self._steps, "averages": dict(self._averages)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self._steps, self._averages = state_dict["steps"], dict(state_dict["averages"])


def _parameters(pl_module: pl.LightningModule) -> Mapping[str, torch.nn.Parameter]:
    assert isinstance(pl_module, TaskModule)
    return dict(pl_module.network.named_parameters())
