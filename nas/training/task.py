"""The LightningModule that trains a classifier, and the LightningDataModule that feeds it."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.errors import TrainingError
from nas.network.ops import Shape
from nas.seeds import derived_seed
from nas.training.augment import erased, mixed
from nas.training.class_counts import ClassCounts
from nas.training.data.balance import class_weights
from nas.training.data.batches import Batches
from nas.training.data.registry import may_mirror
from nas.training.data.splits import ImageData, Images
from nas.training.recipe import Recipe
from nas.training.transfer.parts import parameter_groups
from nas.training.transfer.settings import SCRATCH, Transfer

# Szegedy et al. 2015, "Going deeper with convolutions", section 5.
_AUXILIARY_WEIGHT = 0.3

# On an accelerator every look at the loss waits for the device, so it is looked at now and then only.
_LOSS_CHECK_EVERY = 50

Batch = tuple[Tensor, Tensor]


class Classification(pl.LightningModule):
    """Trains a classifier by a recipe, and counts loss and accuracy of each epoch."""

    class_weights: Tensor | None

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        *,
        seed: int = 0,
        class_weights: Tensor | None = None,
        transfer: Transfer = SCRATCH,
    ) -> None:
        """Make a module.

        Args:
            network: `(batch, channels, height, width) -> (batch, num_classes)`; while it trains it may return a tuple
                of logits, those of auxiliary classifiers behind its own.
            recipe: optimiser, schedule, label smoothing, and what is erased and mixed.
            seed: of what is erased and mixed, which is the same in an epoch whether training began before it or in it.
            class_weights: of the classes in the training loss, `(num_classes,)`; None weighs all images alike. That of
                the validation never has any.
            transfer: learning rates by depth.
        """
        super().__init__()
        self.network, self.recipe, self.seed, self.transfer = network, recipe, seed, transfer
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.step_seconds = 0.0
        """Time in training steps: forward, backward and optimiser."""
        self._step_started = 0.0
        self._train = self._val = _Tally()
        self._val_classes = ClassCounts()
        self._rng = np.random.default_rng(seed)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits `(batch, num_classes)`."""
        return self._predict(inputs)[0]

    def _predict(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the logits `(batch, num_classes)`, and in training those of auxiliary classifiers behind them."""
        output = self.network(inputs)
        return output if isinstance(output, tuple) else (output,)

    def on_train_epoch_start(self) -> None:
        """Begin the sums of the epoch, and the numbers that its images are erased and mixed by."""
        self._train = _Tally()
        seed = derived_seed(self.seed, "augmentation", self.current_epoch, self.trainer.global_rank, num_bytes=8)
        self._rng = np.random.default_rng(seed)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Start the clock of the step."""
        self._step_started = time.perf_counter()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the cross-entropy of a batch, with auxiliary classifiers at 0.3 of their own.

        Of images that are mixed of two, the accuracy counts the class of the larger part.

        Raises:
            TrainingError: the loss is not a number; on an accelerator only one step in 50 is checked.
        """
        inputs, labels = batch
        recipe = self.recipe
        examples = mixed(
            erased(inputs, recipe.erase, self._rng), labels, mixup=recipe.mixup, cutmix=recipe.cutmix, rng=self._rng
        )
        logits, *auxiliary = self._predict(examples.inputs)
        loss = examples.loss(logits, recipe.label_smoothing, self.class_weights)
        for prediction in auxiliary:
            auxiliary_loss = examples.loss(prediction, recipe.label_smoothing, self.class_weights)
            loss = loss + _AUXILIARY_WEIGHT * auxiliary_loss
        if self.device.type == "cpu" or batch_idx % _LOSS_CHECK_EVERY == 0:
            self._check(float(loss.detach()), f"epoch {self.current_epoch + 1}, step {batch_idx + 1}")
        self._train.add(logits.detach(), examples.larger, loss.detach())
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Stop the clock of the step."""
        self.step_seconds += time.perf_counter() - self._step_started

    def on_validation_epoch_start(self) -> None:
        """Begin the sums of the validation."""
        self._val, self._val_classes = _Tally(), ClassCounts()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch to the sums of the validation."""
        inputs, labels = batch
        logits = self(inputs)
        self._val.add(logits, labels, F.cross_entropy(logits, labels))
        self._val_classes.add(logits, labels)

    def epoch_metrics(self) -> dict[str, float]:
        """Return the metrics of the epoch that has just ended, over all processes that train together.

        They are `epoch`, from 1, `train_loss`, `train_accuracy`, and `nas.training.recipe.SCORES`.

        Raises:
            TrainingError: the loss is not a number.
        """
        train, val = self._train.summed(self.trainer), self._val.summed(self.trainer)
        metrics = {
            "epoch": float(self.current_epoch + 1),
            "train_loss": train[0],
            "train_accuracy": train[1],
            "val_loss": val[0],
            "val_accuracy": val[1],
        }
        by_class = self._val_classes.scores(lambda counts: _total(counts, self.trainer))
        metrics |= {f"val_{name}": score for name, score in by_class.items()}
        self._check(metrics["train_loss"] + metrics["val_loss"], f"the end of epoch {self.current_epoch + 1}")
        return metrics

    def _check(self, loss: float, where: str) -> None:
        if not math.isfinite(loss):
            raise TrainingError(f"the loss is {loss} at {where}; a lower train.lr or a longer warm-up may help")

    def configure_optimizers(self) -> Any:
        """Return the optimiser of the recipe, and its learning rate by the step (`lr_factor`)."""
        recipe = self.recipe
        groups = parameter_groups(self.network, recipe, self.transfer)
        # One kernel for all parameters; Lightning does not clip gradients for those in mixed precision.
        fused = recipe.precision == "32-true"
        optimizer: torch.optim.Optimizer
        if recipe.optimizer == "adamw":
            optimizer = torch.optim.AdamW(groups, lr=recipe.lr, fused=fused)
        else:
            momentum = recipe.momentum
            optimizer = torch.optim.SGD(groups, lr=recipe.lr, momentum=momentum, nesterov=momentum > 0, fused=fused)
        total = max(1, int(self.trainer.estimated_stepping_batches))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: lr_factor(step, total, recipe.warmup_fraction)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def lr_factor(step: int, total: int, warmup_fraction: float) -> float:
    """Return the share of the highest learning rate at a step: linear warm-up, then half a cosine down to 0.

    Loshchilov & Hutter 2017, "SGDR", equation 5, without restarts; the warm-up as in Goyal et al. 2017, "Accurate,
    large minibatch SGD".

    Args:
        step: from 0.
        total: steps of the whole run.
        warmup_fraction: share of them in which the rate rises.
    """
    warmup = round(total * warmup_fraction)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, total - warmup)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


class _Tally:
    """Sums of loss and hits, kept on the device until they are asked for."""

    def __init__(self) -> None:
        self.count = 0
        self._loss: Tensor | float = 0.0
        self._hits: Tensor | float = 0.0

    def add(self, logits: Tensor, labels: Tensor, loss: Tensor) -> None:
        """Add a batch: logits `(batch, num_classes)`, labels `(batch,)`, and its mean loss."""
        self.count += len(labels)
        self._loss = self._loss + loss * len(labels)
        self._hits = self._hits + (logits.argmax(1) == labels).sum()

    def summed(self, trainer: pl.Trainer) -> tuple[float, float]:
        """Return mean loss and accuracy over all processes; 0 of both where nothing was added."""
        sums = torch.tensor([float(self._loss), float(self._hits), float(self.count)], dtype=torch.float64)
        loss, hits, count = _total(sums, trainer).tolist()
        return loss / max(1.0, count), hits / max(1.0, count)


def _total(numbers: Tensor, trainer: pl.Trainer) -> Tensor:
    """Return the sums of float64 numbers over all processes that train together, on the CPU."""
    total = trainer.strategy.reduce(numbers.to(_float64(trainer)), reduce_op="sum")
    assert isinstance(total, Tensor)
    return total.cpu()


def _float64(trainer: pl.Trainer) -> torch.device:
    """Return the device to sum on: that of training, but for Apple's, which has no 64 bits and no second process."""
    device = trainer.strategy.root_device
    return torch.device("cpu") if device.type == "mps" else device


class ImageModule(pl.LightningDataModule):
    """Feeds the splits of a data set at an architecture's input size."""

    def __init__(
        self,
        data: ImageData,
        recipe: Recipe,
        input_shape: Shape,
        *,
        augment: str = "none",
        balance: str = "none",
        seed: int = 0,
        fraction: float = 1.0,
    ) -> None:
        """Make a data module.

        Args:
            data: the splits.
            recipe: its batch size is that of training; four times that in validation.
            input_shape: `(channels, height, width)` of the images that it gives.
            augment: none, shift, shift_flip; of training only, beside what the recipe says.
            balance: none, weights, sampler; of training only.
            seed: of order and augmentation.
            fraction: share of the training split that is used.
        """
        super().__init__()
        self.data, self.recipe, self.shape, self.augment, self.seed = data, recipe, input_shape, augment, seed
        self.train = data.part_of_train(fraction)
        self.balance = balance

    @property
    def class_weights(self) -> Tensor | None:
        """Weights of the classes in the loss, `(num_classes,)`: by what is trained on, which all processes share."""
        return class_weights(self.train.labels, self.data.num_classes) if self.balance == "weights" else None

    def _epoch(self) -> int:
        assert self.trainer is not None
        return self.trainer.current_epoch

    @property
    def _shard(self) -> dict[str, Any]:
        """The part of the batches that this process has, as arguments of `Batches`."""
        trainer = self.trainer
        return {"rank": trainer.global_rank, "ranks": trainer.world_size} if trainer is not None else {}

    def _batches(self, images: Images, batch_size: int, **settings: Any) -> Batches:
        """Return batches on the device that trains, so that a GPU gets pixels of 8 bits and does the rest itself."""
        device = self.trainer.strategy.root_device if self.trainer is not None else "cpu"
        return Batches(images, self.data, batch_size, self.shape, device=device, **settings)

    def train_dataloader(self) -> Batches:
        """Return the training batches of this process, shuffled anew and augmented in each epoch."""
        return self._batches(
            self.train,
            self.recipe.batch_size,
            shuffle=True,
            augment=self.augment,
            shift=self.recipe.shift,
            flip=self.recipe.flip and may_mirror(self.data.name),
            recipe=self.recipe,
            seed=self.seed,
            walk=self._epoch if self.trainer is not None else None,
            balanced=self.balance == "sampler",
            **self._shard,
        )

    def some_training_batches(self) -> Batches:
        """Training batches without augmentation, the same for every epoch and process, with classes as in training."""
        balanced = self.balance == "sampler"
        return self._batches(self.train, self.recipe.batch_size, shuffle=True, balanced=balanced, seed=self.seed)

    def val_dataloader(self) -> Batches:
        """Return the validation batches of this process."""
        return self._batches(self.data.val, 4 * self.recipe.batch_size, **self._shard)
