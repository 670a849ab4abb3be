"""Blocks one behind the other and ways beside each other, as nodes of a space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

from nas.network.registry import Block
from nas.network.section import Section
from nas.space.tree.blocks import Copies, Repeat
from nas.space.tree.matching import Binder, Found, Names, in_turn
from nas.space.tree.nodes import Choice, Composite, Node, Per, Pick, Scope
from nas.space.tree.references import Named

_Lengths = tuple[int, int]


def _lengths(node: Node) -> _Lengths:
    """The least and the most blocks that an entry can have."""
    if isinstance(node, Copies):
        return node.count, node.count
    if isinstance(node, Repeat):
        return 0, node.most
    if isinstance(node, Chain):
        return node.lengths
    if isinstance(node, Named):
        return _lengths(node.node)
    assert isinstance(node, Choice | Composite)
    inner = [option.node for option in node.options] if isinstance(node, Choice) else [part for _, part in node.parts()]
    several = [_lengths(part) for part in inner]
    return min(least for least, _ in several), max(most for _, most in several)


@dataclass(frozen=True, eq=False)
class Chain(Composite):
    """Entries one behind the other; its value is a tuple of blocks, as that of each entry is."""

    entries: tuple[tuple[str, Node], ...]
    """Relative path of each entry and its node."""

    def parts(self) -> Sequence[tuple[str, Node]]:
        return self.entries

    def with_parts(self, parts: Sequence[Node]) -> Chain:
        return Chain(tuple((path, node) for (path, _), node in zip(self.entries, parts, strict=True)))

    @cached_property
    def _after(self) -> list[_Lengths]:
        """Behind each number of entries, the least and the most blocks of all the others."""
        ends = [_lengths(node) for _, node in reversed(self.entries)]
        return list(accumulate(ends, lambda a, b: (a[0] + b[0], a[1] + b[1]), initial=(0, 0)))[::-1]

    @property
    def lengths(self) -> _Lengths:
        """The least and the most blocks of all entries."""
        return self._after[0]

    def resolve(self, scope: Scope, pick: Pick) -> list[tuple[Block, ...]]:
        blocks: list[list[Block]] = [[] for _ in scope.copies]
        for path, node in self.entries:
            for one, more in zip(blocks, node.resolve(scope.enter(path), pick), strict=True):
                one.extend(more)
        return [tuple(one) for one in blocks]

    def match(self, scope: Scope, values: Sequence[Any], found: Found, bind: Binder) -> Iterator[Found]:
        least, most = found.ends

        def step(entry: int, known: Found) -> Iterator[Found]:
            path, node = self.entries[entry]
            low, high = self._after[entry + 1]
            # An entry may only take so many blocks that the entries behind it can take the rest.
            return node.match(scope.enter(path), values, known.at(known.place, (least - high, most - low)), bind)

        for known in in_turn(len(self.entries), step, found):
            if least <= known.place <= most:
                yield known.at(known.place, found.ends)

    def entry_of(self, index: int, scope: Scope, pick: Pick) -> str:
        """Return the relative path of the entry that made block number `index` of the section."""
        for path, node in self.entries:
            index -= len(node.resolve(scope.enter(path), pick)[0])
            if index < 0:
                return path
        raise AssertionError("the section has that many blocks")


@dataclass(frozen=True, eq=False)
class Body(Composite):
    """Blocks that stand for themselves: the stem, a stage, the head, a branch. Its value is a `Section`."""

    blocks: Node
    """A `Chain`, or a name that stands for one."""

    def parts(self) -> Sequence[tuple[str, Node]]:
        return [("", self.blocks)]

    def with_parts(self, parts: Sequence[Node]) -> Body:
        return Body(parts[0])

    def resolve(self, scope: Scope, pick: Pick) -> list[Section]:
        return [Section(blocks) for blocks in self.blocks.resolve(scope, pick)]

    def match(self, scope: Scope, values: Sequence[Any], found: Found, bind: Binder) -> Iterator[Found]:
        lengths = {len(section.blocks) for section in values}
        if len(lengths) > 1:  # copies share how many blocks an entry has, since its depth is one decision
            return
        (length,) = lengths
        inside = found.at(0, (length, length))
        for known in self.blocks.match(scope, [section.blocks for section in values], inside, bind):
            yield known.at(found.place, found.ends)
            if not self.reads:  # another way to decide this matters to nothing else
                return


@dataclass(frozen=True, eq=False)
class Ways(Composite):
    """Branches beside each other; its value is a tuple of sections for each copy."""

    branches: tuple[Node, ...]
    """Each a `Body`."""

    def parts(self) -> Sequence[tuple[str, Node]]:
        return [(str(i), node) for i, node in enumerate(self.branches)]

    def with_parts(self, parts: Sequence[Node]) -> Ways:
        return Ways(tuple(parts))

    def resolve(self, scope: Scope, pick: Pick) -> list[tuple[Section, ...]]:
        columns = [node.resolve(scope.enter(path), pick) for path, node in self.parts()]
        return [tuple(column[i] for column in columns) for i in range(len(scope.copies))]

    def match(self, scope: Scope, values: Sequence[Any], found: Found, bind: Binder) -> Iterator[Found]:
        if any(len(sections) != len(self.branches) for sections in values):
            return iter(())

        def step(branch: int, known: Found) -> Iterator[Found]:
            inner = scope.enter(str(branch))
            return self.branches[branch].match(inner, [sections[branch] for sections in values], known, bind)

        return in_turn(len(self.branches), step, found)


@dataclass(frozen=True, eq=False)
class Inside(Composite):
    """A part with a path of its own, such as the branches of a block."""

    path: str
    node: Node

    def parts(self) -> Sequence[tuple[str, Node]]:
        return [(self.path, self.node)]

    def with_parts(self, parts: Sequence[Node]) -> Inside:
        return Inside(self.path, parts[0])

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        return self.node.resolve(scope.enter(self.path), pick)

    def match(self, scope: Scope, values: Sequence[Any], found: Found, bind: Binder) -> Iterator[Found]:
        return self.node.match(scope.enter(self.path), values, found, bind)


@dataclass(frozen=True, eq=False)
class Each(Composite):
    """What stands inside a block whose kind each copy chooses: every copy decides it for itself."""

    node: Node

    def parts(self) -> Sequence[tuple[str, Node]]:
        return [("", self.node)]

    def with_parts(self, parts: Sequence[Node]) -> Each:
        return Each(parts[0])

    @cached_property
    def decides(self) -> frozenset[Per]:
        return frozenset({"block"}) if self.node.decides else frozenset()

    def size(self, copies: int, names: Names) -> int:
        return int(self.node.size(1, names) ** copies)

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        return [value for copy in scope.each() for value in self.node.resolve(copy, pick)]

    def match(self, scope: Scope, values: Sequence[Any], found: Found, bind: Binder) -> Iterator[Found]:
        copies = list(scope.each())

        def step(copy: int, known: Found) -> Iterator[Found]:
            return self.node.match(copies[copy], values[copy : copy + 1], known, bind)

        return in_turn(len(copies), step, found)

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        for copy in scope.each():
            yield from self.node.decisions(copy)
