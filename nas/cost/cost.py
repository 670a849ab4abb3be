"""Params, multiply-adds, activations and stored size of a network, from its graph."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from math import prod

from nas.errors import ShapeError
from nas.network.architecture import Architecture, Section
from nas.network.graph import Graph
from nas.network.lower import section_graphs
from nas.network.ops import Shape


@dataclass(frozen=True, slots=True)
class Cost:
    """Costs that follow from the graph alone, at batch 1 and the architecture's input size."""

    params: int = 0
    """Learned numbers."""
    macs: int = 0
    """Multiply-adds of convolution and linear layers; bias, normalisation, activation and pooling not counted.
    Papers mostly call this FLOPs; FLOPs are 2 x MACs."""
    activations: int = 0
    """Numbers that all operations write to new memory in inference, together: activation functions and dropout
    work in place, flattening is a view, the input is not counted."""
    size_bytes: int = 0
    """Bytes of the stored state: parameters and running statistics, in fp32."""

    @property
    def size_mib(self) -> float:
        """Stored size in MiB (2^20 bytes), fp32."""
        return self.size_bytes / 2**20

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.params + other.params,
            self.macs + other.macs,
            self.activations + other.activations,
            self.size_bytes + other.size_bytes,
        )

    def to_dict(self) -> dict[str, int]:
        """Return the counted fields as plain values."""
        return asdict(self)


METRICS: tuple[str, ...] = ("params", "macs", "activations", "size_mib")
"""The names that a constraint can bound: attributes of `Cost`."""


def graph_cost(graph: Graph) -> Cost:
    """Count the cost of a graph, operation by operation."""
    params = macs = activations = buffer_bytes = 0
    for node in graph.nodes[1:]:
        params += node.op.params
        macs += node.op.macs(node.shape)
        activations += 0 if node.op.in_place else prod(node.shape)
        buffer_bytes += node.op.buffer_bytes
    return Cost(params, macs, activations, 4 * params + buffer_bytes)


@lru_cache(maxsize=65536)
def _section_cost(section: Section, in_shape: Shape, num_classes: int) -> tuple[Cost, Shape]:
    """Cost and output shape of a section. Candidates of one space share most of their sections."""
    total, shape = Cost(), in_shape
    for graph in section_graphs(section, in_shape, num_classes):
        total += graph_cost(graph)
        shape = graph.out_shape
    return total, shape


def cost_of(arch: Architecture) -> Cost:
    """Count what a network costs without building it.

    Raises:
        ShapeError: the architecture is not a network, for example because its map shrinks to nothing.
    """
    total, shape = Cost(), arch.input_shape
    for name, section in arch.sections():
        try:
            cost, shape = _section_cost(section, shape, arch.num_classes)
        except ShapeError as error:
            raise error.inside(name) from None
        total += cost
    return total
