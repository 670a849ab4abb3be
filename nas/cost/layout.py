"""How values lie in memory: torch copies what does not lie in order where an operation needs it so."""

from __future__ import annotations

from math import prod

from nas.network import ops
from nas.network.graph import Graph, Node
from nas.network.ops import Shape, Tokens

Layout = int
"""`IN_ORDER`; `REPEATED`, one number that is seen everywhere; `PART` of something larger; `TURNED`, whole, but channels
last (of tokens: positions last), which torch passes on from one operation to the next.
"""
IN_ORDER, REPEATED, PART, TURNED = 0, 1, 2, 3
LAYOUTS = 4

_ANY_TURNED = (
    *(ops.Activation, ops.AdaptiveAvgPool, ops.Add, ops.AvgPool, ops.DropPath, ops.Dropout, ops.LayerScale),
    *(ops.LocalResponseNorm, ops.MaxPool, ops.PositionEmbedding, ops.Scale),
)
# Torch knows a format with channels last for maps of two and three dimensions only.
_MAPS_TURNED = (
    *(ops.BatchNorm, ops.Blur, ops.ChannelPad, ops.Concat, ops.Conv, ops.ConvTranspose, ops.GroupNorm, ops.Pad),
    ops.Upsample,
)


def layouts(graph: Graph, given: Layout = IN_ORDER) -> list[Layout]:
    """Return how the output of each operation lies in memory; `given` is that of the input.

    Where that depends on more than the graph, as after a sum of both, it is `TURNED`, so that nothing is counted too
    low. The outputs of operations of users are taken to lie in order.
    """
    found = [given]
    for node in graph.nodes[1:]:
        found.append(_layout(graph, node, [found[i] for i in node.inputs]))
    return found


def scattered(shape: Shape, layout: Layout) -> bool:
    """Whether a normalisation over groups, or attention, has to copy it."""
    return layout in (REPEATED, PART) or (layout == TURNED and len(shape) == 2)


def copied(graph: Graph, node: Node, layout: Layout) -> bool:
    """Whether what would be a view of an input is a copy, since the input lies so."""
    if type(node.op) is ops.Flatten:
        return layout in (PART, TURNED)
    return type(node.op) is ops.ToTokens and layout == PART and len(graph.nodes[node.inputs[0]].shape) > 2


def _layout(graph: Graph, node: Node, reads: list[Layout]) -> Layout:
    op, shape = node.op, node.shape
    if type(op) is ops.Zero:
        return REPEATED if prod(shape) > 1 else IN_ORDER
    if type(op) is ops.Crop:
        return PART if shape != graph.nodes[node.inputs[0]].shape else reads[0]
    if len(shape) == 1 or shape[0] == 1 or prod(shape[1:]) == 1:
        return IN_ORDER
    if type(op) is ops.ToTokens:
        return {TURNED: IN_ORDER, REPEATED: REPEATED}.get(reads[0], TURNED)
    turned = TURNED in reads and (type(op) in _ANY_TURNED or (type(op) in _MAPS_TURNED and len(shape) > 2))
    turns = type(op) is ops.LayerNorm and not isinstance(shape, Tokens)
    return TURNED if turns or turned else IN_ORDER
