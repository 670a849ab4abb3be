"""Architecture -> Graph, block by block, with every block lowered once."""

from __future__ import annotations

from collections.abc import Iterator

from nas.errors import ShapeError
from nas.network.architecture import Architecture, Section
from nas.network.graph import Graph, chain
from nas.network.ops import Shape
from nas.network.registry import block_graph


def section_graphs(section: Section, in_shape: Shape, num_classes: int) -> Iterator[Graph]:
    """Yield the graphs of a section's blocks; raises `ShapeError` naming the block within the section."""
    shape = in_shape
    for i, block in enumerate(section.blocks):
        try:
            graph = block_graph(block, shape, num_classes)
        except ShapeError as error:
            raise error.inside(str(i)) from None
        yield graph
        shape = graph.out_shape


def lower(arch: Architecture) -> Graph:
    """Write a whole network as one graph of primitive operations.

    Raises:
        ShapeError: a block cannot take what the one before it gives; it names the operation.
    """
    parts: list[tuple[str, Graph]] = []
    shape = arch.input_shape
    for name, section in arch.sections():
        try:
            for i, graph in enumerate(section_graphs(section, shape, arch.num_classes)):
                parts.append((f"{name}.{i}", graph))
                shape = graph.out_shape
        except ShapeError as error:
            raise error.inside(name) from None
    return chain(arch.input_shape, parts)
