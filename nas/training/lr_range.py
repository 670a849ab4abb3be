"""The learning-rate range test: how the training loss answers to a rate that grows with every step.

Smith 2017, "Cyclical learning rates for training neural networks", section 3.3, with rates that grow by a factor and
not by an amount, and a stop where the loss diverges.

Lightning has such a test, `lr_find`. It is not used: it gives all parameters one rate, where ours may differ by depth
(`transfer.lr_decay`), divides losses by `accumulate`, and runs the validation at the end of an epoch.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from math import ceil, isfinite
from typing import Any

import pytorch_lightning as pl

from nas.errors import ConfigError, TrainingError
from nas.network.architecture import Architecture
from nas.training.data.splits import ImageData
from nas.training.deterministic import deterministic
from nas.training.fit import beginning, learner, trainer_of, with_drop_path
from nas.training.memory import training_memory
from nas.training.recipe import Recipe
from nas.training.task import ImageModule, TaskModule
from nas.training.transfer.parts import Freezing
from nas.training.transfer.settings import SCRATCH, Transfer

_KEPT = 0.9
"""Of the smoothed loss, from one step to the next."""
_AROUND = 9
"""Steps before and behind a step that say how fast the loss falls there."""
_DIVERGED = 4.0
"""Times the lowest smoothed loss: above that, and above where it began, the loss has diverged."""
_FALLEN = 0.95
"""Of the first smoothed loss: one that has not fallen below it has not fallen."""
_LEAST_STEPS = 3 * _AROUND


@dataclass(frozen=True, slots=True)
class RangeTest:
    """What a range test found."""

    rates: tuple[float, ...]
    """Of each step, rising."""
    losses: tuple[float, ...]
    """Of the batch of each step, before it; of several where gradients are added up over them. The last one may be no
    number."""
    smoothed: tuple[float, ...]
    """See `smoothed_losses`; of the steps whose loss is a number."""
    diverged_at: float | None
    """The rate at which the loss was far above its lowest value and above the first, or no number; None: at none."""
    lowest_at: float | None
    """The rate at which the smoothed loss is lowest."""
    suggested: float | None
    """The rate around which the loss falls fastest, up to the lowest one."""
    problem: str = ""
    """Why no rate is suggested."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def sweep(low: float, high: float, steps: int) -> list[float]:
    """Return rates from `low` to `high`, each the same factor above the one before."""
    return [low * (high / low) ** (step / (steps - 1)) for step in range(steps)]


def smoothed_losses(losses: Sequence[float]) -> list[float]:
    """Return the exponential moving averages of losses, without the bias towards 0 of the first ones.

    The correction is that of Kingma & Ba 2015, "Adam", section 3. Losses are finite.
    """
    found, average = [], 0.0
    for step, loss in enumerate(losses, start=1):
        average = _KEPT * average + (1 - _KEPT) * loss
        found.append(average / (1 - _KEPT**step))
    return found


def range_test_of(rates: Sequence[float], losses: Sequence[float]) -> RangeTest:
    """Return what rates and the losses at them say.

    How fast the loss falls at a step is the slope of the straight line that is fitted to the losses around it by least
    squares. The smoothed loss would say it late, since it looks back.

    Args:
        rates: of each step, rising by a factor.
        losses: of each step; the last may be no number.
    """
    numbers = [loss for loss in losses if isfinite(loss)]
    smooth = smoothed_losses(numbers)
    gone = len(numbers) < len(losses) or (bool(smooth) and smooth[-1] > max(smooth[0], _DIVERGED * min(smooth)))
    diverged_at = rates[len(losses) - 1] if gone else None
    lowest = min(range(len(smooth)), key=smooth.__getitem__, default=0)
    found = RangeTest(
        tuple(rates[: len(losses)]), tuple(losses), tuple(smooth), diverged_at, rates[lowest] if smooth else None, None
    )
    # Behind the lowest loss nothing falls for good.
    slopes = {
        step: sum((other - step) * numbers[other] for other in range(step - _AROUND, step + _AROUND + 1))
        for step in range(_AROUND, min(lowest + 1, len(numbers) - _AROUND))
    }
    if not slopes or smooth[lowest] > _FALLEN * smooth[0]:
        return replace(found, problem=_problem(found))
    return replace(found, suggested=rates[min(slopes, key=slopes.__getitem__)])


