"""The evaluator that trains: architecture, budget and seed in, validation scores out."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nas.evaluation import Budget, Evaluation
from nas.network.architecture import Architecture
from nas.training.data.config import DataConfig
from nas.training.recipe import Recipe

if TYPE_CHECKING:
    import pytorch_lightning as pl


@dataclass(frozen=True)
class TrainingEvaluator:
    """Trains a network and scores it on the validation split; the test split is never read.

    The object is small and picklable; torch and Lightning are loaded in the process that calls it.
    """

    data: DataConfig
    recipe: Recipe
    accelerator: str = "auto"
    """As Lightning's `Trainer` takes it: auto, cpu, gpu."""

    def prepare(self) -> Mapping[str, Any]:
        """Load the libraries and the data, and describe the data: `input_shape`, `num_classes`, the splits.

        Raises:
            DataError: the data set cannot be loaded.
        """
        from nas.training.data.load import load_data

        return load_data(self.data).record()

    def __call__(self, architecture: Architecture, budget: Budget, seed: int) -> Evaluation:
        """Train for `budget.epochs` and return `val_accuracy` and `val_loss` of the last epoch.

        Raises:
            TrainingError: the loss is not a number.
            DataError: the data set cannot be loaded, or does not fit the architecture.
        """
        started = time.perf_counter()
        import pytorch_lightning as pl
        import torch

        from nas.errors import DataError
        from nas.pytorch import build
        from nas.training.data.load import load_data
        from nas.training.task import Classification, ImageModule

        logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
        # Lightning advises DataLoader workers; batches are made in this process on purpose.
        warnings.filterwarnings("ignore", module="pytorch_lightning")
        data = load_data(self.data)
        if (architecture.input_shape[0], architecture.num_classes) != (data.input_shape[0], data.num_classes):
            raise DataError(
                f"data {data.name} has {data.input_shape[0]} channels and {data.num_classes} classes, but the "
                f"architecture takes {architecture.input_shape[0]} and {architecture.num_classes}"
            )
        pl.seed_everything(seed, verbose=False)
        network = build(architecture, zero_init_last=self.recipe.zero_init_last)
        task = Classification(network.to(memory_format=torch.channels_last), self.recipe)
        module = ImageModule(data, self.recipe, architecture.input_shape, augment=self.data.augment, seed=seed)
        self._trainer(budget.epochs or self.recipe.epochs).fit(task, datamodule=module)
        last = task.history[-1]
        return Evaluation(
            scores={name: last[name] for name in ("val_accuracy", "val_loss")},
            history=tuple(task.history),
            seconds={"train_steps": task.step_seconds, "evaluation": time.perf_counter() - started},
        )

    def _trainer(self, epochs: int) -> pl.Trainer:
        import pytorch_lightning as pl

        # What a search needs of a Trainer: no logger, bar, checkpoint or summary; the record is our own.
        return pl.Trainer(
            max_epochs=epochs,
            accelerator=self.accelerator,
            devices=1,
            precision=self.recipe.precision,
            gradient_clip_val=self.recipe.gradient_clip,
            num_sanity_val_steps=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
