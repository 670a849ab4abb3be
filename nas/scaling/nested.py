"""Blocks in the settings of other blocks, as in branches and cells: changing and listing them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from nas.network.registry import Block
from nas.network.section import Section
from nas.network.settings import SettingValue


def map_nested(block: Block, change: Callable[[Section], Section]) -> Block:
    """Return the block with `change` applied to every section among its settings."""

    def changed(value: SettingValue) -> SettingValue:
        if isinstance(value, Section):
            return change(value)
        return tuple(map(change, value)) if isinstance(value, tuple) else value

    if not any(isinstance(value, Section | tuple) for _, value in block.settings):
        return block
    return Block.of(block.kind, {name: changed(value) for name, value in block.settings})


def all_blocks(section: Section) -> Iterator[Block]:
    """Yield the blocks of a section and those nested in them, each before those nested in it."""
    for block in section.blocks:
        yield block
        for _, value in block.settings:
            for inner in value if isinstance(value, tuple) else (value,):
                if isinstance(inner, Section):
                    yield from all_blocks(inner)
