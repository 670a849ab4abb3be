"""Nodes that hold blocks: a chain of entries, a section of a network, branches, and parts with paths of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

from nas.network.registry import Block
from nas.network.section import Section
from nas.space.tree.blocks import Copies, DerivedCopies
from nas.space.tree.genotype import Names
from nas.space.tree.matching import Binder, PartialMatch, backtrack
from nas.space.tree.nodes import Choice, InnerNode, Node, Per, Pick, Scope
from nas.space.tree.references import Reference

_Lengths = tuple[int, int]
"""Fewest and most blocks."""


def _lengths(node: Node) -> _Lengths:
    """Return the fewest and the most blocks that an entry can have."""
    if isinstance(node, Copies):
        return node.count, node.count
    if isinstance(node, DerivedCopies):
        return 0, node.most
    if isinstance(node, Chain):
        return node.lengths
    if isinstance(node, Reference):
        return _lengths(node.node)
    assert isinstance(node, Choice | InnerNode)
    inner = [option.node for option in node.options] if isinstance(node, Choice) else [part for _, part in node.parts()]
    lengths = [_lengths(part) for part in inner]
    return min(least for least, _ in lengths), max(most for _, most in lengths)


@dataclass(frozen=True, eq=False)
class Chain(InnerNode):
    """Entries one after the other; its value is a tuple of blocks, as that of each entry is."""

    entries: tuple[tuple[str, Node], ...]
    """Relative path of each entry and its node."""

    def parts(self) -> Sequence[tuple[str, Node]]:
        """Return the entries."""
        return self.entries

    def with_parts(self, parts: Sequence[Node]) -> Chain:
        """Return a chain of other entries with the same paths."""
        return Chain(tuple((path, node) for (path, _), node in zip(self.entries, parts, strict=True)))

    @cached_property
    def _after(self) -> list[_Lengths]:
        """After each number of entries, the fewest and the most blocks of all the others."""
        ends = [_lengths(node) for _, node in reversed(self.entries)]
        return list(accumulate(ends, lambda a, b: (a[0] + b[0], a[1] + b[1]), initial=(0, 0)))[::-1]

    @property
    def lengths(self) -> _Lengths:
        """The fewest and the most blocks of all entries together."""
        return self._after[0]

    def resolve(self, scope: Scope, pick: Pick) -> list[tuple[Block, ...]]:
        """Return the blocks of all entries for each copy."""
        chains: list[list[Block]] = [[] for _ in scope.copies]
        for path, node in self.entries:
            for chain, blocks in zip(chains, node.resolve(scope.enter(path), pick), strict=True):
                chain.extend(blocks)
        return [tuple(chain) for chain in chains]

    def match(self, scope: Scope, values: Sequence[Any], partial: PartialMatch, bind: Binder) -> Iterator[PartialMatch]:
        """Yield the match with each way to share out the blocks from `position` on among the entries."""
        least, most = partial.end_range

        def step(entry: int, reached: PartialMatch) -> Iterator[PartialMatch]:
            path, node = self.entries[entry]
            fewest, longest = self._after[entry + 1]
            # An entry may only take so many blocks that the entries after it can take the rest.
            ends = (least - longest, most - fewest)
            return node.match(scope.enter(path), values, reached.at(reached.position, ends), bind)

        for matched in backtrack(len(self.entries), step, partial):
            if least <= matched.position <= most:
                yield matched.at(matched.position, partial.end_range)

    def entry_of(self, index: int, scope: Scope, pick: Pick) -> str:
        """Return the relative path of the entry that made block number `index` of the section."""
        for path, node in self.entries:
            index -= len(node.resolve(scope.enter(path), pick)[0])
            if index < 0:
                return path
        raise AssertionError("the section has that many blocks")


@dataclass(frozen=True, eq=False)
class SectionNode(InnerNode):
    """The blocks of a section: the stem, a stage, the head, a branch. Its value is a `Section`."""

    blocks: Node
    """A `Chain`, or a `Reference` to one."""

    def parts(self) -> Sequence[tuple[str, Node]]:
        """Return the blocks."""
        return [("", self.blocks)]

    def with_parts(self, parts: Sequence[Node]) -> SectionNode:
        """Return a section of other blocks."""
        return SectionNode(parts[0])

    def resolve(self, scope: Scope, pick: Pick) -> list[Section]:
        """Return the section of each copy."""
        return [Section(blocks) for blocks in self.blocks.resolve(scope, pick)]

    def match(self, scope: Scope, values: Sequence[Any], partial: PartialMatch, bind: Binder) -> Iterator[PartialMatch]:
        """Yield the match with each way to decide the blocks of these sections, all of them."""
        lengths = {len(section.blocks) for section in values}
        if len(lengths) > 1:  # copies share how many blocks an entry has, since its depth is one decision
            return
        (length,) = lengths
        inside = partial.at(0, (length, length))
        for matched in self.blocks.match(scope, [section.blocks for section in values], inside, bind):
            yield matched.at(partial.position, partial.end_range)
            if not self.reads:  # another way to decide this matters to nothing else
                return


@dataclass(frozen=True, eq=False)
class Branches(InnerNode):
    """Branches side by side; its value is a tuple of sections for each copy."""

    branches: tuple[Node, ...]
    """Each a `SectionNode`."""

    def parts(self) -> Sequence[tuple[str, Node]]:
        """Return the branches, whose paths are their numbers."""
        return [(str(i), node) for i, node in enumerate(self.branches)]

    def with_parts(self, parts: Sequence[Node]) -> Branches:
        """Return other branches."""
        return Branches(tuple(parts))

    def resolve(self, scope: Scope, pick: Pick) -> list[tuple[Section, ...]]:
        """Return the sections of each copy."""
        columns = [node.resolve(scope.enter(path), pick) for path, node in self.parts()]
        return [tuple(column[i] for column in columns) for i in range(len(scope.copies))]

    def match(self, scope: Scope, values: Sequence[Any], partial: PartialMatch, bind: Binder) -> Iterator[PartialMatch]:
        """Yield the match with each way to decide branch after branch; nothing where their number differs."""
        if any(len(sections) != len(self.branches) for sections in values):
            return iter(())

        def step(branch: int, reached: PartialMatch) -> Iterator[PartialMatch]:
            inner = scope.enter(str(branch))
            return self.branches[branch].match(inner, [sections[branch] for sections in values], reached, bind)

        return backtrack(len(self.branches), step, partial)


@dataclass(frozen=True, eq=False)
class Nested(InnerNode):
    """A part with a path of its own, such as the branches of a block."""

    path: str
    node: Node

    def parts(self) -> Sequence[tuple[str, Node]]:
        """Return the part with its path."""
        return [(self.path, self.node)]

    def with_parts(self, parts: Sequence[Node]) -> Nested:
        """Return another part with the same path."""
        return Nested(self.path, parts[0])

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        """Return the values of the part."""
        return self.node.resolve(scope.enter(self.path), pick)

    def match(self, scope: Scope, values: Sequence[Any], partial: PartialMatch, bind: Binder) -> Iterator[PartialMatch]:
        """Yield the matches of the part."""
        return self.node.match(scope.enter(self.path), values, partial, bind)


@dataclass(frozen=True, eq=False)
class PerCopy(InnerNode):
    """A part that every copy decides for itself: what stands inside a block whose kind each copy chooses."""

    node: Node

    def parts(self) -> Sequence[tuple[str, Node]]:
        """Return the part."""
        return [("", self.node)]

    def with_parts(self, parts: Sequence[Node]) -> PerCopy:
        """Return another part that every copy decides for itself."""
        return PerCopy(parts[0])

    @cached_property
    def decides(self) -> frozenset[Per]:
        """The blocks, where there is anything to decide."""
        return frozenset({"block"}) if self.node.decides else frozenset()

    def size(self, copies: int, names: Names) -> int:
        """Return the number of ways to decide the part for each of the copies."""
        return int(self.node.size(1, names) ** copies)

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        """Return the values of the part, each copy decided on its own."""
        return [value for copy in scope.each() for value in self.node.resolve(copy, pick)]

    def match(self, scope: Scope, values: Sequence[Any], partial: PartialMatch, bind: Binder) -> Iterator[PartialMatch]:
        """Yield the match with each way to decide copy after copy."""
        copies = list(scope.each())

        def step(copy: int, reached: PartialMatch) -> Iterator[PartialMatch]:
            return self.node.match(copies[copy], values[copy : copy + 1], reached, bind)

        return backtrack(len(copies), step, partial)

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        """Yield the decisions of the part, for every copy."""
        for copy in scope.each():
            yield from self.node.decisions(copy)
