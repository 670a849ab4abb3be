"""Nodes that become blocks: the kind of a block with its settings, and copies of it, in a number that may be chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from nas.equality import same_value
from nas.errors import NasError, SpaceError
from nas.network.registry import Block, block_kind
from nas.network.settings import Scalar, SettingValue
from nas.space.tree.derived import Record, SelectedNode
from nas.space.tree.formula import Formula
from nas.space.tree.genotype import Names
from nas.space.tree.matching import Binder, PartialMatch, backtrack
from nas.space.tree.nodes import Choice, InnerNode, Node, Pick, Scope
from nas.space.tree.references import Reference

STRIDE = "stride"
"""The setting that belongs to the first of several copies: the others keep the map size."""

_KindAndSettings = tuple[str, dict[str, SettingValue]]


@lru_cache(maxsize=1024)
def _defaults(kind: str) -> dict[str, SettingValue]:
    """Return the values of a block's settings where nothing is said of them."""
    settings = block_kind(kind).settings
    return {name: setting.check(setting.default) for name, setting in settings.items() if not setting.required}


@dataclass(frozen=True, eq=False)
class KindNode(InnerNode):
    """The kind of a block with the settings that stand under it; its value is `(kind, settings)`."""

    kind: str
    settings: Record
    _own: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_own", frozenset(key for key, _ in self.settings.items))
        super().__post_init__()

    def parts(self) -> Sequence[tuple[str, Node]]:
        """Return the settings."""
        return [("", self.settings)]

    def with_parts(self, parts: Sequence[Node]) -> KindNode:
        """Return the same kind with other settings."""
        (settings,) = parts
        assert isinstance(settings, Record)
        return KindNode(self.kind, settings)

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        """Return the kind and its settings for each copy."""
        return [(self.kind, settings) for settings in self.settings.resolve(scope, pick)]

    def match(self, scope: Scope, values: Sequence[Any], partial: PartialMatch, bind: Binder) -> Iterator[PartialMatch]:
        """Yield the match with each way to decide the settings; those that are not given here must be defaults."""
        defaults = _defaults(self.kind)
        for kind, settings in values:
            if kind != self.kind:
                return
            for key, value in settings.items():
                if key not in self._own and not (key in defaults and same_value(defaults[key], value)):
                    return
        yield from self.settings.match(scope, [settings for _, settings in values], partial, bind)


@dataclass(frozen=True, eq=False)
class BlockNode(InnerNode):
    """A kind with settings that all its options take; its value is `(kind, settings)`."""

    kind: Node
    """A `KindNode`, a choice of them, or a `Reference` to another `BlockNode`."""
    common: Record

    def parts(self) -> Sequence[tuple[str, Node]]:
        """Return the kind and the common settings."""
        return [("", self.kind), ("", self.common)]

    def with_parts(self, parts: Sequence[Node]) -> BlockNode:
        """Return a block of another kind with other common settings."""
        kind, common = parts
        assert isinstance(common, Record)
        return BlockNode(kind, common)

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        """Return the kind and all its settings for each copy."""
        kinds = self.kind.resolve(scope, pick)
        common = self.common.resolve(scope, pick)
        return [(kind, {**settings, **own}) for (kind, own), settings in zip(kinds, common, strict=True)]

    def match(self, scope: Scope, values: Sequence[Any], partial: PartialMatch, bind: Binder) -> Iterator[PartialMatch]:
        """Yield the match with each way to decide the kind, then the common settings."""
        keys = [key for key, _ in self.common.items]
        if any(key not in settings for _, settings in values for key in keys):
            return iter(())
        kinds = [(kind, {k: v for k, v in settings.items() if k not in keys}) for kind, settings in values]
        common = [settings for _, settings in values]

        def step(index: int, reached: PartialMatch) -> Iterator[PartialMatch]:
            node, inner = ((self.kind, kinds), (self.common, common))[index]
            return node.match(scope, inner, reached, bind)

        return backtrack(2, step, partial)


def _gives_stride(node: Node) -> bool:
    """Return whether a description states the stride of whatever kind is chosen."""
    if isinstance(node, Reference):
        return _gives_stride(node.node)
    if not isinstance(node, BlockNode):
        return False
    return any(key == STRIDE for key, _ in node.common.items) or _gives_stride(node.kind)


@lru_cache(maxsize=65536)
def _block(kind: str, settings: tuple[tuple[str, SettingValue], ...]) -> Block:
    """Make a block, the same one once. Values were read by the rules of their settings, so that none is equal to one of
    another type, as 1 and true are."""
    return Block.of(kind, dict(settings))


