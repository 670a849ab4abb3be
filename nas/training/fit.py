"""One training run with Lightning."""

from __future__ import annotations

import logging
import time
import warnings
from typing import Any, cast

import pytorch_lightning as pl
import torch

from nas.errors import DataError
from nas.evaluation import Evaluation
from nas.network.architecture import Architecture
from nas.network.lower import lower
from nas.pytorch import build
from nas.training.data.load import load_data
from nas.training.data.splits import ImageData
from nas.training.evaluator import SCORES
from nas.training.recipe import Recipe
from nas.training.task import Classification, ImageModule

__all__ = ["fit", "load_data"]

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)


def fit(
    architecture: Architecture,
    data: ImageData,
    recipe: Recipe,
    *,
    epochs: int,
    seed: int,
    augment: str = "none",
    accelerator: str = "auto",
) -> Evaluation:
    """Build and train a network from a seed, and score it on the validation split after every epoch.

    Raises:
        TrainingError: the loss is not a number.
        DataError: the data do not fit the architecture.
    """
    started = time.perf_counter()
    if (architecture.input_shape[0], architecture.num_classes) != (data.input_shape[0], data.num_classes):
        raise DataError(
            f"data {data.name} has {data.input_shape[0]} channels and {data.num_classes} classes, but the "
            f"architecture takes {architecture.input_shape[0]} and {architecture.num_classes}"
        )
    gives = lower(architecture).out_shapes
    if gives != ((data.num_classes,),):
        raise DataError(f"data {data.name} has one label an image, but the architecture gives {gives}")
    pl.seed_everything(seed, verbose=False)
    network = build(architecture, zero_init_last=recipe.zero_init_last)
    # Torch's stubs leave memory_format out of GraphModule.to.
    network = cast("Any", network).to(memory_format=torch.channels_last)
    task = Classification(network, recipe)
    module = ImageModule(data, recipe, architecture.input_shape, augment=augment, seed=seed)
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator=accelerator,
        devices=1,
        precision=cast("Any", recipe.precision),  # one of PRECISIONS, all of which Lightning knows
        gradient_clip_val=recipe.gradient_clip,
        num_sanity_val_steps=0,
        # The record is our own, and a search has no use for the rest.
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with warnings.catch_warnings():
        # Lightning advises DataLoader workers; batches are made in this process on purpose.
        warnings.filterwarnings("ignore", module="pytorch_lightning")
        trainer.fit(task, datamodule=module)
    last = task.history[-1]
    return Evaluation(
        scores={name: last[name] for name in SCORES},
        history=tuple(task.history),
        seconds={"train_steps": task.step_seconds, "evaluation": time.perf_counter() - started},
    )
