"""The LightningModule that trains a network for a task, and the LightningDataModule that feeds it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from nas.errors import TrainingError
from nas.network.ops import Shape
from nas.seeds import derived_seed
from nas.training.augment import erased, mixed
from nas.training.data.batches import Batches
from nas.training.data.registry import may_mirror
from nas.training.data.splits import ImageData, Images
from nas.training.optimizers import optimizer_of
from nas.training.own_training import own_loss
from nas.training.progressive import stages_of
from nas.training.recipe import Recipe
from nas.training.schedule import lr_schedule
from nas.training.tasks.registry import DEFAULT
from nas.training.tasks.task import Loss, Scale, Task
from nas.training.teacher import Teacher, distillation_loss
from nas.training.transfer.parts import parameter_groups
from nas.training.transfer.settings import SCRATCH, Transfer

# On an accelerator every look at the loss waits for the device, so it is looked at now and then only.
_LOSS_CHECK_EVERY = 50

Batch = tuple[Tensor, Tensor]


class TaskModule(pl.LightningModule):
    """Trains a network for a task by a recipe, and counts loss and scores of each epoch."""

    class_weights: Tensor | None

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        *,
        seed: int = 0,
        task: Task = DEFAULT,
        scale: Scale | None = None,
        class_weights: Tensor | None = None,
        transfer: Transfer = SCRATCH,
        teacher: Teacher | None = None,
        in_training: Callable[[Tensor], Any] | None = None,
    ) -> None:
        """Make a module.

        Args:
            network: `(batch, channels, height, width) -> (batch, outputs)`; while it trains it may return a tuple
                of outputs, those of auxiliary heads behind its own.
            recipe: optimiser, schedule, label smoothing, and what is erased and mixed.
            seed: of what is erased and mixed, which is the same in an epoch whether training began before it or in it.
            task: what the outputs are to be.
            scale: of its targets, where they have one.
            class_weights: of classes in the training loss, as `Task.weights` gives them; None weighs all images alike.
                That of the validation never has any.
            transfer: learning rates by depth.
            teacher: a trained network that it learns from, too, by `train.teacher_weight`; it is no part of the module.
            in_training: what runs in training steps in place of the network, with its layers, such as one that computes
                blocks again in the backward pass.
        """
        super().__init__()
        self.network, self.recipe, self.seed, self.transfer = network, recipe, seed, transfer
        self.task, self.scale, self.teacher = task, scale, teacher
        self._in_training, self._own_loss = in_training, own_loss(recipe, scale)
        dropouts = (layer for layer in network.modules() if isinstance(layer, nn.Dropout))
        self._dropout_rates = {layer: layer.p for layer in dropouts}
        self._now = recipe
        """The recipe of the stage."""
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.step_seconds = 0.0
        """Time in training steps: forward, backward and optimiser."""
        self._step_started = 0.0
        self._train, self._val = task.train_tally(), task.tally(scale)
        self._val_loss = task.loss(scale)
        self._rng = np.random.default_rng(seed)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs `(batch, outputs)`."""
        return self._predict(inputs)[0]

    def _predict(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs `(batch, outputs)`, and in training those of auxiliary heads behind them."""
        if self._in_training is not None and self.training and torch.is_grad_enabled():
            output = self._in_training(inputs)
        else:
            output = self.network(inputs)
        return output if isinstance(output, tuple) else (output,)

    def _train_loss(self) -> Loss:
        if self._own_loss is not None:
            return self._own_loss.weighing(self.class_weights)
        return self.task.loss(self.scale, self.recipe.label_smoothing, self.class_weights)

    def on_train_epoch_start(self) -> None:
        """Begin the sums of the epoch, its stage, and the numbers that its images are erased and mixed by."""
        self._train = self.task.train_tally()
        stages = stages_of(self.recipe, self.trainer.max_epochs or self.recipe.epochs)
        if stages is not None:
            self._now = stages.recipe_of(self.current_epoch)
            for layer, rate in self._dropout_rates.items():
                layer.p = stages.regularisation(self.current_epoch) * rate
        seed = derived_seed(self.seed, "augmentation", self.current_epoch, self.trainer.global_rank, num_bytes=8)
        self._rng = np.random.default_rng(seed)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Start the clock of the step."""
        self._step_started = time.perf_counter()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch, with `train.aux_weight` times that of each auxiliary classifier.

        Of images that are mixed of two, the tally counts the targets of the larger part.

        Raises:
            TrainingError: the loss is not a number; on an accelerator only one step in 50 is checked.
        """
        inputs, labels = batch
        recipe, loss_of = self._now, self._train_loss()
        examples = mixed(
            erased(inputs, recipe.erase, self._rng), labels, mixup=recipe.mixup, cutmix=recipe.cutmix, rng=self._rng
        )
        outputs, *auxiliary = self._predict(examples.inputs)
        loss = examples.loss(outputs, loss_of)
        if self.teacher is not None:
            wanted, weight = self.teacher.logits(examples.inputs), recipe.teacher_weight
            loss = (1 - weight) * loss + weight * distillation_loss(outputs, wanted, recipe.teacher_temperature)
        for prediction in auxiliary:
            loss = loss + recipe.aux_weight * examples.loss(prediction, loss_of)
        if self.device.type == "cpu" or batch_idx % _LOSS_CHECK_EVERY == 0:
            self._check(float(loss.detach()), f"epoch {self.current_epoch + 1}, step {batch_idx + 1}")
        self._train.add(outputs.detach(), examples.larger, loss.detach())
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Stop the clock of the step."""
        self.step_seconds += time.perf_counter() - self._step_started

    def on_validation_epoch_start(self) -> None:
        """Begin the sums of the validation."""
        self._val = self.task.tally(self.scale)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch to the sums of the validation."""
        inputs, labels = batch
        outputs = self(inputs)
        self._val.add(outputs, labels, self._val_loss(outputs, labels, "mean"))

    def epoch_metrics(self) -> dict[str, float]:
        """Return the metrics of the epoch that has just ended, over all processes that train together.

        They are `epoch`, from 1, `train_loss`, more of training where the task counts it, and `Task.val_scores`.

        Raises:
            TrainingError: the loss is not a number.
        """
        together = _Together(self.trainer)
        metrics = {"epoch": float(self.current_epoch + 1)}
        metrics |= {f"train_{name}": score for name, score in self._train.scores(together).items()}
        metrics |= {f"val_{name}": score for name, score in self._val.scores(together).items()}
        self._check(metrics["train_loss"] + metrics["val_loss"], f"the end of epoch {self.current_epoch + 1}")
        return metrics

    def _check(self, loss: float, where: str) -> None:
        if not math.isfinite(loss):
            of = "" if self._own_loss is None else f" ({self._own_loss.name})"
            raise TrainingError(f"the loss{of} is {loss} at {where}; a lower train.lr or a longer warm-up may help")

    def configure_optimizers(self) -> Any:
        """Return the optimiser of the recipe, and its learning rate by the step (`lr_schedule`)."""
        recipe = self.recipe
        groups = parameter_groups(self.network, recipe, self.transfer)
        optimizer = optimizer_of(recipe, groups)
        total = max(1, int(self.trainer.estimated_stepping_batches))
        factor = lr_schedule(recipe, total, self.trainer.max_epochs or 1)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class _Together:
    """The processes that train together, one or several."""

    def __init__(self, trainer: pl.Trainer) -> None:
        self._trainer = trainer

    def total(self, numbers: Tensor) -> Tensor:
        """Return the sums of float64 numbers over all processes, on the CPU."""
        total = self._trainer.strategy.reduce(numbers.to(_float64(self._trainer)), reduce_op="sum")
        assert isinstance(total, Tensor)
        return total.cpu()

    def rows(self, values: Tensor) -> Tensor:
        """Return the rows of all processes one after another, on the CPU; each may have another number of them."""
        if self._trainer.world_size == 1:
            return values.cpu()
        found: list[Any] = [None] * self._trainer.world_size
        torch.distributed.all_gather_object(found, values.cpu())
        return torch.cat(found)


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
            recipe: its batch size is that of training, which processes that train together share; four times that in
                validation.
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
        """Weights of the classes in the loss: by what is trained on, which all processes share."""
        if self.balance != "weights":
            return None
        return self.data.task.weights(self.train.labels, self.data.num_classes)

    def _epoch(self) -> int:
        assert self.trainer is not None
        return self.trainer.current_epoch

    @property
    def _epochs(self) -> int:
        """Of the whole training."""
        return (self.trainer.max_epochs if self.trainer is not None else None) or self.recipe.epochs

    @property
    def _shard(self) -> dict[str, Any]:
        """The part of the batches that this process has, as arguments of `Batches`."""
        trainer = self.trainer
        return {"rank": trainer.global_rank, "ranks": trainer.world_size} if trainer is not None else {}

    @property
    def _share(self) -> int:
        """Images of a training batch that this process has."""
        return self.recipe.batch_size // (self.trainer.world_size if self.trainer is not None else 1)

    def _batches(self, images: Images, batch_size: int, **settings: Any) -> Batches:
        """Return batches on the device that trains, so that a GPU gets pixels of 8 bits and does the rest itself."""
        device = self.trainer.strategy.root_device if self.trainer is not None else "cpu"
        return Batches(images, self.data, batch_size, self.shape, device=device, **settings)

    def train_dataloader(self) -> Batches:
        """Return the training batches of this process, shuffled anew and augmented in each epoch."""
        return self._batches(
            self.train,
            self._share,
            shuffle=True,
            augment=self.augment,
            shift=self.recipe.shift,
            flip=self.recipe.flip and may_mirror(self.data.name),
            recipe=self.recipe,
            stages=stages_of(self.recipe, self._epochs),
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
        return self._batches(self.data.val, 4 * self._share, **self._shard)
