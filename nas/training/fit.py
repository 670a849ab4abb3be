"""One training run with Lightning."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch

from nas.errors import ConfigError, reason_of
from nas.evaluation import Budget, Evaluation, report
from nas.network.architecture import Architecture
from nas.pytorch import build
from nas.scaling.scale import DROP_PATH, scaled
from nas.training.batch_norm import FreshStatistics
from nas.training.data.load import load_data
from nas.training.data.splits import ImageData
from nas.training.ema import WeightAverage
from nas.training.epoch_reports import EpochReporter, reachable
from nas.training.inheritance.from_file import inherit_from
from nas.training.int8 import int8_scores
from nas.training.recipe import Recipe
from nas.training.task import ImageModule, TaskModule
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
    after_epoch: Callable[[Mapping[str, float]], None] | None = None,
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
        devices: processes that train together, each with a part of every epoch's batches.
        transfer: other weights that it begins with, and what of the network learns when.
        after_epoch: hears the metrics of each epoch. With it, as with `Budget.keep_each_epoch`, the checkpoint is
            written after every epoch, not only at the end, so that a run that is killed goes on from the last one; by
            one process only.

    Returns:
        The scores `Task.val_scores` of the last epoch, with `int8_accuracy` where the budget asks for 8
        bits; the metrics of each epoch, and the seconds of the training steps, of 8 bits, and of everything.

    Raises:
        TrainingError: the loss is not a number. DataError: the data do not fit the architecture.
        ShapeError: the network does not take images of such a share of its resolution.
        ConfigError: the recipe has what means nothing for the task, or the transfer is not for several processes.
    """
    started = time.perf_counter()
    budget = budget or Budget()
    epochs = budget.epochs or recipe.epochs
    architecture = _at_resolution(architecture, budget.resolution_fraction)
    data.check_fits(architecture)
    data.task.check_training(cutmix=recipe.cutmix, balance=balance)
    pl.seed_everything(seed, verbose=False)
    built = with_drop_path(architecture, recipe.drop_path)
    network = build(built, zero_init_last=recipe.zero_init_last)
    data, _ = start(transfer, network, built, data)
    checkpoint = _usable(budget.checkpoint)
    takes = budget.inherit if checkpoint is None else None
    inherited = inherit_from(Path(takes), network, built) if takes is not None else None
    network = channels_last(network)
    history: list[dict[str, float]] = []

    def listener(metrics: Mapping[str, float]) -> bool:
        history.append(dict(metrics))
        if after_epoch is not None:
            after_epoch(metrics)
        return report(int(metrics["epoch"]), {name: metrics[name] for name in data.task.val_scores})

    shape, part = architecture.input_shape, budget.data_fraction
    module = ImageModule(data, recipe, shape, augment=augment, balance=balance, seed=seed, fraction=part)
    task, images = _learner(network, module, recipe, transfer, devices)
    with reachable(listener, processes=devices) as reached, warnings.catch_warnings():
        # Lightning advises DataLoader workers; batches are made in this process on purpose.
        warnings.filterwarnings("ignore", module="pytorch_lightning")
        reporter = EpochReporter(reached, last_epoch=epochs, seed=seed)
        average = WeightAverage(recipe.ema) if recipe.ema else None
        callbacks = [*([average] if average else []), *_statistics(task), reporter]
        each = after_epoch is not None or budget.keep_each_epoch
        if each and budget.checkpoint is not None and devices == 1:
            callbacks.append(_CheckpointEachEpoch(budget.checkpoint))
        trainer = trainer_of(recipe, budget.schedule_epochs or epochs, callbacks, accelerator, devices)
        trainer.fit(task, datamodule=images, ckpt_path=checkpoint, weights_only=True)
    if devices == 1:
        history = reporter.history  # with the epochs before the checkpoint
        if budget.checkpoint is not None:
            _save_checkpoint(trainer, budget.checkpoint)
        if average is not None:
            average.swap(task)  # what was scored is what is kept
    if budget.weights is not None:
        save_weights(Path(budget.weights), network, weights_metadata(architecture, data))
    # A checkpoint of before may be of a last epoch that has not all of them.
    scores = {name: history[-1][name] for name in data.task.val_scores if name in history[-1]}
    seconds = {"train_steps": task.step_seconds}
    missing: Mapping[str, str] = {}
    if budget.int8 is not None:
        began = time.perf_counter()
        in_8_bits, missing = int8_scores(network, architecture, data, Path(budget.int8))
        scores |= in_8_bits
        seconds["int8"] = time.perf_counter() - began
    seconds["evaluation"] = time.perf_counter() - started
    return Evaluation(scores, tuple(history), seconds, missing, inherited)


def _learner(
    network: Network, images: ImageModule, recipe: Recipe, transfer: Transfer, devices: int
) -> tuple[TaskModule, pl.LightningDataModule]:
    """Return what trains a network, or its last layer alone, and what feeds that."""
    if devices > 1 and transfer.style != SCRATCH.style:
        raise ConfigError(f"transfer.style={transfer.style} is for a training in one process, but got {devices}")
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
    """Write the state of training whole or not at all."""
    partial = f"{path}.partial"
    trainer.save_checkpoint(partial)
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
) -> pl.Trainer:
    """Return what trains for so many epochs, and validates on all batches or on so many."""
    return pl.Trainer(
        limit_val_batches=validation_batches,
        max_epochs=epochs,
        accelerator=accelerator,
        devices=devices,
        strategy="auto" if devices == 1 else "ddp_spawn",
        precision=cast("Any", recipe.precision),  # one of PRECISIONS, all of which Lightning knows
        gradient_clip_val=recipe.gradient_clip,
        num_sanity_val_steps=0,
        callbacks=callbacks,
        # The record is our own, and a search has no use for the rest.
        logger=False,
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