@dataclass(frozen=True, eq=False)
class Copies(InnerNode):
    """`count` blocks from one description; its value is a tuple of blocks."""

    count: int
    block: Node
    """A `BlockNode`; anything where there are no copies."""
    numbered: bool
    """Whether copies have paths of their own (`blocks.0`), as in a stage with a depth."""
    where: str = ""
    """The place in the space file, for errors that show only when a network is made."""

    def parts(self) -> Sequence[tuple[str, Node]]:
        """Return the block, or nothing where there are no copies."""
        return [("", self.block)] if self.count else []

    def with_parts(self, parts: Sequence[Node]) -> Copies:
        """Return as many copies of another block."""
        return Copies(self.count, parts[0], self.numbered, self.where) if self.count else self

    def inner(self, scope: Scope, start: int = 0) -> Scope:
        """Return the scope of the blocks, of those from number `start` on."""
        if not self.numbered:
            return scope
        numbers = range(start, self.count)
        copies = [f"{copy}.blocks.{i}" if copy else f"blocks.{i}" for copy in scope.copies for i in numbers]
        return Scope(scope.shared, tuple(copies), scope.names, scope.let_path)

    def size(self, copies: int, names: Names) -> int:
        """Return the number of ways to decide all the blocks of all copies."""
        return self.block.size(self.count * copies, names) if self.count else 1

    def resolve(self, scope: Scope, pick: Pick) -> list[tuple[Block, ...]]:
        """Return the blocks of each copy; raises `SpaceError` where derived values break the rule of a setting."""
        if not self.count:
            return [()] * len(scope.copies)
        blocks = [
            self.block_of(kind, settings, first=i % self.count == 0)
            for i, (kind, settings) in enumerate(self.block.resolve(self.inner(scope), pick))
        ]
        return [tuple(blocks[i : i + self.count]) for i in range(0, len(blocks), self.count)]

    def block_of(self, kind: str, settings: Mapping[str, SettingValue], *, first: bool) -> Block:
        """Return the block of a kind and its settings; raises `SpaceError` with the place in the space file."""
        if not first and STRIDE in block_kind(kind).settings:
            settings = {**settings, STRIDE: 1}
        try:
            return _block(kind, tuple(settings.items()))
        except NasError as error:  # a derived value that breaks the block's rule
            raise SpaceError(f"{self.where}: {error}" if self.where else str(error)) from None

    def specialised(self, scope: Scope, chosen: Mapping[str, Scalar]) -> Node:
        """Return as many copies of the specialised block."""
        return self.with_parts([self.block.specialised(self.inner(scope), chosen)]) if self.count else self

    def match(self, scope: Scope, values: Sequence[Any], partial: PartialMatch, bind: Binder) -> Iterator[PartialMatch]:
        """Yield the match with each way to decide the next `count` blocks; `values` are all blocks of a section."""
        start, end = partial.position, partial.position + self.count
        least, most = partial.end_range
        if not least <= end <= most:
            return
        bind.count_blocks(self.count * len(values))
        stated: list[_KindAndSettings] = []
        for blocks in values:
            own = self._stated(blocks[start:end])
            if own is None:
                return
            stated += own
        after = partial.at(end, partial.end_range)
        if self.count:
            yield from self.block.match(self.inner(scope), stated, after, bind)
        else:
            yield after

    def _stated(self, blocks: Sequence[Block]) -> list[_KindAndSettings] | None:
        """Return what the description must state for these blocks to be its copies; None where they cannot be."""
        if len(blocks) < self.count:
            return None
        stated = [(block.kind, dict(block.settings)) for block in blocks]
        for kind, settings in stated[1:]:
            if settings.pop(STRIDE, 1) != 1:
                return None
            # A stride that is stated is that of the first copy. Where none is, this copy has no say in it either.
            first_kind, first = stated[0]
            takes_it = STRIDE in first and STRIDE in block_kind(kind).settings
            if takes_it and (kind == first_kind or _gives_stride(self.block)):
                settings[STRIDE] = first[STRIDE]
        return stated

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        """Yield the decisions of every block."""
        if self.count:
            yield from self.block.decisions(self.inner(scope))


@dataclass(frozen=True, eq=False)
class DepthChoice(Choice):
    """A choice of how many blocks there are; its options are `Copies` of one block."""

    def _inner_decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        # The blocks of a small depth are among those of a larger one.
        seen = 0
        for option in self.options:
            copies = option.node
            assert isinstance(copies, Copies)
            if copies.count > seen:
                yield from copies.block.decisions(copies.inner(scope, seen))
                seen = copies.count


@dataclass(frozen=True, eq=False)
class DerivedCopies(SelectedNode):
    """Copies of a block in the number that a formula gives."""

    count: Formula
    make: Callable[[int], Node]
    """Gives the `Copies` of a number."""
    most: int
    """The largest number that the formula can give."""

    def parts(self) -> Sequence[tuple[str, Node]]:
        """Return the most copies that there can be."""
        return [("", self.make(self.most))]

    @property
    def selector(self) -> Formula:
        """The formula of the number."""
        return self.count

    def reduced(self, names: Names) -> Node:
        """Return the copies in the number that the formula gives."""
        return self.make(self.count.value(names))
