"""Units that are never active: no example moves them, so no gradient reaches what is before them.

Lu et al. 2019, "Dying ReLU and initialization: theory and numerical examples".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf

import torch
from torch import Tensor, nn

from nas.network import ops
from nas.network.graph import Graph
from nas.network.ops import kind_of
from nas.training.diagnostics.layers import hearing, layers_of

_BENDS: Mapping[str, tuple[float, float]] = {
    "relu": (0.0, inf),
    "relu6": (0.0, 6.0),
    "hardswish": (-3.0, inf),
    "hardsigmoid": (-3.0, 3.0),
}
"""By activation, between which inputs its derivative is not zero; of all others it is nowhere zero for long."""


@dataclass(frozen=True, slots=True)
class Units:
    """The units of one activation: the channels of a map, or the features."""

    name: str
    """Of the activation."""
    depth: int
    """As `Layer.depth`."""
    units: int
    """How many there are."""
    dead: int
    """Those whose derivative is zero for all examples and positions."""
    inactive: float
    """Share of all numbers, over examples, units and positions, where the derivative is zero."""


@torch.no_grad()
def units_of(network: nn.Module, graph: Graph, inputs: Tensor) -> tuple[Units, ...]:
    """Count the dead units of each activation that has any flat part, in inference, in the order in which they run.

    Args:
        network: as `nas.build` makes it, in inference.
        graph: of the network.
        inputs: `(batch, *input_shape)`; the more examples, the surer it is that a unit is dead.
    """
    found: dict[str, tuple[int, int, float]] = {}

    def count(name: str, low: float, high: float, channel: int, given: Tensor) -> None:
        active = (given > low) & (given < high)
        alive = active.movedim(channel, 0).flatten(1).any(1)
        found[name] = len(alive), int((~alive).sum()), 1 - float(active.double().mean())

    bent = [
        (layer, partial(count, layer.name, *_BENDS[node.op.kind], -1 if kind_of(node.shape) == "tokens" else 1))
        for layer, node in layers_of(graph, (ops.Activation,))
        if isinstance(node.op, ops.Activation) and node.op.kind in _BENDS
    ]
    with hearing(network, {layer.name: function for layer, function in bent}, inputs=True):
        network(inputs)
    return tuple(Units(layer.name, layer.depth, *found[layer.name]) for layer, _ in bent)


def dead_share(activations: Sequence[Units]) -> float:
    """Return the share of all units of a network that are dead; not a number where it has none that could be."""
    units = sum(one.units for one in activations)
    return sum(one.dead for one in activations) / units if units else float("nan")
