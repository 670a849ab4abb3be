"""More channels, or fewer, in a section, and what has to divide them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from nas.errors import ShapeError
from nas.network.ops import Shape
from nas.network.registry import Block, block_graph, block_kind
from nas.network.section import Section
from nas.network.settings import SettingValue
from nas.scaling.nested import blocks_in, with_inside

Channels = Callable[[int], int]
"""Gives the new number of channels for an old one."""
Shapes = tuple[Shape, Shape]
"""The shape of a value in the old and in the new network, both at the old resolution."""


def widen(section: Section, channels: Channels, shapes: Shapes, num_classes: int) -> tuple[Section, Shapes]:
    """Return the section with `channels` applied to every setting that counts channels, and its output's shapes.

    Groups stay as many as before (Zhang et al. 2018, "ShuffleNet", table 1; Xie et al. 2017, "ResNeXt": fewer of them
    would cost more), or one a channel where there was one a channel. Heads become the divisor of the features nearest
    to as many times more as those, so that a head keeps its width.

    Raises:
        ShapeError: new channels that the groups of a block do not divide.
    """
    blocks = []
    known: dict[tuple[Block, Shapes], Block] = {}  # stages repeat their blocks
    for block in section.blocks:
        if (block, shapes) not in known:
            known[block, shapes] = _wider(block, channels, shapes, num_classes)
        wider = known[block, shapes]
        blocks.append(wider)
        old, new = shapes
        try:
            after = block_graph(wider, new, num_classes).out_shape
        except ShapeError as error:
            raise _with_groups(block, error) from None
        shapes = block_graph(block, old, num_classes).out_shape, after
    return Section(tuple(blocks)), shapes


def _wider(block: Block, channels: Channels, shapes: Shapes, num_classes: int) -> Block:
    def inner(section: Section) -> Section:
        try:
            return widen(section, channels, shapes, num_classes)[0]
        except ShapeError:  # a block that hands something else to its branches than what it takes
            return Section(tuple(_wider(one, channels, shapes, num_classes) for one in section.blocks))

    known = block_kind(block.kind).settings
    settings: dict[str, SettingValue] = dict(with_inside(block, inner).settings)
    before = dict(settings)
    for name, value in settings.items():
        if known[name].role == "channels" and isinstance(value, int):
            settings[name] = channels(value)
    old, new = shapes
    for name, value in before.items():
        if known[name].role == "groups" and value == old[0] > 1:
            settings[name] = new[0]
            was, now = before.get("out_channels"), settings.get("out_channels")
            if isinstance(was, int) and isinstance(now, int):
                settings["out_channels"] = new[0] * _each(was, now, old[0], new[0])
        elif known[name].role == "heads" and isinstance(value, int):
            settings[name] = _divisor(new[-1], value * new[-1] / old[-1])
    return Block.of(block.kind, settings)


def _each(was: int, now: int, old_in: int, new_in: int) -> int:
    """How many channels a depthwise convolution makes of each: what comes nearest to `now` in all.

    They are no more than before where its input did not grow, and no fewer where it did not shrink.
    """
    found = max(1, round(now / new_in))
    if now <= was and new_in <= old_in:
        return max(1, min(found, was // new_in))
    return max(found, -(-was // new_in))


def groups_in(section: Section, shape: Shape, num_classes: int) -> set[int]:
    """Return the numbers of groups of a section's blocks, without those that have a group a channel."""
    found = set[int]()
    for block in section.blocks:
        for name, value in block.settings:
            if block_kind(block.kind).settings[name].role == "groups" and isinstance(value, int):
                found |= {value} - {1, shape[0], dict(block.settings).get("out_channels")}
            for inner in value if isinstance(value, tuple) else (value,):
                if isinstance(inner, Section):
                    found |= groups_in(inner, shape, num_classes)
        with suppress(ShapeError):  # inside a block that hands something else to its branches than what it takes
            shape = block_graph(block, shape, num_classes).out_shape
    return found


def _with_groups(block: Block, error: ShapeError) -> ShapeError:
    """The error with the groups that new channels may be no multiple of, where the block has any."""
    groups = [
        f"{name}={value}"
        for one in blocks_in(Section((block,)))
        for name, value in one.settings
        if block_kind(one.kind).settings[name].role == "groups" and isinstance(value, int) and value > 1
    ]
    if not groups:
        return error
    kept = ", ".join(dict.fromkeys(groups))
    return ShapeError(f"width: block {block.kind!r} keeps its {kept}, but cannot with its new channels: {error}")


def _divisor(number: int, wanted: float) -> int:
    """The divisor of `number` nearest to `wanted`, the smaller of two that are as near."""
    small = [i for i in range(1, int(number**0.5) + 1) if number % i == 0]
    return min({*small, *(number // i for i in small)}, key=lambda divisor: (abs(divisor - wanted), divisor))
