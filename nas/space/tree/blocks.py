"""The part of a space that becomes blocks: what is chosen for each, how many there are, and what stands inside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from nas.errors import NasError, SpaceError
from nas.network.registry import Block, block_kind
from nas.network.settings import Scalar, SettingValue
from nas.space.tree.formula import Formula
from nas.space.tree.matching import Binder, Found, Names, bound, in_turn, same
from nas.space.tree.nodes import Choice, Composite, Node, Pick, Record, Scope
from nas.space.tree.references import Named

STRIDE = "stride"
"""The setting that belongs to the first of several copies: the others keep the map size."""


@lru_cache(maxsize=1024)
def _defaults(kind: str) -> dict[str, SettingValue]:
    """What the settings of a block are where nothing is said of them."""
    settings = block_kind(kind).settings
    return {name: setting.check(setting.default) for name, setting in settings.items() if not setting.required}


@dataclass(frozen=True, eq=False)
class Kind(Composite):
    """The kind of a block with the settings that stand under it; its value is `(kind, settings)`."""

    kind: str
    settings: Record
    _own: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_own", frozenset(key for key, _ in self.settings.items))
        super().__post_init__()

    def parts(self) -> Sequence[tuple[str, Node]]:
        return [("", self.settings)]

    def with_parts(self, parts: Sequence[Node]) -> Kind:
        (settings,) = parts
        assert isinstance(settings, Record)
        return Kind(self.kind, settings)

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        return [(self.kind, settings) for settings in self.settings.resolve(scope, pick)]

    def match(self, scope: Scope, values: Sequence[Any], found: Found, bind: Binder) -> Iterator[Found]:
        """Match values whose settings are those that nothing around this explains."""
        defaults = _defaults(self.kind)
        for kind, settings in values:
            if kind != self.kind:
                return
            for key, value in settings.items():
                if key not in self._own and not (key in defaults and same(defaults[key], value)):
                    return
        yield from self.settings.match(scope, [settings for _, settings in values], found, bind)


@dataclass(frozen=True, eq=False)
class Merged(Composite):
    """A kind with settings that all its options take; its value is `(kind, settings)`."""

    kind: Node
    """A `Kind`, a choice of them, or another of these by name."""
    common: Record

    def parts(self) -> Sequence[tuple[str, Node]]:
        return [("", self.kind), ("", self.common)]

    def with_parts(self, parts: Sequence[Node]) -> Merged:
        kind, common = parts
        assert isinstance(common, Record)
        return Merged(kind, common)

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        kinds = self.kind.resolve(scope, pick)
        common = self.common.resolve(scope, pick)
        return [(kind, {**settings, **own}) for (kind, own), settings in zip(kinds, common, strict=True)]

    def match(self, scope: Scope, values: Sequence[Any], found: Found, bind: Binder) -> Iterator[Found]:
        keys = [key for key, _ in self.common.items]
        if any(key not in settings for _, settings in values for key in keys):
            return iter(())
        kinds = [(kind, {k: v for k, v in settings.items() if k not in keys}) for kind, settings in values]
        common = [settings for _, settings in values]

        def step(at: int, known: Found) -> Iterator[Found]:
            node, wanted = ((self.kind, kinds), (self.common, common))[at]
            return node.match(scope, wanted, known, bind)

        return in_turn(2, step, found)


def _gives_stride(node: Node) -> bool:
    """Whether a description says something of the stride of whatever kind is chosen."""
    if isinstance(node, Named):
        return _gives_stride(node.node)
    if not isinstance(node, Merged):
        return False
    return any(key == STRIDE for key, _ in node.common.items) or _gives_stride(node.kind)


@lru_cache(maxsize=65536)
def _block(kind: str, settings: tuple[tuple[str, SettingValue], ...]) -> Block:
    """Make a block, the same one once. Values were read by the rules of their settings, so that none is equal to one of
    another type, as 1 and true are."""
    return Block.of(kind, dict(settings))


@dataclass(frozen=True, eq=False)
class Copies(Composite):
    """`count` blocks from one description; its value is a tuple of blocks."""

    count: int
    block: Node
    """A `Merged`; anything where there are none."""
    numbered: bool
    """Whether copies have paths of their own (`blocks.0`), as in a stage with a depth."""
    where: str = ""
    """The place in the space file, for errors that only a network shows."""

    def parts(self) -> Sequence[tuple[str, Node]]:
        return [("", self.block)] if self.count else []

    def with_parts(self, parts: Sequence[Node]) -> Copies:
        return Copies(self.count, parts[0], self.numbered, self.where) if self.count else self

    def inner(self, scope: Scope, start: int = 0) -> Scope:
        """Return the scope of the blocks, of those from number `start` on."""
        if not self.numbered:
            return scope
        numbers = range(start, self.count)
        copies = [f"{copy}.blocks.{i}" if copy else f"blocks.{i}" for copy in scope.copies for i in numbers]
        return Scope(scope.shared, tuple(copies), scope.names, scope.given)

    def size(self, copies: int, names: Names) -> int:
        return self.block.size(self.count * copies, names) if self.count else 1

    def resolve(self, scope: Scope, pick: Pick) -> list[tuple[Block, ...]]:
        if not self.count:
            return [()] * len(scope.copies)
        blocks = [
            self.block_of(kind, settings, first=i % self.count == 0)
            for i, (kind, settings) in enumerate(self.block.resolve(self.inner(scope), pick))
        ]
        return [tuple(blocks[i : i + self.count]) for i in range(0, len(blocks), self.count)]

    def block_of(self, kind: str, settings: Mapping[str, SettingValue], *, first: bool) -> Block:
        """Return the block of a kind and the settings that were given; raises `SpaceError` with the place."""
        if not first and STRIDE in block_kind(kind).settings:
            settings = {**settings, STRIDE: 1}
        try:
            return _block(kind, tuple(settings.items()))
        except NasError as error:  # a derived value that breaks the block's rule
            raise SpaceError(f"{self.where}: {error}" if self.where else str(error)) from None

    def settled(self, scope: Scope, chosen: Mapping[str, Scalar]) -> Node:
        return self.with_parts([self.block.settled(self.inner(scope), chosen)]) if self.count else self

    def match(self, scope: Scope, values: Sequence[Any], found: Found, bind: Binder) -> Iterator[Found]:
        start, end = found.place, found.place + self.count
        least, most = found.ends
        if not least <= end <= most:
            return
        bind.count_blocks(self.count * len(values))
        wanted: list[tuple[str, dict[str, SettingValue]]] = []
        for blocks in values:
            taken = self._wanted(blocks[start:end])
            if taken is None:
                return
            wanted += taken
        after = found.at(end, found.ends)
        if self.count:
            yield from self.block.match(self.inner(scope), wanted, after, bind)
        else:
            yield after

    def _wanted(self, blocks: Sequence[Block]) -> list[tuple[str, dict[str, SettingValue]]] | None:
        """Return what the description has to say for these copies; None where it cannot."""
        if len(blocks) < self.count:
            return None
        wanted = [(block.kind, dict(block.settings)) for block in blocks]
        for kind, settings in wanted[1:]:
            if settings.pop(STRIDE, 1) != 1:
                return None
            # What is said of the stride is of the first copy. Where nothing is, this one has no say either.
            first_kind, first = wanted[0]
            takes_it = STRIDE in first and STRIDE in block_kind(kind).settings
            if takes_it and (kind == first_kind or _gives_stride(self.block)):
                settings[STRIDE] = first[STRIDE]
        return wanted

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        if self.count:
            yield from self.block.decisions(self.inner(scope))


@dataclass(frozen=True, eq=False)
class Depths(Choice):
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
class Repeat(Composite):
    """As many blocks as a formula says."""

    count: Formula
    make: Callable[[int], Node]
    """Gives the `Copies` of a number."""
    most: int
    """The largest number that the formula can give."""

    def parts(self) -> Sequence[tuple[str, Node]]:
        return [("", self.make(self.most))]

    def names_of(self, what: Literal["reads", "switches"]) -> frozenset[str]:
        return self.count.names | super().names_of(what)

    def rest(self, names: Names) -> Node:
        """Return the blocks in the number that the names decide for."""
        return self.make(self.count.value(names))

    def size(self, copies: int, names: Names) -> int:
        return self.rest(names).size(copies, names)

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        return self.rest(scope.names).resolve(scope, pick)

    def settled(self, scope: Scope, chosen: Mapping[str, Scalar]) -> Node:
        return self.rest(scope.names).settled(scope, chosen)

    def match(self, scope: Scope, values: Sequence[Any], found: Found, bind: Binder) -> Iterator[Found]:
        for known in bound(self.count.names, found, bind):
            yield from self.rest(known.names).match(scope, values, known, bind)
