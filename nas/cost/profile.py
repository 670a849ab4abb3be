"""Costs block by block, for tables and drawings."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nas.cost.cost import Cost, block_part, cost_of, graph_cost
from nas.network.architecture import Architecture
from nas.network.ops import Shape
from nas.network.registry import Block, block_graph
from nas.network.section import Section


@dataclass(frozen=True, slots=True)
class BlockProfile:
    """One block of a network and what it costs by itself."""

    name: str
    """Where it stands, e.g. `stages.2.blocks.0`."""
    block: Block
    in_shape: Shape
    out_shapes: tuple[Shape, ...]
    cost: Cost
    """Of the block alone; its receptive field and stride are those seen from its own input."""
    so_far: Cost
    """Of the network up to here: receptive field and stride of this place in the input."""


def profile(arch: Architecture) -> list[BlockProfile]:
    """Return the blocks of a network in order, each with its cost.

    Raises:
        ShapeError: the architecture is not a network.
    """
    found: list[BlockProfile] = []
    shape = arch.input_shape
    for name, section in arch.sections():
        for i, block in enumerate(section.blocks):
            so_far = cost_of(_up_to(arch, name, i))
            graph = block_graph(block, shape, arch.num_classes)
            found.append(BlockProfile(f"{name}.{i}", block, shape, graph.out_shapes, graph_cost(graph), so_far))
            shape = graph.out_shape
    return found


def section_counts(arch: Architecture) -> dict[str, tuple[int, int]]:
    """Return the parameters and multiply-adds of each section; raises `ShapeError` where it is not a network."""
    found: dict[str, tuple[int, int]] = {}
    shape = arch.input_shape
    for name, section in arch.sections():
        params = macs = 0
        for block in section.blocks:
            part = block_part(block, shape, arch.num_classes)
            params, macs, shape = params + part.counts[0], macs + part.counts[1], part.out_shape
        found[name.removesuffix(".blocks")] = params, macs
    return found


def _up_to(arch: Architecture, section: str, index: int) -> Architecture:
    """The network up to and with one block."""
    names = [name for name, _ in arch.sections()]
    last = names.index(section)
    kept = [
        Section(part.blocks[: index + 1]) if place == last else part if place < last else Section(())
        for place, (_, part) in enumerate(arch.sections())
    ]
    return replace(arch, stem=kept[0], stages=tuple(kept[1:-1]), head=kept[-1])
