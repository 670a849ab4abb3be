"""What layers give, at each depth: whether the signal dies out or blows up on its way forward.

He et al. 2015, "Delving deep into rectifiers", section 2.2: the variance of what convolutions give stays the same from
layer to layer where weights are drawn as there; shortcuts and normalisation change that.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from nas.network.graph import Graph
from nas.training.diagnostics.layers import hearing, layers_of


@dataclass(frozen=True, slots=True)
class LayerOutput:
    """What one convolution or linear layer gives, before normalisation and activation, over all examples."""

    name: str
    """Of the layer."""
    depth: int
    """As `Layer.depth`."""
    mean: float
    """Of all numbers."""
    std: float
    """Of all numbers."""


@torch.no_grad()
def outputs_of(network: nn.Module, graph: Graph, inputs: Tensor) -> tuple[LayerOutput, ...]:
    """Measure what the layers of a network give in inference, in the order in which they run.

    Args:
        network: as `nas.build` makes it, in inference.
        graph: of the network.
        inputs: `(batch, *input_shape)`.
    """
    moments: dict[str, tuple[float, float]] = {}

    def keep(name: str, output: Tensor) -> None:
        std, mean = torch.std_mean(output.double(), correction=0)
        moments[name] = float(mean), float(std)

    layers = [layer for layer, _ in layers_of(graph)]
    with hearing(network, {layer.name: partial(keep, layer.name) for layer in layers}):
        network(inputs)
    return tuple(LayerOutput(layer.name, layer.depth, *moments[layer.name]) for layer in layers)