def _problem(found: RangeTest) -> str:
    if found.diverged_at is not None and len(found.losses) < _LEAST_STEPS:
        return f"the loss diverged after {len(found.losses)} steps: begin with a lower rate"
    if found.diverged_at is not None:
        return "the loss rose before it had fallen: take more steps, or begin with a lower rate"
    return "the loss did not fall: take more steps, or go up to a higher rate"


def lr_range_test(
    architecture: Architecture,
    data: ImageData,
    recipe: Recipe,
    *,
    low: float,
    high: float,
    steps: int,
    seed: int,
    augment: str = "none",
    balance: str = "none",
    accelerator: str = "auto",
    transfer: Transfer = SCRATCH,
    say: Callable[[int, float, float], object] = lambda step, rate, loss: None,
) -> RangeTest:
    """Train a network for some steps with a learning rate that grows by a factor, and look at the training loss.

    Nothing is kept of the network, and the validation split is not read.

    Args:
        architecture: the network.
        data: the data set, without its test split.
        recipe: settings of training; `lr` and what belongs to its schedule do not count, nor do stages and averages.
        low: learning rate of the first step.
        high: of the last one.
        steps: at most; there are fewer where the loss diverges.
        seed: of weights, order and augmentation.
        augment: none, shift, shift_flip.
        balance: none, weights, sampler.
        accelerator: as Lightning takes it.
        transfer: other weights that it begins with.
        say: told step, rate and loss after each step.

    Raises:
        ConfigError: rates or steps that are no sweep, or a style of transfer that does not train the whole network.
        DataError: the data do not fit the architecture.
    """
    if not 0 < low < high:
        raise ConfigError(f"a range test needs `0 < low < high`, but got low={low:g}, high={high:g}")
    if steps < _LEAST_STEPS:
        raise ConfigError(f"a range test needs {_LEAST_STEPS} steps at least, but got {steps}")
    if transfer.style != SCRATCH.style:
        raise ConfigError(f"a range test is of the whole network: transfer.style={transfer.style} trains parts of it")
    data.check_fits(architecture)
    data.task.check_training(cutmix=recipe.cutmix, balance=balance)
    pl.seed_everything(seed, verbose=False)
    recipe = replace(recipe, progressive_stages=1)
    built = with_drop_path(architecture, recipe.drop_path)
    network, data, _ = beginning(built, data, recipe, transfer, None)
    module = ImageModule(data, recipe, architecture.input_shape, augment=augment, balance=balance, seed=seed)
    task, _ = learner(network, module, transfer, training_memory(built, recipe).blocks)
    growing = _Growing(sweep(low, high, steps), recipe, say)
    kept = [] if transfer == SCRATCH else [Freezing(transfer, task.network)]
    epochs = ceil(steps * recipe.accumulate / len(module.train_dataloader())) + 1
    with warnings.catch_warnings(), deterministic(recipe.deterministic):
        warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric")  # as in `fit`
        trainer = trainer_of(recipe, epochs, [*kept, growing], accelerator, validation_batches=0)
        growing.train(trainer, task, module)
    return range_test_of(growing.rates, growing.losses)


class _Growing(pl.Callback):
    """Sets the learning rate of each step, keeps its loss, and ends training where the loss diverges."""

    def __init__(self, rates: Sequence[float], recipe: Recipe, say: Callable[[int, float, float], object]) -> None:
        self.rates = rates
        self.losses: list[float] = []
        """Of each step, the mean over its batches."""
        self._recipe, self._say = recipe, say
        self._batches: list[float] = []
        """Losses of the batches of this step."""

    def train(self, trainer: pl.Trainer, task: TaskModule, images: ImageModule) -> None:
        """Train until the end of the rates, or until the loss diverges, which is no error."""
        try:
            trainer.fit(task, datamodule=images)
        except TrainingError:  # the loss is no number, where it was looked at
            self.losses.append(float("nan"))

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set the rate of the step, with the factors that parts of the network have: behind what the schedule sets."""
        rate = self.rates[min(len(self.losses), len(self.rates) - 1)]
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = rate * group["initial_lr"] / self._recipe.lr

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the loss, and end training where it has diverged or no rate is left."""
        self._batches.append(float(outputs["loss"]) * trainer.accumulate_grad_batches)
        if trainer.global_step == len(self.losses):  # gradients are added up
            return
        self.losses.append(sum(self._batches) / len(self._batches))
        self._batches = []
        self._say(len(self.losses), self.rates[len(self.losses) - 1], self.losses[-1])
        ended = len(self.losses) == len(self.rates) or range_test_of(self.rates, self.losses).diverged_at is not None
        trainer.should_stop = trainer.should_stop or ended
