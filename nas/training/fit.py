"""One training run with Lightning."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning.loggers import Logger

from nas.errors import ConfigError, TrainingError, reason_of
from nas.evaluation import Budget, Evaluation, InheritedWeights, report
from nas.network.architecture import Architecture
from nas.own_code import telling_place
from nas.pytorch import build
from nas.pytorch.checkpointing import CheckpointedNetwork
from nas.scaling.scale import DROP_PATH, scaled
from nas.training.batch_norm import FreshStatistics
from nas.training.best_epoch import BestEpoch, best_row
from nas.training.data.load import load_data
from nas.training.data.splits import ImageData
from nas.training.deterministic import deterministic
from nas.training.ema import WeightAverage
from nas.training.epoch_reports import EpochListener, EpochReporter
from nas.training.inheritance.from_file import inherit_from
from nas.training.int8 import int8_scores
from nas.training.memory import training_memory
from nas.training.own_training import own_callbacks, own_logger
from nas.training.progressive import check_stages
from nas.training.recipe import Recipe
from nas.training.task import ImageModule, TaskModule
from nas.training.teacher import teacher_of
from nas.training.transfer.features import last_layer_alone, of_unchanged_images
from nas.training.transfer.parts import Freezing
from nas.training.transfer.settings import SCRATCH, Transfer
from nas.training.transfer.start import start
from nas.training.weights import Network, save_weights, weights_metadata

__all__ = ["fit", "load_data"]

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
_LOG = logging.getLogger(__name__)

_CHECKPOINT_KEYS = {"state_dict", "optimizer_states", "lr_schedulers", "loops", "callbacks", "epoch", "global_step"}
"""Entries of a checkpoint that training needs to continue."""


def fit(
    architecture: Architecture,
    data: ImageData,
    recipe: Recipe,
    budget: Budget | None = None,
    *,
    seed: int,
    augment: str = "none",
    balance: str = "none",
    accelerator: str = "auto",
    devices: int = 1,
    transfer: Transfer = SCRATCH,
    after_epoch: Callable[[Mapping[str, float]], object] | None = None,
    hear: EpochListener | None = None,
) -> Evaluation:
    """Build and train a network from a seed, and score it on the validation split after every epoch.

    Args:
        architecture: the network to build.
        data: the data set, without its test split.
        recipe: settings of training.
        budget: epochs, shares of data and resolution, checkpoint to continue from, weights to begin with, and where
            weights and the network in 8 bits go. A run that continues gives the numbers of one that never stopped.
        seed: of weights, order and augmentation.
        augment: none, shift, shift_flip.
        balance: none, weights, sampler: what is done for classes of uneven size.
        accelerator: as Lightning takes it.
        devices: processes that train together, each with its share of every batch, of which this one is one:
            `nas.training.together` starts them. Each returns the same; that of rank 0 writes files.
        transfer: other weights that it begins with, and what of the network learns when.
        after_epoch: hears the metrics of each epoch. With it, as with `Budget.keep_each_epoch`, the checkpoint is
            written after every epoch, not only at the end, so that a run that is killed goes on from the last one.
        hear: hears the metrics of each epoch, too, in the process of rank 0, and says whether training ends; by default
            it is whoever listens to `report`.

    Returns:
        The scores `Task.val_scores` of the last epoch, with `int8_accuracy` where the budget asks for 8
        bits; the metrics of each epoch, and the seconds of the training steps, of 8 bits, and of everything.

    Raises:
        TrainingError: the loss is not a number, code of the user's own has failed, with its line, or an operation has
            no deterministic algorithm where one is asked for.
        DataError: the data do not fit the architecture.
        ShapeError: the network does not take images of such a share of its resolution.
        ConfigError: the recipe has what means nothing for the task, a limit of memory that cannot be held, or stages
            that the network does not take.
    """
    started = time.perf_counter()
    budget = budget or Budget()
    epochs = budget.epochs or recipe.epochs
    architecture = _at_resolution(architecture, budget.resolution_fraction)
    data.check_fits(architecture)
    data.task.check_training(cutmix=recipe.cutmix, balance=balance)
    pl.seed_everything(seed, verbose=False)
    checkpoint = _usable(budget.checkpoint)
    parent = budget.inherit if checkpoint is None else None
    built = with_drop_path(architecture, recipe.drop_path)
    check_stages(built, recipe)
    memory = training_memory(built, recipe)
    network, data, inherited = beginning(built, data, recipe, transfer, parent)

    def listener(metrics: Mapping[str, float]) -> bool:
        if after_epoch is not None:
            after_epoch(metrics)
        if hear is not None:
            return hear(metrics)
        return report(int(metrics["epoch"]), {name: metrics[name] for name in data.task.val_scores})

    shape, part = architecture.input_shape, budget.data_fraction
    module = ImageModule(data, recipe, shape, augment=augment, balance=balance, seed=seed, fraction=part)
    task, images = learner(network, module, transfer, memory.blocks)
    logger = own_logger(recipe, arch_id=architecture.arch_id, seed=seed)
    with warnings.catch_warnings(), deterministic(recipe.deterministic), telling_place(TrainingError):
        # Lightning advises DataLoader workers; batches are made in this process on purpose.
        warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric")
        reporter = EpochReporter(listener, last_epoch=epochs, seed=seed)
        kept = _Kept.by(recipe)
        callbacks = [*kept.averaging, *_statistics(task), *kept.choosing, reporter, *own_callbacks(recipe)]
        each = after_epoch is not None or budget.keep_each_epoch
        if each and budget.checkpoint is not None:
            callbacks.append(_CheckpointEachEpoch(budget.checkpoint))
        trainer = trainer_of(recipe, budget.schedule_epochs or epochs, callbacks, accelerator, devices, logger=logger)
        trainer.fit(task, datamodule=images, ckpt_path=checkpoint, weights_only=True)
    history = reporter.history  # with the epochs before the checkpoint
    if budget.checkpoint is not None:
        _save_checkpoint(trainer, budget.checkpoint)
    kept.put_into(task)
    if budget.weights is not None and trainer.is_global_zero:
        save_weights(Path(budget.weights), network, weights_metadata(architecture, data))
    row = best_row(history, data.task) if kept.choosing else history[-1]
    # A checkpoint of before may be of a last epoch that has not all of them.
    scores = {name: row[name] for name in data.task.val_scores if name in row}
    seconds = {"train_steps": task.step_seconds}
    missing: Mapping[str, str] = {}
    if budget.int8 is not None and trainer.is_global_zero:
        began = time.perf_counter()
        in_8_bits, missing = int8_scores(network, architecture, data, Path(budget.int8))
        scores |= in_8_bits
        seconds["int8"] = time.perf_counter() - began
    seconds["evaluation"] = time.perf_counter() - started
    return Evaluation(scores, tuple(history), seconds, missing, inherited)


def beginning(
    built: Architecture, data: ImageData, recipe: Recipe, transfer: Transfer, parent: str | None
) -> tuple[Network, ImageData, InheritedWeights | None]:
    """Return a network with the weights that its training begins with.

    Args:
        built: the network, with drop path.
        data: that it learns.
        recipe: how residual branches begin.
        transfer: other weights that it begins with.
        parent: file of weights that it takes over what it can from, or None.

    Returns:
        The network; the data with the mean and deviation that go with the weights; and what was taken over from the
        parent.
    """
    network = build(built, zero_init_last=recipe.zero_init_last)
    data, _ = start(transfer, network, built, data)
    inherited = inherit_from(Path(parent), network, built) if parent is not None else None
    return channels_last(network), data, inherited


@dataclass(frozen=True)
class _Kept:
    """The callbacks that say which weights a training leaves, by their place among the others: what was scored."""

    averaging: tuple[WeightAverage, ...]
    """Before the statistics of batch normalisation are computed."""
    choosing: tuple[BestEpoch, ...]
    """Behind that."""

    @classmethod
    def by(cls, recipe: Recipe) -> _Kept:
        averaging = (WeightAverage(recipe.ema, recipe.accumulate),) if recipe.ema else ()
        return cls(averaging, (BestEpoch(recipe.patience),) if recipe.patience else ())

    def put_into(self, task: TaskModule) -> None:
        """Put what is kept into the network: the best epoch, or the average, or what is there."""
        for best in self.choosing:
            best.restore(task)
            return
        for average in self.averaging:
            average.swap(task)


def learner(
    network: Network, images: ImageModule, transfer: Transfer, again: Collection[str]
) -> tuple[TaskModule, pl.LightningDataModule]:
    """Return what trains a network, or its last layer alone, and what feeds that.

    `again` are blocks that are computed again in the backward pass.
    """
    recipe = images.recipe
    for name, wanted in (("teacher", recipe.teacher is not None), ("memory_mib", bool(again))):
        if wanted and transfer.style == "features":
            raise ConfigError(f"train.{name} is for a training of more than the last layer")
    learned, feed = network, cast("pl.LightningDataModule", images)
    if transfer.style == "features":
        learned, feed = last_layer_alone(network, images)
        recipe = of_unchanged_images(recipe)
    learner = TaskModule(
        learned,
        recipe,
        seed=images.seed,
        task=images.data.task,
        scale=images.data.scale,
        class_weights=images.class_weights,
        transfer=transfer,
        teacher=teacher_of(recipe, images.data),
        in_training=CheckpointedNetwork(network, again) if again else None,
    )
    return learner, feed


def _statistics(task: TaskModule) -> list[pl.Callback]:
    """Return what sees to the statistics of batch normalisation, and to what is frozen."""
    transfer = task.transfer
    frozen: list[pl.Callback] = [] if transfer == SCRATCH else [Freezing(transfer, task.network)]
    return [*frozen, *([] if transfer.freeze_norm else [FreshStatistics()])]


def _usable(checkpoint: str | None) -> str | None:
    """Return the checkpoint to continue from; None where there is none, or a file that was cut off."""
    if checkpoint is None or not Path(checkpoint).exists():
        return None
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        lacking = _CHECKPOINT_KEYS - state.keys()
    except Exception as error:  # there is no telling what a torn file makes of its reader
        _LOG.warning("training begins anew: %s is no whole checkpoint: %s", checkpoint, reason_of(error))
        return None
    if lacking:
        _LOG.warning("training begins anew: %s is no checkpoint of training: it lacks %s", checkpoint, lacking)
    return None if lacking else checkpoint


class _CheckpointEachEpoch(pl.Callback):
    """Keeps the state of training after each epoch, as the last of the callbacks that have a part in it."""

    def __init__(self, path: str) -> None:
        self._path = path

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the checkpoint."""
        _save_checkpoint(trainer, self._path)


