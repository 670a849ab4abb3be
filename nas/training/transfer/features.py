"""Trains the last layer of a network on what the rest of it gives, which is computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytorch_lightning as pl
import torch
from torch import Tensor, fx, nn

from nas.errors import ConfigError, DataError
from nas.pytorch.layers import with_auxiliary
from nas.seeds import derived_seed
from nas.training.data.balance import balanced_order
from nas.training.data.batches import Batches
from nas.training.data.splits import Images
from nas.training.recipe import Recipe

if TYPE_CHECKING:
    from nas.training.task import ImageModule

_BATCH = 256
_MOST_BYTES = 8 * 2**30
"""Features of one split, which are kept in memory."""


def split_before_last_layer(network: fx.GraphModule) -> tuple[fx.GraphModule, fx.GraphModule]:
    """Return a network in two: what comes before its last layer with parameters, and that layer with what follows it.

    Dropout just before the layer is in the second part. Both share their modules with the network; auxiliary
    classifiers are in neither.

    Raises:
        ConfigError: it is not one value that goes into the last layer and all that follows.
    """
    graph = network.graph
    layers = [node for node in graph.nodes if node.op == "call_module" and _has_parameters(network, node)]
    end = next(node for node in reversed(graph.nodes) if node.op == "output").args[0]
    end = end.args[0] if end.op == "call_function" and end.target is with_auxiliary else end
    if not layers:
        raise ConfigError("transfer.style=features: the network has no layer with parameters")
    cut = layers[-1].args[0]
    while cut.op == "call_module" and isinstance(network.get_submodule(cut.target), nn.Dropout):
        cut = cut.args[0]
    behind = _reached(end, {cut})
    if any(node.op == "placeholder" for node in behind):
        raise ConfigError("transfer.style=features: its last layer is not all that leads to what the network gives")
    ahead = _reached(cut, set())
    return _module(network, [*graph.nodes], ahead, cut), _module(network, [cut, *graph.nodes], {cut} | behind, end)


def _has_parameters(network: nn.Module, node: fx.Node) -> bool:
    layer = str(node.target)
    return not layer.startswith("auxiliary.") and any(True for _ in network.get_submodule(layer).parameters())


def _reached(end: fx.Node, known: set[fx.Node]) -> set[fx.Node]:
    """Return a node and all that it depends on, without those that are known and what these depend on."""
    found: set[fx.Node] = set()
    todo = [end]
    while todo:
        node = todo.pop()
        if node not in known and node not in found:
            found.add(node)
            todo += node.all_input_nodes
    return found


def _module(network: fx.GraphModule, order: list[fx.Node], nodes: set[fx.Node], end: fx.Node) -> fx.GraphModule:
    """Return some nodes of a network as a module; the first one is what it takes."""
    code, copies = fx.Graph(), dict[fx.Node, fx.Node]()
    for node in order:
        if node in nodes and node not in copies:
            copies[node] = code.node_copy(node, copies.__getitem__) if copies else code.placeholder("x")
    code.output(copies[end])
    return fx.GraphModule(network, code)


class FeatureModule(pl.LightningDataModule):
    """Feeds what the frozen part of a network gives for the images of a data set, computed at the first use."""

    def __init__(self, images: ImageModule, backbone: fx.GraphModule) -> None:
        """Make a module.

        Args:
            images: with batch size, seed and balance of training; its images are taken as they are.
            backbone: the first part of `split_before_last_layer`.
        """
        super().__init__()
        self._images, self._backbone = images, backbone
        self._known: dict[str, tuple[Tensor, Tensor]] = {}

    @property
    def class_weights(self) -> Tensor | None:
        """Weights of the classes in the loss, `(num_classes,)`."""
        return self._images.class_weights

    def train_dataloader(self) -> FeatureBatches:
        """Return the training batches, shuffled anew in each epoch."""
        trainer = self.trainer
        epoch = (lambda: trainer.current_epoch) if trainer is not None else (lambda: 0)
        features, labels = self._features("train", self._images.train)
        settings = self._images
        size = settings.recipe.batch_size
        return FeatureBatches(features, labels, size, settings.seed, epoch, balanced=settings.balance == "sampler")

    def val_dataloader(self) -> FeatureBatches:
        """Return the validation batches."""
        features, labels = self._features("val", self._images.data.val)
        return FeatureBatches(features, labels, 4 * self._images.recipe.batch_size)

    @torch.no_grad()
    def _features(self, split: str, images: Images) -> tuple[Tensor, Tensor]:
        if split not in self._known:
            device = self.trainer.strategy.root_device if self.trainer is not None else torch.device("cpu")
            settings = self._images
            batches = Batches(images, settings.data, _BATCH, settings.shape, device=device)
            self._backbone.to(device).eval()
            found: list[Tensor] = []
            for inputs, _ in batches:
                found.append(self._backbone(inputs).float().cpu())
                self._check_size(found[0][0].numel() * 4 * len(images.labels))
            self._backbone.cpu()
            self._known[split] = torch.cat(found), images.labels
        return self._known[split]

    def _check_size(self, size: int) -> None:
        if size > _MOST_BYTES:
            raise DataError(
                f"transfer.style=features: what comes before the last layer takes {size / 2**30:.1f} GiB for all "
                f"images, of which at most {_MOST_BYTES / 2**30:.0f} GiB are kept; take transfer.style=fine_tune, or "
                "data.train_fraction"
            )


class FeatureBatches:
    """An iterable of `(features, labels)`, each walk in a new order that follows from seed and epoch."""

    def __init__(
        self,
        features: Tensor,
        labels: Tensor,
        batch_size: int,
        seed: int = 0,
        epoch: Callable[[], int] | None = None,
        *,
        balanced: bool = False,
    ) -> None:
        """Take features `(n, ...)` and their labels `(n,)`; without `epoch` they come in their order."""
        self._features, self._labels, self._size = features, labels, batch_size
        self._seed, self._epoch, self._balanced = seed, epoch, balanced

    def __len__(self) -> int:
        return (len(self._labels) + self._size - 1) // self._size

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.arange(len(self._labels))
        if self._epoch is not None:
            generator = torch.Generator().manual_seed(derived_seed(self._seed, "features", self._epoch(), num_bytes=7))
            order = torch.randperm(len(order), generator=generator)
            if self._balanced:
                order = balanced_order(self._labels, generator)
        for indices in torch.split(order, self._size):
            yield self._features[indices], self._labels[indices]


def last_layer_alone(network: fx.GraphModule, images: ImageModule) -> tuple[fx.GraphModule, pl.LightningDataModule]:
    """Return the last layer of a network as one to train, and what feeds it; raises as `split_before_last_layer`."""
    backbone, last = split_before_last_layer(network)
    return last, FeatureModule(images, backbone)


def of_unchanged_images(recipe: Recipe) -> Recipe:
    """Return a recipe without what is done to batches of images, which features are not."""
    return replace(recipe, erase=0.0, mixup=0.0, cutmix=0.0, progressive_stages=1)
