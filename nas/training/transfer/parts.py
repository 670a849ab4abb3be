"""The parts of a network by depth: what learns from when on, and how fast."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from torch import fx, nn

from nas.pytorch.layers import ClassToken, PositionEmbedding
from nas.training.recipe import Recipe
from nas.training.transfer.settings import Transfer

_PART = re.compile(r"(?:stages\.\d+\.blocks|[^.]+)\.\d+")
_AUXILIARY = "auxiliary."
Parameters = Mapping[str, nn.Parameter]


def parts_by_depth(network: nn.Module) -> list[dict[str, nn.Parameter]]:
    """Return the parameters of a network by name, in parts from the input to the output.

    A part is a block of the stem, of a stage or of the head, and the last one the last layer that has parameters, with
    auxiliary classifiers, which are new where the classes are.

    Args:
        network: as `nas.build` makes it; another module is one part.
    """
    parameters = dict(network.named_parameters())
    if not isinstance(network, fx.GraphModule):
        return [parameters]
    layers = [str(node.target) for node in network.graph.nodes if node.op == "call_module"]
    owned = {layer: [name for name in parameters if name.startswith(f"{layer}.")] for layer in layers}
    main = [layer for layer in layers if owned[layer] and not layer.startswith(_AUXILIARY)]
    found: dict[str, dict[str, nn.Parameter]] = {}
    for layer in main[:-1]:
        match = _PART.match(layer)
        part = match[0] if match is not None else layer
        found.setdefault(part, {}).update({name: parameters[name] for name in owned[layer]})
    known = {name for part in found.values() for name in part}
    return [*found.values(), {name: value for name, value in parameters.items() if name not in known}]


def parameter_groups(network: nn.Module, recipe: Recipe, transfer: Transfer) -> list[dict[str, Any]]:
    """Return groups of parameters for an optimiser: weights (two dimensions or more) decay, others do not.

    Nor do position embeddings and class tokens, as in DeiT (Touvron et al. 2021) and timm: the scale of what is added
    to tokens means something, which that of weights in front of a normalisation does not.

    With `transfer.lr_decay` each part has groups of its own, with the learning rate of its depth (`lr`).
    """
    parts = parts_by_depth(network) if transfer.lr_decay < 1 else [dict(network.named_parameters())]
    tokens = [layer for layer in network.modules() if isinstance(layer, ClassToken | PositionEmbedding)]
    still = {id(parameter) for layer in tokens for parameter in layer.parameters(recurse=False)}
    groups = []
    for above, part in enumerate(reversed(parts)):
        rate = {"lr": recipe.lr * transfer.lr_decay**above} if len(parts) > 1 else {}
        decayed = {name for name, value in part.items() if value.ndim > 1 and id(value) not in still}
        weights = [value for name, value in part.items() if name in decayed]
        others = [value for name, value in part.items() if name not in decayed]
        groups.append({"params": weights, "weight_decay": recipe.weight_decay, **rate})
        groups.append({"params": others, "weight_decay": 0.0, **rate})
    return groups


def trained_parts(parts: int, epoch: int, epochs: int, share: float) -> int:
    """Return how many parts, from the last one on, are trained in an epoch of gradual unfreezing.

    After Howard & Ruder 2018, "Universal language model fine-tuning for text classification", section 3.3.

    Args:
        parts: of the network.
        epoch: from 0.
        epochs: of the whole training.
        share: of the epochs, after which all parts are.
    """
    progress = epoch / (share * epochs) if share > 0 else 1.0
    return min(parts, 1 + int(parts * progress))


class Freezing(pl.Callback):
    """Keeps parts of a network as they are, and their statistics of batch normalisation with them.

    What is frozen follows from the epoch alone, so that a training goes on from a checkpoint as one that never stopped.
    """

    def __init__(self, transfer: Transfer, network: nn.Module) -> None:
        """Take what is frozen when, in a network as `nas.build` makes it."""
        self._transfer, self._parts = transfer, parts_by_depth(network)
        self._norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Have the parts learn whose turn it is."""
        if self._transfer.style != "unfreeze":
            return
        epochs = trainer.max_epochs or 1
        count = trained_parts(len(self._parts), trainer.current_epoch, epochs, self._transfer.unfreeze_share)
        for number, part in enumerate(reversed(self._parts)):
            for parameter in part.values():
                parameter.requires_grad_(number < count)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Have layers of batch normalisation that are kept use their statistics, and the others those of the batch."""
        for layer in self._norms:
            layer.train(not self._transfer.freeze_norm and not is_frozen(layer))


def is_frozen(layer: nn.Module) -> bool:
    """Whether a layer has parameters none of which learn."""
    parameters = [*layer.parameters(recurse=False)]
    return bool(parameters) and not any(parameter.requires_grad for parameter in parameters)
