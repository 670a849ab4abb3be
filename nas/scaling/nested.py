"""Blocks that hold blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from nas.network.registry import Block
from nas.network.section import Section
from nas.network.settings import SettingValue


def with_inside(block: Block, change: Callable[[Section], Section]) -> Block:
    """Return the block with `change` applied to the blocks one behind the other that stand inside it."""

    def changed(value: SettingValue) -> SettingValue:
        if isinstance(value, Section):
            return change(value)
        return tuple(map(change, value)) if isinstance(value, tuple) else value

    if not any(isinstance(value, Section | tuple) for _, value in block.settings):
        return block
    return Block.of(block.kind, {name: changed(value) for name, value in block.settings})


def blocks_in(section: Section) -> Iterator[Block]:
    """Yield the blocks of a section, each before those that stand inside it."""
    for block in section.blocks:
        yield block
        for _, value in block.settings:
            for inner in value if isinstance(value, tuple) else (value,):
                if isinstance(inner, Section):
                    yield from blocks_in(inner)
