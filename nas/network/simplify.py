"""The same function with fewer operations: sums of zeros, of one thing, repeated work, dead branches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nas.network import ops
from nas.network.graph import Graph, Node, with_memory
from nas.network.ops import Op

# Zero in gives zero out, whatever the weights.
_KEEP_ZERO = (ops.MaxPool, ops.AvgPool, ops.AdaptiveAvgPool, ops.GlobalAvgPool, ops.GlobalMaxPool, ops.Blur, ops.Scale)
_RANDOM = (ops.Dropout, ops.DropPath)
# With weights or chance, twice the same on the same input is not once.
_ONCE_EACH = frozenset(
    {
        *_RANDOM,
        ops.BatchNorm,
        ops.ClassToken,
        ops.Conv,
        ops.ConvTranspose,
        ops.GroupNorm,
        ops.Input,
        ops.LayerNorm,
        ops.LayerScale,
        ops.Linear,
        ops.PositionEmbedding,
    }
)
_LINEAR = (ops.Conv, ops.ConvTranspose, ops.Linear)


def simplify(graph: Graph) -> Graph:
    """Return a graph that computes the same without what has no effect.

    Zeros fall out of sums and go through what keeps them zero, a sum of one thing is that thing, operations without
    weights are not repeated on the same input, and what no output depends on is left out.
    """
    kept: list[Node] = []
    place: dict[int, int] = {}
    known: dict[tuple[Op, tuple[int, ...]], int] = {}
    for index, old in enumerate(graph.nodes):
        node, alias = _simpler(old, tuple([place[i] for i in old.inputs]), kept)
        if alias is None and type(node.op) not in _ONCE_EACH:
            key = (node.op, tuple(sorted(node.inputs)) if isinstance(node.op, ops.Add) else node.inputs)
            alias = known.setdefault(key, len(kept))
        if alias is None or alias == len(kept):
            alias = len(kept)
            kept.append(node)
        place[index] = alias
    outputs = tuple(place[i] for i in graph.outputs)
    auxiliary = tuple(place[i] for i in graph.auxiliary)
    return _without_dead(Graph(tuple(kept), outputs, auxiliary))


def _simpler(node: Node, inputs: tuple[int, ...], kept: Sequence[Node]) -> tuple[Node, int | None]:
    """Return the node on its new inputs, or with it the index of a node that is the same."""
    op = node.op
    if isinstance(op, ops.Zero):  # whatever it was made of
        return _reading(node, (0,)), None
    if isinstance(op, ops.Add):
        terms = tuple([i for i in inputs if not isinstance(kept[i].op, ops.Zero)]) or inputs[:1]
        return _reading(node, terms), terms[0] if len(terms) == 1 else None
    if isinstance(op, ops.Concat) and len(inputs) == 1:
        return node, inputs[0]
    if inputs and isinstance(kept[inputs[0]].op, ops.Zero) and _zero_stays(op):
        if kept[inputs[0]].shape == node.shape:
            return node, inputs[0]
        return replace(node, op=ops.Zero(node.shape), inputs=kept[inputs[0]].inputs), None
    return _reading(node, inputs), None


def _zero_stays(op: Op) -> bool:
    if isinstance(op, ops.Activation):
        return op.zero_at_zero
    if isinstance(op, _LINEAR):
        return not op.bias
    return isinstance(op, (*_KEEP_ZERO, *_RANDOM, ops.Zero))


def _without_dead(graph: Graph) -> Graph:
    live = graph.live(training=True)
    if len(live) < len(graph.nodes):
        place = {old: new for new, old in enumerate(live)}
        nodes = [_reading(graph.nodes[i], tuple([place[j] for j in graph.nodes[i].inputs])) for i in live]
        outputs = tuple(place[i] for i in graph.outputs)
        auxiliary = tuple(place[i] for i in graph.auxiliary)
        graph = Graph(tuple(nodes), outputs, auxiliary)
    return Graph(with_memory(graph.nodes, (*graph.outputs, *graph.auxiliary)), graph.outputs, graph.auxiliary)


def _reading(node: Node, inputs: tuple[int, ...]) -> Node:
    """The node on other inputs."""
    return node if node.inputs == inputs else Node(node.name, node.op, inputs, node.shape)
