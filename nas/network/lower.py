"""Architecture -> Graph, block by block, with every block lowered once."""

from __future__ import annotations

from nas.errors import ShapeError, check_kind
from nas.network.architecture import Architecture, checked_architecture
from nas.network.graph import ANY, Graph, chain
from nas.network.registry import block_graph


def lower(arch: Architecture, *, simplified: bool = True) -> Graph:
    """Write a whole network as one graph of primitive operations.

    Args:
        arch: the network.
        simplified: leave out, within each block, what has no effect on its output, such as a branch that adds zero.

    Raises:
        ShapeError: a block cannot take what the one before it gives; it names the operation.
    """
    checked_architecture(arch, "lower")
    check_kind("lower: simplified", simplified, bool, "True or False")
    parts: list[tuple[str, Graph]] = []
    shape, value_range = arch.input_shape, ANY
    for name, block in arch.named_blocks():
        try:
            graph = block_graph(block, shape, arch.num_classes, simplified, value_range)
        except ShapeError as error:
            raise error.inside(name) from None
        parts.append((name, graph))
        shape, value_range = graph.out_shape, graph.out_range
    return chain(arch.input_shape, parts)
