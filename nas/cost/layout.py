"""How values lie in memory in training, where torch copies what does not lie in order and keeps the copy."""

from __future__ import annotations

from math import prod

from nas.network import ops
from nas.network.graph import Graph, Node
from nas.network.ops import Tokens

Layout = int
"""`IN_ORDER`; `SPARSE`, as a part of something larger, or as one number that is seen everywhere; `TURNED`, whole, but
with the channels last, which torch passes on from one operation to the next. A map of two or three dimensions with its
channels last counts as in order, since normalisation takes it as it is.
"""
IN_ORDER, SPARSE, TURNED = 0, 1, 2
LAYOUTS = 3

_PASS_ON = (
    *(ops.Activation, ops.AdaptiveAvgPool, ops.Add, ops.AvgPool, ops.DropPath, ops.Dropout, ops.LayerScale),
    *(ops.LocalResponseNorm, ops.MaxPool, ops.PositionEmbedding, ops.Scale),
)


def layouts(graph: Graph, given: Layout = IN_ORDER) -> list[Layout]:
    """Return how the output of each operation lies in memory; `given` is that of the input."""
    found = [given]
    for node in graph.nodes[1:]:
        found.append(_layout(graph, node, [found[i] for i in node.inputs]))
    return found


def _layout(graph: Graph, node: Node, reads: list[Layout]) -> Layout:
    op, shape = node.op, node.shape
    if type(op) is ops.Zero:
        return SPARSE if prod(shape) > 1 else IN_ORDER
    if type(op) is ops.Crop:
        return SPARSE if shape != graph.nodes[node.inputs[0]].shape else reads[0]
    turns = type(op) is ops.ToTokens or (type(op) is ops.LayerNorm and op.of_map and not isinstance(shape, Tokens))
    if turns and len(shape) == 2:
        return TURNED if min(shape) > 1 else IN_ORDER
    return TURNED if type(op) in _PASS_ON and TURNED in reads else IN_ORDER
