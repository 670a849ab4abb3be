"""Costs block by block and section by section, for tables and drawings."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from nas.cost.cost import Cost, Counts, chain_cost, network_parts
from nas.network.architecture import Architecture
from nas.network.ops import Shape
from nas.network.registry import Block


@dataclass(frozen=True, slots=True)
class BlockCost:
    """One block of a network and what it costs by itself."""

    name: str
    """Prefix of its parameters, e.g. `stages.2.blocks.0`."""
    block: Block
    """The block with its settings."""
    in_shape: Shape
    """Of its input, without the batch."""
    out_shapes: tuple[Shape, ...]
    """Of its outputs, without the batch."""
    cost: Cost
    """Of the block alone; its receptive field and stride are those seen from its own input."""
    cumulative: Cost
    """Of the network up to here: receptive field and stride of the block's output in the network's input."""


def block_costs(arch: Architecture) -> list[BlockCost]:
    """Return the blocks of a network in order, each with its cost.

    Raises:
        ShapeError: the architecture is not a network.
    """
    parts = network_parts(arch)
    costs: list[BlockCost] = []
    in_shape = arch.input_shape
    for end, ((name, block), part) in enumerate(zip(arch.named_blocks(), parts, strict=True), start=1):
        alone, cumulative = chain_cost(in_shape, [part]), chain_cost(arch.input_shape, parts[:end])
        costs.append(BlockCost(name, block, in_shape, part.out_shapes, alone, cumulative))
        in_shape = part.out_shapes[0]
    return costs


class SectionCost(NamedTuple):
    """What a section of a network costs."""

    params: int
    """Learned numbers."""
    macs: int
    """Multiply-adds in inference."""


def section_costs(arch: Architecture) -> dict[str, SectionCost]:
    """Return the cost of each section by its name, e.g. `stages.2`.

    Raises:
        ShapeError: the architecture is not a network.
    """
    costs: dict[str, SectionCost] = {}
    parts = iter(network_parts(arch))
    for name, section in arch.sections():
        counts = Counts.total([part.counts for part in islice(parts, len(section.blocks))])
        costs[name.removesuffix(".blocks")] = SectionCost(counts.params, counts.macs)
    return costs
