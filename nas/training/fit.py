"""One training run with Lightning."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch

from nas.errors import reason_of
from nas.evaluation import Budget, Evaluation, report
from nas.network.architecture import Architecture
from nas.pytorch import build
from nas.training.batch_norm import FreshStatistics
from nas.training.data.load import load_data
from nas.training.data.splits import ImageData
from nas.training.epoch_reports import FollowEpochs
from nas.training.recipe import SCORES, Recipe
from nas.training.relay import Relay
from nas.training.task import Classification, ImageModule

__all__ = ["fit", "load_data"]

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
_LOG = logging.getLogger(__name__)

_CHECKPOINT_KEYS = {"state_dict", "optimizer_states", "lr_schedulers", "loops", "callbacks", "epoch", "global_step"}
"""What of a checkpoint is needed to go on."""


def fit(
    architecture: Architecture,
    data: ImageData,
    recipe: Recipe,
    budget: Budget | None = None,
    *,
    seed: int,
    augment: str = "none",
    accelerator: str = "auto",
    devices: int = 1,
) -> Evaluation:
    """Build and train a network from a seed, and score it on the validation split after every epoch.

    Args:
        architecture: of the network.
        data: what it learns.
        recipe: how.
        budget: how long, on how much of the data, at which resolution, and whether it goes on from a checkpoint.
            What goes on comes out as if it had never stopped.
        seed: of weights, order and augmentation.
        augment: none, shift, shift_flip.
        accelerator: as Lightning takes it.
        devices: processes that train together, each with a part of every epoch's batches.

    Raises:
        TrainingError: the loss is not a number.
        DataError: the data do not fit the architecture.
        ShapeError: the network does not take images of such a share of its resolution.
    """
    started = time.perf_counter()
    budget = budget or Budget()
    epochs = budget.epochs or recipe.epochs
    architecture = _at(architecture, budget.resolution_fraction)
    data.check_fits(architecture)
    pl.seed_everything(seed, verbose=False)
    network = build(architecture, zero_init_last=recipe.zero_init_last)
    # Torch's stubs leave memory_format out of GraphModule.to.
    network = cast("Any", network).to(memory_format=torch.channels_last)
    rows: list[dict[str, float]] = []

    def tell(row: Mapping[str, float]) -> bool:
        rows.append(dict(row))
        return report(int(row["epoch"]), {name: row[name] for name in SCORES})

    task = Classification(network, recipe)
    module = ImageModule(
        data, recipe, architecture.input_shape, augment=augment, seed=seed, fraction=budget.data_fraction
    )
    with Relay(tell, processes=devices) as told, warnings.catch_warnings():
        # Lightning advises DataLoader workers; batches are made in this process on purpose.
        warnings.filterwarnings("ignore", module="pytorch_lightning")
        follow = FollowEpochs(told, until=epochs, seed=seed)
        trainer = _trainer(recipe, budget.schedule_epochs or epochs, follow, accelerator, devices)
        trainer.fit(task, datamodule=module, ckpt_path=_whole(budget.checkpoint), weights_only=True)
    if devices == 1:
        rows = follow.rows
        if budget.checkpoint is not None:
            partial = f"{budget.checkpoint}.partial"
            trainer.save_checkpoint(partial)
            os.replace(partial, budget.checkpoint)
    return Evaluation(
        scores={name: rows[-1][name] for name in SCORES},
        history=tuple(rows),
        seconds={"train_steps": task.step_seconds, "evaluation": time.perf_counter() - started},
    )


def _whole(checkpoint: str | None) -> str | None:
    """Return the checkpoint to go on from, or None: one that is torn makes training begin anew."""
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


def _trainer(recipe: Recipe, epochs: int, follow: FollowEpochs, accelerator: str, devices: int) -> pl.Trainer:
    return pl.Trainer(
        max_epochs=epochs,
        accelerator=accelerator,
        devices=devices,
        strategy="auto" if devices == 1 else "ddp_spawn",
        precision=cast("Any", recipe.precision),  # one of PRECISIONS, all of which Lightning knows
        gradient_clip_val=recipe.gradient_clip,
        num_sanity_val_steps=0,
        callbacks=[FreshStatistics(), follow],
        # The record is our own, and a search has no use for the rest.
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _at(architecture: Architecture, fraction: float) -> Architecture:
    """Return an architecture for images of a share of its input size."""
    if fraction >= 1:
        return architecture
    channels, *sizes = architecture.input_shape
    return replace(architecture, input_shape=(channels, *(max(1, round(fraction * size)) for size in sizes)))
