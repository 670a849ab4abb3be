"""More channels, or fewer, in a section, and what has to divide them."""

from __future__ import annotations

from collections.abc import Callable
from math import gcd

from nas.errors import ShapeError
from nas.network.ops import Shape
from nas.network.registry import Block, block_graph, block_kind
from nas.network.section import Section
from nas.network.settings import SettingValue
from nas.scale.inside import with_inside

Channels = Callable[[int], int]
"""Gives the new number of channels for an old one."""
Shapes = tuple[Shape, Shape]
"""The shape of a value in the old and in the new network, both at the old resolution."""


def widen(section: Section, channels: Channels, shapes: Shapes, num_classes: int) -> tuple[Section, Shapes]:
    """Return the section with `channels` applied to every setting that counts channels, and its output's shapes.

    Groups and heads become the divisor nearest to what they should be: groups as many as before, or one a channel where
    there was one a channel; heads as many times more as their features, so that a head keeps its width.
    """
    blocks = []
    known: dict[tuple[Block, Shapes], Block] = {}  # stages repeat their blocks
    for block in section.blocks:
        if (block, shapes) not in known:
            known[block, shapes] = _wider(block, channels, shapes, num_classes)
        wider = known[block, shapes]
        blocks.append(wider)
        old, new = shapes
        shapes = block_graph(block, old, num_classes).out_shape, block_graph(wider, new, num_classes).out_shape
    return Section(tuple(blocks)), shapes


def _wider(block: Block, channels: Channels, shapes: Shapes, num_classes: int) -> Block:
    def inner(section: Section) -> Section:
        try:
            return widen(section, channels, shapes, num_classes)[0]
        except ShapeError:  # a block that hands something else to its branches than what it takes
            return Section(tuple(_wider(one, channels, shapes, num_classes) for one in section.blocks))

    known = block_kind(block.kind).settings
    settings: dict[str, SettingValue] = dict(with_inside(block, inner).settings)
    for name, value in settings.items():
        if known[name].role == "channels" and isinstance(value, int):
            settings[name] = channels(value)
    (old, new), widths = shapes, settings.get("out_channels")
    for name, value in settings.items():
        if known[name].role == "groups" and isinstance(value, int) and value > 1:
            own = widths if isinstance(widths, int) else new[0]
            settings[name] = new[0] if value == old[0] and own % new[0] == 0 else _divisor(gcd(new[0], own), value)
        elif known[name].role == "heads" and isinstance(value, int):
            settings[name] = _divisor(new[-1], value * new[-1] / old[-1])
    return Block.of(block.kind, settings)


def _divisor(number: int, wanted: float) -> int:
    """The divisor of `number` nearest to `wanted`, the smaller of two that are as near."""
    small = [i for i in range(1, int(number**0.5) + 1) if number % i == 0]
    return min({*small, *(number // i for i in small)}, key=lambda divisor: (abs(divisor - wanted), divisor))
