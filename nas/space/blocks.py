"""The part of a space that becomes blocks: what is chosen for each, and how many there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

from nas.network.registry import Block, block_kind
from nas.network.section import Section
from nas.space.tree import Choice, Genotype, Node, Pick, Record, Scope, pick_from

STRIDE = "stride"
"""The setting that belongs to the first of several copies: the others keep the map size."""


@dataclass(frozen=True, eq=False, slots=True)
class Kind:
    """The kind of a block with the settings that stand under it; its value is `(kind, settings)`."""

    kind: str
    settings: Record

    def size(self, copies: int) -> int:
        return self.settings.size(copies)

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        return [(self.kind, settings) for settings in self.settings.resolve(scope, pick)]

    def match(self, scope: Scope, values: Sequence[Any]) -> Genotype | None:
        if any(kind != self.kind for kind, _ in values):
            return None
        return self.settings.match(scope, [settings for _, settings in values])

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        return self.settings.decisions(scope)


@dataclass(frozen=True, eq=False, slots=True)
class Copies:
    """`count` blocks from one description; its value is a tuple of blocks."""

    count: int
    kind: Node
    """A `Kind`, or a choice of them."""
    settings: Record
    """What every kind takes."""
    named: bool
    """Whether copies have names of their own (`blocks.0`), as in a stage with a depth."""

    def _inner(self, scope: Scope) -> Scope:
        if not self.named:
            return scope
        return Scope(scope.shared, tuple(scope.path(f"blocks.{i}") for i in range(self.count)))

    def size(self, copies: int) -> int:
        return self.kind.size(self.count) * self.settings.size(self.count) if self.count else 1

    def resolve(self, scope: Scope, pick: Pick) -> list[tuple[Block, ...]]:
        if not self.count:
            return [()]
        inner = self._inner(scope)
        kinds = self.kind.resolve(inner, pick)
        blocks: list[Block] = []
        for (kind, own), common in zip(kinds, self.settings.resolve(inner, pick), strict=True):
            settings = {**common, **own}
            if blocks and STRIDE in block_kind(kind).settings:
                settings[STRIDE] = 1
            blocks.append(Block.of(kind, settings))
        return [tuple(blocks)]

    def match(self, scope: Scope, values: Sequence[Any]) -> Genotype | None:
        (blocks,) = values
        if len(blocks) != self.count:
            return None
        if not self.count:
            return {}
        settings = [dict(block.settings) for block in blocks]
        if any(other.get(STRIDE, 1) != 1 for other in settings[1:]):
            return None
        if STRIDE in settings[0]:
            for other in settings[1:]:
                other[STRIDE] = settings[0][STRIDE]
        inner = self._inner(scope)
        kind = self.kind.match(inner, [(b.kind, s) for b, s in zip(blocks, settings, strict=True)])
        rest = self.settings.match(inner, settings) if kind is not None else None
        if kind is None or rest is None:
            return None
        found = {**kind, **rest}
        # What the description leaves to the defaults of the block was not looked at above.
        return found if self.resolve(scope, pick_from(found)) == [blocks] else None

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        if self.count:
            inner = self._inner(scope)
            yield from self.kind.decisions(inner)
            yield from self.settings.decisions(inner)


@dataclass(frozen=True, eq=False, slots=True)
class Chain:
    """Entries one behind the other; its value is a `Section`."""

    entries: tuple[tuple[str, Node], ...]
    """Path of each entry and its node, a `Copies` or a choice of how many."""

    def size(self, copies: int) -> int:
        return prod(node.size(1) for _, node in self.entries)

    def resolve(self, scope: Scope, pick: Pick) -> list[Section]:
        blocks: list[Block] = []
        for path, node in self.entries:
            blocks.extend(node.resolve(Scope(path, (path,)), pick)[0])
        return [Section(tuple(blocks))]

    def match(self, scope: Scope, values: Sequence[Any]) -> Genotype | None:
        (section,) = values
        blocks = section.blocks

        @cache
        def share_out(entry: int, start: int) -> Genotype | None:
            """Match the blocks from `start` on with the entries from `entry` on."""
            if entry == len(self.entries):
                return {} if start == len(blocks) else None
            path, node = self.entries[entry]
            for end in range(start, len(blocks) + 1):
                found = node.match(Scope(path, (path,)), [blocks[start:end]])
                rest = share_out(entry + 1, end) if found is not None else None
                if found is not None and rest is not None:
                    return {**found, **rest}
            return None

        return share_out(0, 0)

    def entry_of(self, index: int, pick: Pick) -> str:
        """Return the path of the entry that made block number `index` of the section."""
        for path, node in self.entries:
            index -= len(node.resolve(Scope(path, (path,)), pick)[0])
            if index < 0:
                return path
        raise AssertionError("the section has that many blocks")

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        for path, node in self.entries:
            yield from node.decisions(Scope(path, (path,)))
