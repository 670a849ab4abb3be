"""Costs block by block, for tables and drawings."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from nas.cost.cost import Cost, chain_cost, network_parts
from nas.network.architecture import Architecture
from nas.network.ops import Shape
from nas.network.registry import Block


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
    parts = network_parts(arch)
    places = [(f"{name}.{i}", block) for name, section in arch.sections() for i, block in enumerate(section.blocks)]
    found: list[BlockProfile] = []
    shape = arch.input_shape
    for end, ((name, block), part) in enumerate(zip(places, parts, strict=True), start=1):
        alone, so_far = chain_cost(shape, [part]), chain_cost(arch.input_shape, parts[:end])
        found.append(BlockProfile(name, block, shape, part.out_shapes, alone, so_far))
        shape = part.out_shapes[0]
    return found


def section_counts(arch: Architecture) -> dict[str, tuple[int, int]]:
    """Return the parameters and multiply-adds of each section; raises `ShapeError` where it is not a network."""
    found: dict[str, tuple[int, int]] = {}
    parts = iter(network_parts(arch))
    for name, section in arch.sections():
        own = [part.counts for part in islice(parts, len(section.blocks))]
        found[name.removesuffix(".blocks")] = sum(counts[0] for counts in own), sum(counts[1] for counts in own)
    return found
