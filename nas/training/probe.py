"""How long a training takes, from a short piece of one: its start, some steps, and a look at the validation split."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pytorch_lightning as pl
import torch

from nas.network.architecture import Architecture
from nas.training.batch_norm import FreshStatistics
from nas.training.data.splits import ImageData
from nas.training.deterministic import deterministic
from nas.training.ema import WeightAverage
from nas.training.fit import beginning, learner, trainer_of, with_drop_path
from nas.training.memory import training_memory
from nas.training.recipe import Recipe
from nas.training.task import ImageModule
from nas.training.transfer.settings import SCRATCH

_WARM_UP = 2
"""Steps that are not timed: in the first ones memory and kernels are made ready."""
_LEAST_STEPS = 3
"""Steps that are timed, however long they take."""
_VALIDATION_BATCHES = 3
"""The first one is not timed, likewise."""


@dataclass(frozen=True, slots=True)
class TrainingTimes:
    """Seconds of the parts of a training, with the whole training split at the full resolution."""

    start_up: float
    """Of what is done once, such as building the network."""
    train_epoch: float
    """Of the training steps of an epoch, making their batches included."""
    validation: float
    """Of the validation behind an epoch, the statistics of batch normalisation included."""


def training_times(
    architecture: Architecture,
    data: ImageData,
    recipe: Recipe,
    *,
    seed: int,
    augment: str = "none",
    balance: str = "none",
    accelerator: str = "auto",
    seconds: float,
) -> TrainingTimes:
    """Train a network for a short time, and return how long the parts of a training take.

    Args:
        architecture: the network.
        data: the data set, without its test split.
        recipe: settings of training.
        seed: of weights, order and augmentation.
        augment: none, shift, shift_flip.
        balance: none, weights, sampler.
        accelerator: as Lightning takes it.
        seconds: of training steps; there are 5 at least, and an epoch at most.

    Raises:
        TrainingError: the loss is not a number. DataError: the data do not fit the architecture. ConfigError: a limit
            of memory cannot be held.
    """
    began = time.perf_counter()
    recipe = replace(recipe, progressive_stages=1)  # the last stage takes longest
    data.check_fits(architecture)
    data.task.check_training(cutmix=recipe.cutmix, balance=balance)
    pl.seed_everything(seed, verbose=False)
    built = with_drop_path(architecture, recipe.drop_path)
    network, data, _ = beginning(built, data, recipe, SCRATCH, None)
    module = ImageModule(data, recipe, architecture.input_shape, augment=augment, balance=balance, seed=seed)
    task, _ = learner(network, module, SCRATCH, training_memory(built, recipe).blocks)
    clock = _Clock(seconds)
    average = [WeightAverage(recipe.ema, recipe.accumulate)] if recipe.ema else []
    with warnings.catch_warnings(), deterministic(recipe.deterministic):
        warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric")  # as in `fit`
        callbacks = [*average, FreshStatistics(), clock]
        trainer = trainer_of(recipe, recipe.epochs, callbacks, accelerator, validation_batches=_VALIDATION_BATCHES)
        trainer.fit(task, datamodule=module)
    return clock.times(time.perf_counter() - began, len(module.train_dataloader()), len(module.val_dataloader()))


class _Clock(pl.Callback):
    """Notes when steps and batches of validation end, and ends training when its time is over."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._steps: list[float] = []
        """When the epoch began, and when each step ended."""
        self._batches: list[float] = []
        """When the batches of validation began, and when each of them ended."""

    def times(self, whole: float, steps: int, batches: int) -> TrainingTimes:
        """Return the times of a training.

        Args:
            whole: seconds of this one.
            steps: of an epoch.
            batches: of a validation.
        """
        step, batch = _mean_time(self._steps, _WARM_UP), _mean_time(self._batches, 1)
        statistics = self._batches[0] - self._steps[-1]
        once = whole - step * (len(self._steps) - 1) - statistics - batch * (len(self._batches) - 1)
        return TrainingTimes(max(0.0, once), step * steps, statistics + batch * batches)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._steps = [time.perf_counter()]

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note the end of a step."""
        done = len(self._steps)
        ends = done == trainer.num_training_batches or (
            done >= _WARM_UP + _LEAST_STEPS and time.perf_counter() - self._steps[0] >= self._seconds
        )
        if ends or done == _WARM_UP:
            _wait_for(pl_module.device)  # not after every step, which in a training nobody waits for
        self._steps.append(time.perf_counter())
        trainer.should_stop = trainer.should_stop or ends

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note that the statistics of batch normalisation are there: it is called behind what computes them."""
        _wait_for(pl_module.device)
        self._batches = [time.perf_counter()]

    def on_validation_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Note the end of a batch."""
        _wait_for(pl_module.device)
        self._batches.append(time.perf_counter())


def _wait_for(device: torch.device) -> None:
    """Wait until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _mean_time(marks: Sequence[float], warm_up: int) -> float:
    """Return the mean time between marks, without the first ones where there are others."""
    times = [after - before for before, after in pairwise(marks)]
    times = times[warm_up:] or times
    return sum(times) / len(times)
