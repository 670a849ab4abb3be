"""The same function with fewer operations: sums of zeros, of one thing, repeated work, dead branches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nas.network import ops
from nas.network.graph import Graph, Node, with_memory
from nas.network.ops import Op

# Zero in gives zero out, whatever the weights.
_KEEP_ZERO = (ops.MaxPool, ops.AvgPool, ops.AdaptiveAvgPool, ops.GlobalAvgPool, ops.GlobalMaxPool, ops.Blur, ops.Scale)
# Nothing random and nothing learned: twice the same on the same input is once.
_RANDOM = (ops.Dropout, ops.DropPath)


def simplify(graph: Graph) -> Graph:
    """Return a graph that computes the same without what has no effect.

    Zeros fall out of sums and go through what keeps them zero, a sum of one thing is that thing, operations without
    weights are not repeated on the same input, and what no output depends on is left out.
    """
    kept: list[Node] = []
    place: dict[int, int] = {}
    known: dict[tuple[Op, tuple[int, ...]], int] = {}
    for index, old in enumerate(graph.nodes):
        node, alias = _simpler(old, tuple(place[i] for i in old.inputs), kept)
        key = (node.op, node.inputs)
        repeatable = not node.op.param_shapes and not isinstance(node.op, (*_RANDOM, ops.Input))
        if alias is None and repeatable:
            alias = known.get(key)
        if alias is None:
            alias = known[key] = len(kept)
            kept.append(node)
        place[index] = alias
    outputs = tuple(place[i] for i in graph.outputs)
    auxiliary = tuple(place[i] for i in graph.auxiliary)
    return _without_dead(Graph(tuple(kept), outputs, auxiliary))


def _simpler(node: Node, inputs: tuple[int, ...], kept: Sequence[Node]) -> tuple[Node, int | None]:
    """Return the node on its new inputs, or with it the index of a node that is the same."""
    op = node.op
    zero = [isinstance(kept[i].op, ops.Zero) for i in inputs]
    if isinstance(op, ops.Add):
        terms = tuple(i for i, none in zip(inputs, zero, strict=True) if not none) or inputs[:1]
        return replace(node, inputs=terms), terms[0] if len(terms) == 1 else None
    if isinstance(op, ops.Concat) and len(inputs) == 1:
        return node, inputs[0]
    if zero and zero[0] and _zero_stays(op):
        if kept[inputs[0]].shape == node.shape:
            return node, inputs[0]
        return replace(node, op=ops.Zero(node.shape), inputs=kept[inputs[0]].inputs), None
    return replace(node, inputs=inputs), None


def _zero_stays(op: Op) -> bool:
    if isinstance(op, ops.Activation):
        return op.zero_at_zero
    if isinstance(op, ops.Conv | ops.ConvTranspose | ops.Linear):
        return not op.bias
    return isinstance(op, (*_KEEP_ZERO, *_RANDOM, ops.Zero))


def _without_dead(graph: Graph) -> Graph:
    live = graph.live(training=True)
    place = {old: new for new, old in enumerate(live)}
    nodes = [replace(graph.nodes[i], inputs=tuple(place[j] for j in graph.nodes[i].inputs)) for i in live]
    outputs = tuple(place[i] for i in graph.outputs)
    auxiliary = tuple(place[i] for i in graph.auxiliary)
    return Graph(with_memory(nodes, (*outputs, *auxiliary)), outputs, auxiliary)
