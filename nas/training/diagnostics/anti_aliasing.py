"""A network that blurs before it subsamples, with the weights of one that does not.

Zhang 2019, "Making convolutional networks shift-invariant again", section 3.2: what has a stride is done at every
position, and a binomial filter of 3x3 with that stride follows, behind normalisation and activation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from nas.errors import ShapeError
from nas.network import ops
from nas.network.graph import Graph, Node, renumbered, with_memory
from nas.network.ops import Ints, Op, Shape

_KERNEL = 3
_BEHIND = (ops.BatchNorm, ops.Activation)
"""What stays between a convolution and its blur, where nothing else reads the convolution."""


def anti_aliased(graph: Graph) -> Graph | None:
    """Return a graph of the same parameters that blurs before it subsamples; None where there is nothing to change.

    Convolutions, maxima and means with a stride are changed, and shortcuts that leave positions out; but where the map
    is too small for the blur, or would have another size.
    """
    only_reader = _only_readers(graph)
    changed: dict[int, Op] = {}
    behind: dict[int, ops.Blur] = {}
    for index, node in enumerate(graph.nodes):
        blur = _blur_for(graph, node)
        if blur is None:
            continue
        if isinstance(node.op, ops.AvgPool):
            changed[index] = blur
            continue
        changed[index] = _at_every_position(node.op)
        last = index
        while last in only_reader and isinstance(graph.nodes[only_reader[last]].op, _BEHIND):
            last = only_reader[last]
        behind[last] = blur
    return _rebuilt(graph, changed, behind) if changed else None


def _only_readers(graph: Graph) -> Mapping[int, int]:
    """Return, for each node that one other alone reads, which."""
    uses = graph.uses()
    return {i: index for index, node in enumerate(graph.nodes) for i in node.inputs if uses[i] == 1}


def _stride(op: Op) -> Ints:
    """Return the stride of what can be done at every position instead; empty of everything else."""
    match op:
        case ops.Conv() | ops.MaxPool(ceil=False) | ops.AvgPool(ceil=False):
            return op.stride
        case ops.ChannelPad():
            return (op.stride, op.stride)
    return ()


def _at_every_position(op: Op) -> Op:
    """Return an operation with a stride of 1."""
    match op:
        case ops.Conv() | ops.MaxPool():
            return replace(op, stride=(1,) * len(op.stride))
        case ops.ChannelPad():
            return replace(op, stride=1)
    raise AssertionError(op)


def _blur_for(graph: Graph, node: Node) -> ops.Blur | None:
    """Return the blur that makes the stride of an operation of two dimensions; None where it has none, or cannot."""
    stride = _stride(node.op)
    if len(stride) != 2 or max(stride) == 1:
        return None
    shape: Shape = graph.nodes[node.inputs[0]].shape
    try:
        if not isinstance(node.op, ops.AvgPool):
            shape = _at_every_position(node.op).out_shape(shape)
        blur = ops.Blur(shape[0], (_KERNEL, _KERNEL), stride)
        return blur if blur.out_shape(shape) == node.shape else None
    except ShapeError:
        return None


def _rebuilt(graph: Graph, changed: Mapping[int, Op], behind: Mapping[int, ops.Blur]) -> Graph:
    """Return a graph with other operations in the place of some, and blurs behind some."""
    nodes: list[Node] = []
    place: dict[int, int] = {}
    for index, node in enumerate(graph.nodes):
        inputs = tuple(place[i] for i in node.inputs)
        op = changed.get(index, node.op)
        shape = op.out_shape(*(nodes[i].shape for i in inputs))
        nodes.append(Node(node.name, op, inputs, shape))
        if index in behind:
            blur = behind[index]
            nodes.append(Node(f"{node.name}_blur", blur, (len(nodes) - 1,), blur.out_shape(shape)))
        place[index] = len(nodes) - 1
    made = renumbered(graph, nodes, place)
    return replace(made, nodes=with_memory(made.nodes, made.ends))