def _save_checkpoint(trainer: pl.Trainer, path: str) -> None:
    """Write the state of training whole or not at all; all processes that train together have a part in it."""
    partial = f"{path}.partial"
    trainer.save_checkpoint(partial)
    if trainer.is_global_zero:
        os.replace(partial, path)


def with_drop_path(architecture: Architecture, rate: float) -> Architecture:
    """Return an architecture whose residual blocks drop out in training, where it has any; parameters stay the same."""
    settings = {name for stage in architecture.stages for block in stage.blocks for name, _ in block.settings}
    return scaled(architecture, drop_path=rate) if rate and DROP_PATH in settings else architecture


def channels_last(network: Network) -> Network:
    """Return a network with its weights in the memory format that trains fastest."""
    # Torch's stubs leave memory_format out of GraphModule.to.
    return cast("Network", cast("Any", network).to(memory_format=torch.channels_last))


def trainer_of(
    recipe: Recipe,
    epochs: int,
    callbacks: list[pl.Callback],
    accelerator: str,
    devices: int = 1,
    *,
    validation_batches: int | None = None,
    logger: Logger | None = None,
) -> pl.Trainer:
    """Return what trains for so many epochs, and validates on all batches or on so many; the logger is the user's."""
    return pl.Trainer(
        limit_val_batches=validation_batches,
        max_epochs=epochs,
        accelerator=accelerator,
        devices=devices,
        strategy="auto" if devices == 1 else "ddp",
        # Whatever else may have started this process, such as a scheduler, says nothing of those that train together.
        plugins=[LightningEnvironment()] if devices > 1 else None,
        precision=cast("Any", recipe.precision),  # one of PRECISIONS, all of which Lightning knows
        accumulate_grad_batches=recipe.accumulate,
        gradient_clip_val=recipe.gradient_clip,
        num_sanity_val_steps=0,
        callbacks=callbacks,
        # The record is our own, and a search has no use for the rest.
        logger=logger or False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _at_resolution(architecture: Architecture, fraction: float) -> Architecture:
    """Return an architecture with its input size times a fraction, rounded; a fraction of 1 changes nothing."""
    if fraction >= 1:
        return architecture
    channels, *sizes = architecture.input_shape
    return replace(architecture, input_shape=(channels, *(max(1, round(fraction * size)) for size in sizes)))
