"""A network as a list of primitive operations with inferred shapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from nas.errors import ShapeError
from nas.network import ops
from nas.network.ops import Op, Shape
from nas.network.own import memory_of, states

TAKES_ONE = "takes one map, but the block before it gives several"
Range = int
"""What is known of the values of a tensor: `ANY`, `NOT_NEGATIVE` or `UP_TO_6`; each says more than the one before."""
ANY, NOT_NEGATIVE, UP_TO_6 = 0, 1, 2
ONE_OUTPUT = "a network with auxiliary classifiers has one output"


@dataclass(frozen=True, slots=True)
class Node:
    """One operation in a graph."""

    name: str
    """Hierarchical and unique, e.g. `stages.2.blocks.1.expand.conv`; parameters are named after it."""
    op: Op
    inputs: tuple[int, ...]
    """Indices of the nodes it reads, all before it."""
    shape: Shape
    """Shape of its output, without the batch."""
    in_place: bool = False
    """Whether it writes over the memory of its first input."""


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Operations in an order in which they can run. The first is the input.

    Two graphs are compared by `nas.network.identity.graph_id`, not by `==`.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[int, ...] = ()
    """What the network gives: one value, by default the last, or several for a pyramid of maps."""
    auxiliary: tuple[int, ...] = ()
    """What it gives in training only: predictions of auxiliary classifiers."""
    out_range: Range = ANY
    """What is known of the values of its first output."""

    def __post_init__(self) -> None:
        if not self.outputs:
            object.__setattr__(self, "outputs", (len(self.nodes) - 1,))

    @property
    def in_shape(self) -> Shape:
        return self.nodes[0].shape

    @property
    def out_shape(self) -> Shape:
        """Shape of the output, the last one where there are several."""
        return self.nodes[self.outputs[-1]].shape

    @property
    def out_shapes(self) -> tuple[Shape, ...]:
        return tuple(self.nodes[i].shape for i in self.outputs)

    def live(self, *, training: bool = False) -> list[int]:
        """Indices of the nodes that the outputs depend on, in order; in training the auxiliary outputs count too."""
        wanted = {0, *self.outputs, *(self.auxiliary if training else ())}
        for index in range(len(self.nodes) - 1, -1, -1):
            if index in wanted:
                wanted.update(self.nodes[index].inputs)
        return sorted(wanted)


def with_memory(nodes: Sequence[Node], outputs: Iterable[int]) -> tuple[Node, ...]:
    """Mark the operations that may write over their first input.

    They may where nobody else reads that memory, also not the backward pass of the operation that made it, and it is
    not the graph's input, which belongs to somebody else. A sum is written over its first term, or else its second,
    which then comes first: so its cost does not depend on their order.
    """
    uses = Counter(i for node in nodes for i in node.inputs)
    uses.update(outputs)

    def free(index: int) -> bool:
        node = nodes[index]
        if index == 0 or uses[index] > 1 or "output" in node.op.saved:
            return False
        if type(node.op) not in ops.BUILT_IN and not (states(node.op, "memory") and states(node.op, "saved")):
            return False  # it may give a view, or read its output again
        if type(node.op) in (ops.Activation, ops.Zero):  # zeros are one number, seen everywhere
            return False
        return memory_of(node.op) != "view" or free(node.inputs[0])

    def marked(node: Node) -> Node:
        if type(node.op) is ops.Add and len(node.inputs) > 1 and not free(node.inputs[0]) and free(node.inputs[1]):
            first, second, *others = node.inputs
            node = replace(node, inputs=(second, first, *others))
        in_place = memory_of(node.op) == "in_place" and free(node.inputs[0])
        return node if node.in_place == in_place else replace(node, in_place=in_place)

    return tuple(marked(node) for node in nodes)


def chain(in_shape: Shape, parts: Iterable[tuple[str, Graph]]) -> Graph:
    """Join graphs one behind the other; each part's node names get its name as a prefix.

    Args:
        in_shape: shape of the network's input.
        parts: `(name, graph)`, where each graph takes the output of the one before.

    Raises:
        ShapeError: a part with several outputs is not the last, or there are auxiliary classifiers beside it.
    """
    nodes = [Node("input", ops.Input(in_shape), (), in_shape)]
    outputs: tuple[int, ...] = (0,)
    auxiliary: list[int] = []
    for name, graph in parts:
        if len(outputs) > 1:
            raise ShapeError(TAKES_ONE).inside(name)
        # A part's own input (index 0) is the last output so far; its other nodes follow behind.
        offset, first = len(nodes) - 1, outputs[0]
        assert graph.in_shape == nodes[first].shape, (name, graph.in_shape, nodes[first].shape)

        def moved(index: int, offset: int = offset, first: int = first) -> int:
            return index + offset if index else first

        nodes += [
            Node(f"{name}.{n.name}", n.op, tuple(map(moved, n.inputs)), n.shape, n.in_place) for n in graph.nodes[1:]
        ]
        outputs = tuple(map(moved, graph.outputs))
        auxiliary += map(moved, graph.auxiliary)
        if auxiliary and len(outputs) > 1:
            raise ShapeError(ONE_OUTPUT).inside(name)
    return Graph(tuple(nodes), outputs, tuple(auxiliary))
