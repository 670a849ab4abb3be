"""Recomputes the statistics of batch normalisation before each validation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

import pytorch_lightning as pl
import torch
from torch import nn

from nas.training.task import ImageModule, TaskModule
from nas.training.transfer.parts import is_frozen

_BATCHES = 10
"""Training batches that the statistics come from: about the window of running averages with a momentum of 0.1."""


class FreshStatistics(pl.Callback):
    """Computes the statistics of batch normalisation afresh before each validation.

    Running averages lag behind weights that change fast, and in the first epochs on few images still hold much of where
    they began: validation is then at chance although the network has learned, so that small budgets say nothing. The
    means over some training batches with the weights as they are do not (Wu & Johnson 2021, "Rethinking 'Batch' in
    BatchNorm", section 3). Training itself does not use them.
    """

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Set the statistics of all batch-norm layers that learn to their means over 10 training batches."""
        assert isinstance(pl_module, TaskModule)
        with fresh_statistics(pl_module) as layers:
            if layers:  # of the last layer alone there are none, and its inputs are no images
                module = trainer.datamodule  # type: ignore[attr-defined]  # which the stubs leave out
                assert isinstance(module, ImageModule)
                with torch.no_grad(), trainer.precision_plugin.forward_context():
                    for inputs, _ in islice(module.some_training_batches(), _BATCHES):
                        pl_module(inputs)


@contextmanager
def fresh_statistics(network: nn.Module) -> Iterator[Sequence[nn.Module]]:
    """Have the batch-norm layers that learn compute their statistics afresh, as means over the batches it is given.

    Yields the layers. Afterwards they normalise by these statistics; those that saw no batch have the ones of before.
    """
    layers = [
        layer
        for layer in network.modules()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and not is_frozen(layer)
    ]
    before = [(layer.momentum, {name: buffer.clone() for name, buffer in layer.named_buffers()}) for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the plain mean over batches
        layer.train()
    yield layers
    for layer, (momentum, buffers) in zip(layers, before, strict=True):
        layer.eval()
        layer.momentum = momentum
        if not layer.num_batches_tracked:  # it is not part of what is validated: an auxiliary classifier
            layer.load_state_dict(buffers, strict=False)
