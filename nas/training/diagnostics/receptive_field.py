"""The effective receptive field: how much each position of the input moves the centre of the last map.

Luo et al. 2016, "Understanding the effective receptive field in deep convolutional neural networks", section 2 and 4:
a gradient of one at the centre of the map, taken back to the input; its field grows with the root of the depth, and is
a small part of the theoretical one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from nas.network import ops
from nas.network.graph import Graph
from nas.network.ops import kind_of
from nas.pytorch.build import build_graph

_FLOOR = 1 - 0.9545
"""Share of the largest influence that still counts: two standard deviations of a normal distribution, as in the
paper."""
_POOLED = (ops.GlobalAvgPool, ops.GlobalMaxPool)


@dataclass(frozen=True, eq=False)
class EffectiveField:
    """How far the centre of the last map sees, in positions of the input."""

    layer: str
    """Whose map it is."""
    reached: int
    """Longest side of the smallest box that holds every position with any influence: the theoretical field, as far as
    the input goes."""
    effective: float
    """Side of a square of as many positions as have 4.55 % of the largest influence or more."""
    influence: NDArray[np.float64]
    """Mean of |gradient| over examples and channels, as a share of the largest, `(height, width)`."""


def last_map(graph: Graph) -> int | None:
    """Return the index of the last map of two dimensions before it is pooled or flattened; None where there is none.

    There is none before tokens, which attention mixes from everywhere. It follows the first input of each operation, so
    that gates, such as those of squeeze-and-excitation, are not on the way.
    """
    index, found = graph.outputs[-1], None
    while True:
        node = graph.nodes[index]
        if kind_of(node.shape) == "tokens":
            return None
        if kind_of(node.shape) != "map" or len(node.shape) != 3 or isinstance(node.op, _POOLED):
            found = None
        elif found is None:
            found = index
        if not node.inputs:
            return found or None
        index = node.inputs[0]


def truncated(network: nn.Module, graph: Graph, index: int) -> fx.GraphModule:
    """Return the part of a network, in inference, that ends with a node of its graph; with copies of its weights."""
    part = build_graph(replace(graph, outputs=(index,), auxiliary=()))
    part.load_state_dict({name: value for name, value in network.state_dict().items() if name in part.state_dict()})
    return part.eval()


def effective_field(network: nn.Module, graph: Graph, inputs: Tensor) -> EffectiveField | None:
    """Measure the effective receptive field of a network in inference; None where its last map is none of positions.

    Args:
        network: as `nas.build` makes it; stays as it is.
        graph: of the network.
        inputs: `(batch, channels, height, width)`.
    """
    index = last_map(graph)
    if index is None:
        return None
    given = inputs.detach().clone().requires_grad_()
    output = truncated(network, graph, index)(given)
    _, _, height, width = output.shape
    (gradient,) = torch.autograd.grad(output[:, :, height // 2, width // 2].sum(), given)
    influence = gradient.double().abs().mean((0, 1))
    largest = float(influence.max())
    share = (influence / largest if largest else influence).numpy()
    rows, columns = np.nonzero(share)
    sides = (int(np.ptp(places)) + 1 if len(places) else 0 for places in (rows, columns))
    return EffectiveField(
        layer=graph.nodes[index].name,
        reached=max(sides),
        effective=float(np.sqrt((share >= _FLOOR).sum())) if largest else 0.0,
        influence=share,
    )
