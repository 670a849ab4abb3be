"""A network as a list of primitive operations with inferred shapes, and how graphs are joined and rewired."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import NamedTuple

from nas.errors import ShapeError
from nas.network import ops
from nas.network.ops import Op, Shape
from nas.network.user_operations import memory_of, states

TAKES_ONE = "takes one map, but the block before it gives several"
"""What is wrong with a block behind one that has several outputs."""
ONE_OUTPUT = "a network with auxiliary classifiers has one output"
"""What is wrong with auxiliary classifiers in a network of several outputs."""


class ValueRange(IntEnum):
    """Bounds that the numbers of a value are sure to hold; a larger member implies all smaller ones."""

    ANY = 0
    """No bound."""
    NOT_NEGATIVE = 1
    """At least 0."""
    UP_TO_6 = 2
    """From 0 to 6."""


# Python 3.11 takes as long for a member of an enumeration as for a call.
ANY, NOT_NEGATIVE, UP_TO_6 = ValueRange


class Node(NamedTuple):
    """One operation in a graph. A tuple, since lowering makes very many."""

    name: str
    """Hierarchical and unique, e.g. `stages.2.blocks.1.expand.conv`; parameters are named after it."""
    op: Op
    """What it computes."""
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
    """The input, then each operation behind all that it reads."""
    outputs: tuple[int, ...] = ()
    """Indices of what the network gives: one value, by default the last, or several for a pyramid of maps."""
    auxiliary: tuple[int, ...] = ()
    """Indices of what it gives in training only: predictions of auxiliary classifiers."""
    out_range: ValueRange = ANY
    """Bounds of the numbers of its first output."""

    def __post_init__(self) -> None:
        if not self.outputs:
            object.__setattr__(self, "outputs", (len(self.nodes) - 1,))

    @property
    def in_shape(self) -> Shape:
        """Shape of the input, without the batch."""
        return self.nodes[0].shape

    @property
    def out_shape(self) -> Shape:
        """Shape of the output, the last one where there are several."""
        return self.nodes[self.outputs[-1]].shape

    @property
    def out_shapes(self) -> tuple[Shape, ...]:
        """Shapes of all outputs, those of auxiliary classifiers not among them."""
        return tuple(self.nodes[i].shape for i in self.outputs)

    @property
    def ends(self) -> tuple[int, ...]:
        """Indices of all outputs, those in training only last."""
        return (*self.outputs, *self.auxiliary)

    def live(self, *, training: bool = False) -> list[int]:
        """Indices of the nodes that the outputs depend on, in order; in training the auxiliary outputs count too."""
        return self.ancestors({0, *(self.ends if training else self.outputs)})

    def ancestors(self, indices: Iterable[int]) -> list[int]:
        """Return the indices of some nodes and of all that they are computed from, in order."""
        needed = set(indices)
        for index in range(len(self.nodes) - 1, -1, -1):
            if index in needed:
                needed.update(self.nodes[index].inputs)
        return sorted(needed)

    def uses(self) -> list[int]:
        """Count how often each node is read: by other nodes, and as an output."""
        return uses(self.nodes, self.ends)


def uses(nodes: Sequence[Node], ends: Iterable[int]) -> list[int]:
    """Count how often each node is read: by other nodes, and as one of `ends`."""
    counted = [0] * len(nodes)
    for node in nodes:
        for index in node.inputs:
            counted[index] += 1
    for index in ends:
        counted[index] += 1
    return counted


def reading(node: Node, inputs: tuple[int, ...]) -> Node:
    """Return a node on other inputs; whether it works in place is then open again."""
    return node if node.inputs == inputs else Node(node.name, node.op, inputs, node.shape)


def renumbered(
    graph: Graph, nodes: Sequence[Node], index_of: Mapping[int, int], out_range: ValueRange | None = None
) -> Graph:
    """Return a graph of other nodes, with the outputs where they are among those.

    Args:
        graph: the graph whose outputs are kept.
        nodes: what stands in the place of its nodes.
        index_of: for each node that is an output, the index of what computes it now.
        out_range: bounds of the numbers of the first output; those of the graph where they stay.
    """
    outputs, auxiliary = (tuple([index_of[i] for i in ends]) for ends in (graph.outputs, graph.auxiliary))
    return Graph(tuple(nodes), outputs, auxiliary, graph.out_range if out_range is None else out_range)


def flattened(graph: Graph, kind: type[Op]) -> Graph:
    """Write an operation of a kind that reads another of that kind, which nothing else reads, as one on all inputs.

    For associative operations: sums of sums, maps that are joined in steps. The inner nodes stay, without a reader.
    """
    if kind not in [type(node.op) for node in graph.nodes]:
        return graph
    times = graph.uses()
    nodes = list(graph.nodes)
    for index, node in enumerate(nodes):
        if type(node.op) is kind:
            parts = [nodes[i].inputs if type(nodes[i].op) is kind and times[i] == 1 else (i,) for i in node.inputs]
            nodes[index] = reading(node, tuple([i for part in parts for i in part]))
    return replace(graph, nodes=tuple(nodes))


class Splice(NamedTuple):
    """The nodes of a graph as they stand behind others."""

    nodes: tuple[Node, ...]
    """All but its input, under new names."""
    outputs: tuple[int, ...]
    """Indices among all nodes."""
    auxiliary: tuple[int, ...]
    """Indices among all nodes."""


def splice(graph: Graph, source: int, length: int, prefix: str) -> Splice:
    """Write a graph behind other nodes.

    Args:
        graph: the graph to write; its own input is left out.
        source: index of the node that its operations read in the place of that input.
        length: how many nodes there are already.
        prefix: what its names begin with from now on.
    """
    offset = length - 1

    nodes = [
        Node(prefix + name, op, tuple([i + offset if i else source for i in inputs]), shape, in_place)
        for name, op, inputs, shape, in_place in graph.nodes[1:]
    ]
    outputs, auxiliary = (
        tuple([i + offset if i else source for i in ends]) for ends in (graph.outputs, graph.auxiliary)
    )
    return Splice(tuple(nodes), outputs, auxiliary)


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
    auxiliary: tuple[int, ...] = ()
    for name, graph in parts:
        if len(outputs) > 1:
            raise ShapeError(TAKES_ONE).inside(name)
        (source,) = outputs
        assert graph.in_shape == nodes[source].shape, (name, graph.in_shape, nodes[source].shape)
        part = splice(graph, source, len(nodes), f"{name}.")
        nodes += part.nodes
        outputs = part.outputs
        auxiliary += part.auxiliary
        if auxiliary and len(outputs) > 1:
            raise ShapeError(ONE_OUTPUT).inside(name)
    return Graph(tuple(nodes), outputs, auxiliary)


def with_memory(nodes: Sequence[Node], ends: Iterable[int]) -> tuple[Node, ...]:
    """Mark the operations that may write over their first input.

    They may where nobody else reads that memory, also not the backward pass of the operation that made it, and it is
    not the graph's input, which belongs to the caller. A sum is written over its first term, or else its second, which
    then comes first: so its cost does not depend on their order.

    Args:
        nodes: of a graph.
        ends: indices of its outputs, those in training only too.
    """
    free = _free_memory(nodes, uses(nodes, ends))

    def marked(node: Node) -> Node:
        if type(node.op) is ops.Add and len(node.inputs) > 1 and not free(node.inputs[0]) and free(node.inputs[1]):
            first, second, *others = node.inputs
            node = node._replace(inputs=(second, first, *others))
        in_place = memory_of(node.op) == "in_place" and free(node.inputs[0])
        return node if node.in_place == in_place else node._replace(in_place=in_place)

    return tuple([marked(node) for node in nodes])


def _free_memory(nodes: Sequence[Node], times: Sequence[int]) -> Callable[[int], bool]:
    """Return what says whether the memory of a node may be written over by its one reader."""

    def free(index: int) -> bool:
        node = nodes[index]
        if index == 0 or times[index] > 1 or "output" in node.op.saved:
            return False
        if type(node.op) not in ops.BUILT_IN and not (states(node.op, "memory") and states(node.op, "saved")):
            return False  # it may give a view, or read its output again
        if type(node.op) in (ops.Activation, ops.Zero):  # zeros are one number, seen everywhere
            return False
        return memory_of(node.op) != "view" or free(node.inputs[0])

    return free
