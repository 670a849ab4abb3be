"""How values lie in memory: torch copies a value that does not lie in order where an operation needs it so."""

from __future__ import annotations

from enum import IntEnum
from math import prod

from nas.network import ops
from nas.network.graph import Graph, Node
from nas.network.ops import Shape, Tokens


class Layout(IntEnum):
    """How the numbers of a value lie in memory."""

    IN_ORDER = 0
    """Contiguous, channels first."""
    REPEATED = 1
    """One number that is seen at every position."""
    PART = 2
    """A part of something larger."""
    CHANNELS_LAST = 3
    """Whole, but channels last (of tokens: positions last), which torch passes on from one operation to the next."""


# Python 3.11 takes as long for a member of an enumeration as for a call.
IN_ORDER, REPEATED, PART, CHANNELS_LAST = Layout

_PASS_ON_ALWAYS = (
    *(ops.Activation, ops.AdaptiveAvgPool, ops.Add, ops.AvgPool, ops.DropPath, ops.Dropout, ops.LayerScale),
    *(ops.LocalResponseNorm, ops.MaxPool, ops.PositionEmbedding, ops.Scale),
)
# What gives another layout to a value that lies in order; all others keep it so.
_LEAVE_ORDER = frozenset({ops.Crop, ops.LayerNorm, ops.ToTokens, ops.Zero})
# Torch has a format with channels last for maps of two and three dimensions only.
_PASS_ON_OF_MAPS = (
    *(ops.BatchNorm, ops.Blur, ops.ChannelPad, ops.Concat, ops.Conv, ops.ConvTranspose, ops.GroupNorm, ops.Pad),
    *(ops.Upsample, ops.UpsampleBilinear),
)


def layouts(graph: Graph, in_layout: Layout = IN_ORDER) -> list[Layout]:
    """Return how the output of each operation lies in memory.

    Where that depends on more than the graph, as after a sum of both, it is `CHANNELS_LAST`, so that nothing is counted
    too low. The outputs of operations of users are taken to lie in order.

    Args:
        graph: the graph.
        in_layout: how its input lies.
    """
    if in_layout == IN_ORDER and _LEAVE_ORDER.isdisjoint([type(node.op) for node in graph.nodes]):
        return [IN_ORDER] * len(graph.nodes)
    node_layouts = [in_layout]
    for node in graph.nodes[1:]:
        node_layouts.append(_layout(graph, node, [node_layouts[i] for i in node.inputs]))
    return node_layouts


def scattered(shape: Shape, layout: Layout) -> bool:
    """Whether a normalisation over groups, or attention, has to copy a value that lies so."""
    return layout in (REPEATED, PART) or (layout == CHANNELS_LAST and len(shape) == 2)


def copied(graph: Graph, node: Node, layout: Layout) -> bool:
    """Whether an operation that gives a view of its input copies it, since the input has this layout."""
    if type(node.op) is ops.Flatten:
        return layout in (PART, CHANNELS_LAST)
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
        return {CHANNELS_LAST: IN_ORDER, REPEATED: REPEATED}.get(reads[0], CHANNELS_LAST)
    passed_on = CHANNELS_LAST in reads and (
        type(op) in _PASS_ON_ALWAYS or (type(op) in _PASS_ON_OF_MAPS and len(shape) > 2)
    )
    turned = type(op) is ops.LayerNorm and not isinstance(shape, Tokens)
    return CHANNELS_LAST if turned or passed_on else IN_ORDER
