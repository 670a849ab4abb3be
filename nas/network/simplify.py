"""The same function with fewer operations: without sums of zeros or of one term, repeated work, dead branches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nas.network import ops
from nas.network.graph import (
    ANY,
    NOT_NEGATIVE,
    UP_TO_6,
    Graph,
    Node,
    ValueRange,
    flattened,
    reading,
    renumbered,
    with_memory,
)
from nas.network.ops import Op, Shape

# Of zeros they give zeros, whatever the weights.
_KEEP_ZERO = frozenset(
    {
        *(ops.AdaptiveAvgPool, ops.AvgPool, ops.Blur, ops.DropPath, ops.Dropout, ops.GlobalAvgPool, ops.GlobalMaxPool),
        *(ops.MaxPool, ops.Scale, ops.Zero),
    }
)
# With weights or randomness: two equal ones on the same input compute different values.
_NEVER_SHARED = frozenset(
    {
        ops.BatchNorm,
        ops.ClassToken,
        ops.Conv,
        ops.ConvTranspose,
        ops.DropPath,
        ops.Dropout,
        ops.GroupNorm,
        ops.Input,
        ops.LayerNorm,
        ops.LayerScale,
        ops.Linear,
        ops.PositionEmbedding,
    }
)
# Whatever they read, they have an effect, and there is one way to write them.
_AS_WRITTEN = frozenset(
    {ops.Add, ops.BatchNorm, ops.Concat, ops.GroupNorm, ops.LayerNorm, ops.Linear, ops.Scale, ops.Zero}
)
# They give numbers that they read, or zeros, so that bounds of what they read hold for what they give.
_KEEP_RANGE = frozenset(
    {
        *(ops.ChannelPad, ops.ChannelShuffle, ops.Concat, ops.Crop, ops.Flatten, ops.GlobalMaxPool, ops.MaxPool),
        *(ops.Pad, ops.TakeToken, ops.ToTokens, ops.Upsample),
    }
)
# Of numbers that are not negative they give such.
_KEEP_SIGN = frozenset(
    {
        *(ops.Add, ops.AdaptiveAvgPool, ops.AvgPool, ops.Blur, ops.Dropout, ops.DropPath, ops.GlobalAvgPool),
        *(ops.LocalResponseNorm, ops.MeanToken, ops.Scale, ops.UpsampleBilinear),
    }
)
# They give back their input where they keep its shape.
_IDENTITY_AT_SAME_SHAPE = frozenset(
    {
        *(ops.AdaptiveAvgPool, ops.ChannelPad, ops.Crop, ops.Flatten, ops.GlobalAvgPool, ops.GlobalMaxPool, ops.Pad),
        *(ops.Upsample, ops.UpsampleBilinear),
    }
)

SCHEME = 3
"""Counts up whenever ids change, as when networks get simpler than before. 1 did without `same_as_input`, `_canonical`
and joining at once what is joined in steps; 2 took operations of users for those that they derive from, and told them
apart by their short name alone."""


def simplify(graph: Graph, in_range: ValueRange = ANY, *, scheme: int = SCHEME) -> Graph:
    """Return a graph that computes the same without what has no effect.

    Zeros fall out of sums and go through what keeps them zero, a sum of one term is that term, operations without
    weights are not repeated on the same input, what gives its input back is left out, joined maps are joined once, and
    what no output depends on is left out. All that holds of the operations that come with nas alone: what a user
    derives from one of them has other code.

    Args:
        graph: what a block wrote.
        in_range: bounds of the numbers of its input.
        scheme: 1 to simplify as before `SCHEME` 2, to find the ids of then.
    """
    kept: list[Node] = []
    ranges: list[ValueRange] = []
    """Of the outputs of the nodes in `kept`."""
    index_of: dict[int, int] = {}
    """For each node of the graph the index in `kept` of what computes it."""
    computed: dict[tuple[Op, tuple[int, ...]], int] = {}
    """Index in `kept` of an operation on inputs, where that may be shared."""
    for index, old in enumerate(graph.nodes):
        node, same = _simpler(old, tuple([index_of[i] for i in old.inputs]), kept)
        if same is None and node.inputs and scheme > 1 and type(node.op) not in _AS_WRITTEN:
            in_shape = kept[node.inputs[0]].shape
            node = _canonical(node, in_shape)
            same = node.inputs[0] if same_as_input(node, in_shape, ranges[node.inputs[0]]) else None
        if same is None and type(node.op) not in _NEVER_SHARED and type(node.op) in ops.BUILT_IN:
            key = (node.op, tuple(sorted(node.inputs)) if type(node.op) is ops.Add else node.inputs)
            same = computed.setdefault(key, len(kept))
        if same is None or same == len(kept):
            same = len(kept)
            kept.append(node)
            ranges.append(range_of(node.op, [ranges[i] for i in node.inputs]) if index else in_range)
        index_of[index] = same
    simpler = renumbered(graph, kept, index_of, ranges[index_of[graph.outputs[0]]])
    return _without_dead(flattened(simpler, ops.Concat) if scheme > 1 else simpler)


def same_as_input(node: Node, in_shape: Shape, in_range: ValueRange) -> bool:
    """Whether an operation gives back what it reads first, whatever that is."""
    op = node.op
    if type(op) is ops.Activation:
        return (op.kind == "relu" and in_range >= NOT_NEGATIVE) or (op.kind == "relu6" and in_range == UP_TO_6)
    if type(op) is ops.MaxPool or type(op) is ops.AvgPool:
        return node.shape == in_shape and max(op.kernel) == 1 and not any(op.padding)
    if type(op) is ops.Blur:
        return node.shape == in_shape and max(op.kernel) == 1
    if type(op) is ops.ChannelShuffle:
        return op.groups in (1, in_shape[0])
    if type(op) is ops.Dropout or type(op) is ops.DropPath:
        return op.rate == 0
    return type(op) in _IDENTITY_AT_SAME_SHAPE and node.shape == in_shape


def _canonical(node: Node, in_shape: Shape) -> Node:
    """Write settings that have no effect on an operation in one way: dilation of a kernel of 1, padding of 0."""
    op = node.op
    if type(op) is ops.Conv:
        holes = op.dilation
        if max(op.dilation) > 1:
            holes = tuple(d if k > 1 else 1 for k, d in zip(op.kernel, op.dilation, strict=True))
        if holes == op.dilation:
            return node
        return node._replace(op=replace(op, dilation=holes))
    if (type(op) is ops.MaxPool or type(op) is ops.AvgPool) and op.ceil:
        floor = replace(op, ceil=False)
        if _fits(floor, in_shape) and floor.out_shape(in_shape) == node.shape:
            node = node._replace(op=floor)
    op = node.op
    if type(op) is ops.AvgPool and not op.count_padding and not any(op.padding):
        return node._replace(op=replace(op, count_padding=True))
    return node


def _fits(pool: ops.MaxPool | ops.AvgPool, in_shape: Shape) -> bool:
    """Whether a window fits in the map with its padding, so that pooling rounded down gives one."""
    sizes = zip(pool.kernel, pool.padding, in_shape[1:], strict=True)
    return all(k <= n + 2 * p for k, p, n in sizes)


def range_of(op: Op, reads: Sequence[ValueRange]) -> ValueRange:
    """Return bounds of the numbers that an operation gives, from those of what it reads."""
    if type(op) is ops.Activation:
        if op.kind == "relu":
            return NOT_NEGATIVE
        return UP_TO_6 if op.kind in ("relu6", "sigmoid", "hardsigmoid") else ANY
    if type(op) is ops.Zero:
        return UP_TO_6
    if type(op) in _KEEP_RANGE:
        return min(reads)
    return min(NOT_NEGATIVE, *reads) if type(op) in _KEEP_SIGN else ANY


def _simpler(node: Node, inputs: tuple[int, ...], kept: Sequence[Node]) -> tuple[Node, int | None]:
    """Return the node on its new inputs, and the index of a node in `kept` that computes the same, if there is one."""
    op = node.op
    if type(op) is ops.Zero:  # whatever it was made of
        return reading(node, (0,)), None
    if type(op) is ops.Add:
        terms = tuple([i for i in inputs if type(kept[i].op) is not ops.Zero]) or inputs[:1]
        return reading(node, terms), terms[0] if len(terms) == 1 else None
    if type(op) is ops.Concat and len(inputs) == 1:
        return node, inputs[0]
    if inputs and type(kept[inputs[0]].op) is ops.Zero and _zero_stays(op):
        if kept[inputs[0]].shape == node.shape:
            return node, inputs[0]
        return node._replace(op=ops.Zero(node.shape), inputs=kept[inputs[0]].inputs), None
    return reading(node, inputs), None


def _zero_stays(op: Op) -> bool:
    if type(op) is ops.Activation:
        return op.zero_at_zero
    if type(op) is ops.Conv or type(op) is ops.ConvTranspose or type(op) is ops.Linear:
        return not op.bias
    return type(op) in _KEEP_ZERO


def _without_dead(graph: Graph) -> Graph:
    live = graph.live(training=True)
    if len(live) < len(graph.nodes):
        index_of = {old: new for new, old in enumerate(live)}
        nodes = [reading(graph.nodes[i], tuple([index_of[j] for j in graph.nodes[i].inputs])) for i in live]
        graph = renumbered(graph, nodes, index_of)
    return replace(graph, nodes=with_memory(graph.nodes, graph.ends))
