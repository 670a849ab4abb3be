"""More channels, or fewer, in a section, with groups and heads that divide them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from nas.errors import ShapeError
from nas.network.ops import Shape
from nas.network.registry import Block, block_graph, block_kind
from nas.network.section import Section
from nas.network.settings import SettingValue
from nas.scaling.nested import all_blocks, map_nested

Channels = Callable[[int], int]
"""Gives the new number of channels for an old one."""
Shapes = tuple[Shape, Shape]
"""Shapes of the same value in the old and in the new network, both at the old resolution."""


def widen(section: Section, channels: Channels, shapes: Shapes, num_classes: int) -> tuple[Section, Shapes]:
    """Return the section with `channels` applied to every setting that counts channels, and its output's shapes.

    Groups stay as many as before (Zhang et al. 2018, "ShuffleNet", table 1; Xie et al. 2017, "ResNeXt": fewer of them
    would cost more), or one a channel where there was one a channel. Heads grow as the features do, to the nearest
    divisor of those, so that a head keeps its width.

    Args:
        section: stem, stage or head, or a section nested in a block.
        channels: gives the new number of channels for an old one.
        shapes: of the section's input.
        num_classes: number of classes of the network.

    Raises:
        ShapeError: new channels that the groups of a block do not divide.
    """
    blocks = []
    memo: dict[tuple[Block, Shapes], Block] = {}  # stages repeat their blocks
    for block in section.blocks:
        if (block, shapes) not in memo:
            memo[block, shapes] = _wider(block, channels, shapes, num_classes)
        wider = memo[block, shapes]
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
        except ShapeError:  # a block whose branches read something else than its input
            return Section(tuple(_wider(nested, channels, shapes, num_classes) for nested in section.blocks))

    kinds = block_kind(block.kind).settings
    settings: dict[str, SettingValue] = dict(map_nested(block, inner).settings)
    before = dict(settings)
    for name, value in settings.items():
        if kinds[name].role == "channels" and isinstance(value, int):
            settings[name] = channels(value)
    old, new = shapes
    for name, value in before.items():
        if kinds[name].role == "groups" and value == old[0] > 1:
            settings[name] = new[0]
            old_out, new_out = before.get("out_channels"), settings.get("out_channels")
            if isinstance(old_out, int) and isinstance(new_out, int):
                settings["out_channels"] = new[0] * _channels_each(old_out, new_out, old[0], new[0])
        elif kinds[name].role == "heads" and isinstance(value, int):
            settings[name] = _divisor(new[-1], value * new[-1] / old[-1])
    return Block.of(block.kind, settings)


def _channels_each(old_out: int, new_out: int, old_in: int, new_in: int) -> int:
    """Return how many channels a depthwise convolution makes of each of `new_in`: nearest to `new_out` in all.

    They are no more than before where its input did not grow, and no fewer where it did not shrink.
    """
    nearest = max(1, round(new_out / new_in))
    if new_out <= old_out and new_in <= old_in:
        return max(1, min(nearest, old_out // new_in))
    return max(nearest, -(-old_out // new_in))


def groups_in(section: Section, shape: Shape, num_classes: int) -> set[int]:
    """Return the numbers of groups of a section's convolutions, without those that have a group a channel."""
    groups = set[int]()
    for block in section.blocks:
        for name, value in block.settings:
            if block_kind(block.kind).settings[name].role == "groups" and isinstance(value, int):
                groups |= {value} - {1, shape[0], dict(block.settings).get("out_channels")}
            for inner in value if isinstance(value, tuple) else (value,):
                if isinstance(inner, Section):
                    groups |= groups_in(inner, shape, num_classes)
        with suppress(ShapeError):  # inside a block whose branches read something else than its input
            shape = block_graph(block, shape, num_classes).out_shape
    return groups


def _with_groups(block: Block, error: ShapeError) -> ShapeError:
    """Return the error with the groups of the block, where it has any that the new channels may be no multiple of."""
    groups = [
        f"{name}={value}"
        for nested in all_blocks(Section((block,)))
        for name, value in nested.settings
        if block_kind(nested.kind).settings[name].role == "groups" and isinstance(value, int) and value > 1
    ]
    if not groups:
        return error
    kept = ", ".join(dict.fromkeys(groups))
    return ShapeError(f"width: block {block.kind!r} keeps its {kept}, but cannot with its new channels: {error}")


def _divisor(number: int, wanted: float) -> int:
    """Return the divisor of `number` that is nearest to `wanted`, the smaller of two that are as near."""
    small = [i for i in range(1, int(number**0.5) + 1) if number % i == 0]
    return min({*small, *(number // i for i in small)}, key=lambda divisor: (abs(divisor - wanted), divisor))
