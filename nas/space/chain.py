"""Blocks one behind the other and ways beside each other, as nodes of a space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from math import prod
from typing import Any

from nas.network.registry import Block
from nas.network.section import Section
from nas.space.tree import Binder, Choice, Found, Genotype, Names, Node, Pick, Scope, names_of


@dataclass(frozen=True, eq=False)
class Chain:
    """Entries one behind the other; its value is a `Section` for each copy."""

    entries: tuple[tuple[str, Node], ...]
    """Relative path of each entry and its node, whose value is a tuple of blocks."""
    reads: frozenset[str] = field(init=False)
    switches: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        nodes = [node for _, node in self.entries]
        object.__setattr__(self, "reads", names_of(nodes, "reads"))
        object.__setattr__(self, "switches", names_of(nodes, "switches"))

    def size(self, copies: int, names: Names) -> int:
        return prod(node.size(copies, names) for _, node in self.entries)

    def resolve(self, scope: Scope, pick: Pick) -> list[Section]:
        blocks: list[list[Block]] = [[] for _ in scope.copies]
        for path, node in self.entries:
            for one, more in zip(blocks, node.resolve(scope.enter(path), pick), strict=True):
                one.extend(more)
        return [Section(tuple(one)) for one in blocks]

    def match(self, scope: Scope, values: Sequence[Any], found: Found, bind: Binder) -> Iterator[Found]:
        left = [section.blocks for section in values]
        if self.reads:
            yield from self._match_from(0, left, scope, found, bind)
            return
        # Without names the entries do not depend on each other, so how many blocks each has is found without trying
        # every way to share them out.
        decided = self._share_out(left, scope, bind)
        if decided is not None:
            yield replace(found, genotype={**found.genotype, **decided})

    def _share_out(self, left: list[tuple[Block, ...]], scope: Scope, bind: Binder) -> Genotype | None:
        lengths = {len(blocks) for blocks in left}

        @cache
        def rest(entry: int, start: int) -> Genotype | None:
            if entry == len(self.entries):
                return {} if lengths == {start} else None
            path, node = self.entries[entry]
            for end in range(start, min(lengths) + 1):
                taken = [blocks[start:end] for blocks in left]
                own = next(node.match(scope.enter(path), taken, Found({}, scope.names), bind), None)
                others = rest(entry + 1, end) if own is not None else None
                if own is not None and others is not None:
                    return {**own.genotype, **others}
            return None

        return rest(0, 0)

    def _match_from(
        self, entry: int, left: list[tuple[Block, ...]], scope: Scope, found: Found, bind: Binder
    ) -> Iterator[Found]:
        """Match the blocks that are left of every copy with the entries from `entry` on."""
        if entry == len(self.entries):
            if not any(left):
                yield found
            return
        path, node = self.entries[entry]
        # Copies of a part share how many blocks an entry has, since its depth is one decision.
        for count in range(min(map(len, left)) + 1):
            taken = [blocks[:count] for blocks in left]
            for known in node.match(scope.enter(path), taken, found, bind):
                yield from self._match_from(entry + 1, [blocks[count:] for blocks in left], scope, known, bind)

    def entry_of(self, index: int, scope: Scope, pick: Pick) -> str:
        """Return the relative path of the entry that made block number `index` of the section."""
        for path, node in self.entries:
            index -= len(node.resolve(scope.enter(path), pick)[0])
            if index < 0:
                return path
        raise AssertionError("the section has that many blocks")

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        for path, node in self.entries:
            yield from node.decisions(scope.enter(path))


@dataclass(frozen=True, eq=False)
class Blocks:
    """A chain as an entry of another: its value is the tuple of its blocks."""

    chain: Node
    """A `Chain`, or a name that stands for one."""

    @property
    def reads(self) -> frozenset[str]:
        return self.chain.reads

    @property
    def switches(self) -> frozenset[str]:
        return self.chain.switches

    def size(self, copies: int, names: Names) -> int:
        return self.chain.size(copies, names)

    def resolve(self, scope: Scope, pick: Pick) -> list[tuple[Block, ...]]:
        return [section.blocks for section in self.chain.resolve(scope, pick)]

    def match(self, scope: Scope, values: Sequence[Any], found: Found, bind: Binder) -> Iterator[Found]:
        return self.chain.match(scope, [Section(tuple(blocks)) for blocks in values], found, bind)

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        return self.chain.decisions(scope)


@dataclass(frozen=True, eq=False)
class Ways:
    """Branches beside each other; its value is a tuple of sections for each copy."""

    branches: tuple[Node, ...]
    """Each a `Chain`, or a name that stands for one."""
    reads: frozenset[str] = field(init=False)
    switches: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "reads", names_of(self.branches, "reads"))
        object.__setattr__(self, "switches", names_of(self.branches, "switches"))

    def size(self, copies: int, names: Names) -> int:
        return prod(node.size(copies, names) for node in self.branches)

    def _parts(self, scope: Scope) -> list[tuple[Node, Scope]]:
        return [(node, scope.enter(str(i))) for i, node in enumerate(self.branches)]

    def resolve(self, scope: Scope, pick: Pick) -> list[tuple[Section, ...]]:
        columns = [node.resolve(inner, pick) for node, inner in self._parts(scope)]
        return [tuple(column[i] for column in columns) for i in range(len(scope.copies))]

    def match(self, scope: Scope, values: Sequence[Any], found: Found, bind: Binder) -> Iterator[Found]:
        if any(len(sections) != len(self.branches) for sections in values):
            return iter(())
        return self._match_from(0, scope, values, found, bind)

    def _match_from(
        self, start: int, scope: Scope, values: Sequence[Any], found: Found, bind: Binder
    ) -> Iterator[Found]:
        if start == len(self.branches):
            yield found
            return
        node, inner = self._parts(scope)[start]
        for known in node.match(inner, [sections[start] for sections in values], found, bind):
            yield from self._match_from(start + 1, scope, values, known, bind)

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        for node, inner in self._parts(scope):
            yield from node.decisions(inner)


@dataclass(frozen=True, eq=False)
class Inside:
    """A part with a path of its own, such as the branches of a block."""

    path: str
    node: Node

    @property
    def reads(self) -> frozenset[str]:
        return self.node.reads

    @property
    def switches(self) -> frozenset[str]:
        return self.node.switches

    def size(self, copies: int, names: Names) -> int:
        return self.node.size(copies, names)

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        return self.node.resolve(scope.enter(self.path), pick)

    def match(self, scope: Scope, values: Sequence[Any], found: Found, bind: Binder) -> Iterator[Found]:
        return self.node.match(scope.enter(self.path), values, found, bind)

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        return self.node.decisions(scope.enter(self.path))
