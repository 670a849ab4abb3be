"""The same function with fewer operations: sums of zeros, of one thing, repeated work, dead branches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from nas.network import ops
from nas.network.graph import ANY, NOT_NEGATIVE, UP_TO_6, Graph, Node, Range, with_memory
from nas.network.ops import Op, Shape

# Zero in gives zero out, whatever the weights.
_KEEP_ZERO = (
    *(ops.AdaptiveAvgPool, ops.AvgPool, ops.Blur, ops.DropPath, ops.Dropout, ops.GlobalAvgPool, ops.GlobalMaxPool),
    *(ops.MaxPool, ops.Scale, ops.Zero),
)
# With weights or chance, twice the same on the same input is not once.
_ONCE_EACH = frozenset(
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
# Values within 0 and what goes in, or of it, so that what they read is at least 0, or from 0 to 6, holds of them too.
_SELECT = (
    *(ops.ChannelPad, ops.ChannelShuffle, ops.Concat, ops.Crop, ops.Flatten, ops.GlobalMaxPool, ops.MaxPool, ops.Pad),
    *(ops.TakeToken, ops.ToTokens, ops.Upsample),
)
_KEEP_SIGN = (
    *(ops.Add, ops.AdaptiveAvgPool, ops.AvgPool, ops.Blur, ops.Dropout, ops.DropPath, ops.GlobalAvgPool, ops.MeanToken),
    *(ops.LocalResponseNorm, ops.Scale),
)
# The same as their input where they keep its shape.
_SAME_IN_PLACE = (
    *(ops.AdaptiveAvgPool, ops.ChannelPad, ops.Crop, ops.Flatten, ops.GlobalAvgPool, ops.GlobalMaxPool, ops.Pad),
    ops.Upsample,
)

SCHEME = 3
"""Counts up whenever ids change, as when networks get simpler than before. 1 did without `_same_as_input`, `_canonical`
and `_flat_concats`; 2 took operations of users for those that they derive from, and told them apart by their short name
alone."""


def simplify(graph: Graph, in_range: Range = ANY, *, scheme: int = SCHEME) -> Graph:
    """Return a graph that computes the same without what has no effect.

    Zeros fall out of sums and go through what keeps them zero, a sum of one thing is that thing, operations without
    weights are not repeated on the same input, what gives its input back is left out, joined maps are joined once, and
    what no output depends on is left out. All that holds of the operations that come with nas alone: what a user
    derives from one of them has other code.

    Args:
        graph: what a block wrote.
        in_range: what is known of the values of its input.
        scheme: 1 for what was known of this before `SCHEME`, to find the ids of then.
    """
    kept: list[Node] = []
    ranges: list[Range] = []
    place: dict[int, int] = {}
    known: dict[tuple[Op, tuple[int, ...]], int] = {}
    for index, old in enumerate(graph.nodes):
        node, alias = _simpler(old, tuple([place[i] for i in old.inputs]), kept)
        if alias is None and node.inputs and scheme > 1:
            first = kept[node.inputs[0]].shape
            node = _canonical(node, first)
            alias = node.inputs[0] if _same_as_input(node, first, ranges[node.inputs[0]]) else None
        if alias is None and type(node.op) not in _ONCE_EACH and type(node.op) in ops.BUILT_IN:
            key = (node.op, tuple(sorted(node.inputs)) if type(node.op) is ops.Add else node.inputs)
            alias = known.setdefault(key, len(kept))
        if alias is None or alias == len(kept):
            alias = len(kept)
            kept.append(node)
            ranges.append(_range(node.op, [ranges[i] for i in node.inputs]) if index else in_range)
        place[index] = alias
    outputs = tuple(place[i] for i in graph.outputs)
    auxiliary = tuple(place[i] for i in graph.auxiliary)
    found = Graph(tuple(kept), outputs, auxiliary, ranges[outputs[0]])
    return _without_dead(_flat_concats(found) if scheme > 1 else found)


def _same_as_input(node: Node, in_shape: Shape, in_range: Range) -> bool:
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
    return type(op) in _SAME_IN_PLACE and node.shape == in_shape


def _canonical(node: Node, in_shape: Shape) -> Node:
    """Write what has no effect on an operation in one way: holes in a window of one, padding where there is none."""
    op = node.op
    if type(op) is ops.Conv and any(k == 1 < d for k, d in zip(op.kernel, op.dilation, strict=True)):
        holes = tuple(d if k > 1 else 1 for k, d in zip(op.kernel, op.dilation, strict=True))
        return replace(node, op=replace(op, dilation=holes))
    if (type(op) is ops.MaxPool or type(op) is ops.AvgPool) and op.ceil:
        floor = replace(op, ceil=False)
        if _fits(floor, in_shape) and floor.out_shape(in_shape) == node.shape:
            node = replace(node, op=floor)
    op = node.op
    if type(op) is ops.AvgPool and not op.count_padding and not any(op.padding):
        return replace(node, op=replace(op, count_padding=True))
    return node


def _fits(pool: ops.MaxPool | ops.AvgPool, in_shape: Shape) -> bool:
    """Whether a window fits in the map with its padding, so that pooling rounded down gives one."""
    sizes = zip(pool.kernel, pool.padding, in_shape[1:], strict=True)
    return all(k <= n + 2 * p for k, p, n in sizes)


def _range(op: Op, reads: Sequence[Range]) -> Range:
    """What is known of the values that an operation gives."""
    if type(op) is ops.Activation:
        if op.kind == "relu":
            return NOT_NEGATIVE
        return UP_TO_6 if op.kind in ("relu6", "sigmoid", "hardsigmoid") else ANY
    if type(op) is ops.Zero:
        return UP_TO_6
    if type(op) in _SELECT:
        return min(reads)
    return min(NOT_NEGATIVE, *reads) if type(op) in _KEEP_SIGN else ANY


def _flat_concats(graph: Graph) -> Graph:
    """Join at once what is joined in steps, where nobody else reads what is joined first."""
    uses = Counter(i for node in graph.nodes for i in node.inputs)
    uses.update((*graph.outputs, *graph.auxiliary))
    nodes = list(graph.nodes)
    for index, node in enumerate(nodes):
        if type(node.op) is ops.Concat:
            parts = [nodes[i].inputs if type(nodes[i].op) is ops.Concat and uses[i] == 1 else (i,) for i in node.inputs]
            nodes[index] = _reading(node, tuple(i for part in parts for i in part))
    return replace(graph, nodes=tuple(nodes))


def _simpler(node: Node, inputs: tuple[int, ...], kept: Sequence[Node]) -> tuple[Node, int | None]:
    """Return the node on its new inputs, or with it the index of a node that is the same."""
    op = node.op
    if type(op) is ops.Zero:  # whatever it was made of
        return _reading(node, (0,)), None
    if type(op) is ops.Add:
        terms = tuple([i for i in inputs if type(kept[i].op) is not ops.Zero]) or inputs[:1]
        return _reading(node, terms), terms[0] if len(terms) == 1 else None
    if type(op) is ops.Concat and len(inputs) == 1:
        return node, inputs[0]
    if inputs and type(kept[inputs[0]].op) is ops.Zero and _zero_stays(op):
        if kept[inputs[0]].shape == node.shape:
            return node, inputs[0]
        return replace(node, op=ops.Zero(node.shape), inputs=kept[inputs[0]].inputs), None
    return _reading(node, inputs), None


def _zero_stays(op: Op) -> bool:
    if type(op) is ops.Activation:
        return op.zero_at_zero
    if type(op) is ops.Conv or type(op) is ops.ConvTranspose or type(op) is ops.Linear:
        return not op.bias
    return type(op) in _KEEP_ZERO


def _without_dead(graph: Graph) -> Graph:
    live = graph.live(training=True)
    if len(live) < len(graph.nodes):
        place = {old: new for new, old in enumerate(live)}
        nodes = [_reading(graph.nodes[i], tuple([place[j] for j in graph.nodes[i].inputs])) for i in live]
        outputs = tuple(place[i] for i in graph.outputs)
        auxiliary = tuple(place[i] for i in graph.auxiliary)
        graph = replace(graph, nodes=tuple(nodes), outputs=outputs, auxiliary=auxiliary)
    return replace(graph, nodes=with_memory(graph.nodes, (*graph.outputs, *graph.auxiliary)))


def _reading(node: Node, inputs: tuple[int, ...]) -> Node:
    """The node on other inputs."""
    return node if node.inputs == inputs else Node(node.name, node.op, inputs, node.shape)
