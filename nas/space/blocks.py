"""The part of a space that becomes blocks: what is chosen for each, how many there are, and what stands inside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from math import prod
from typing import Any

from nas.errors import NasError, SpaceError
from nas.network.registry import Block, block_kind
from nas.network.section import Section
from nas.space.formula import Formula
from nas.space.tree import Binder, Choice, Found, Genotype, Names, Node, Pick, Record, Scope, bound, pick_from

STRIDE = "stride"
"""The setting that belongs to the first of several copies: the others keep the map size."""


@dataclass(frozen=True, eq=False)
class Kind:
    """The kind of a block with the settings that stand under it; its value is `(kind, settings)`."""

    kind: str
    settings: Record

    @property
    def reads(self) -> frozenset[str]:
        return self.settings.reads

    @property
    def switches(self) -> frozenset[str]:
        return self.settings.switches

    def size(self, copies: int, names: Names) -> int:
        return self.settings.size(copies, names)

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        return [(self.kind, settings) for settings in self.settings.resolve(scope, pick)]

    def match(self, scope: Scope, values: Sequence[Any], found: Found, bind: Binder) -> Iterator[Found]:
        if all(kind == self.kind for kind, _ in values):
            yield from self.settings.match(scope, [settings for _, settings in values], found, bind)

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        return self.settings.decisions(scope)


@dataclass(frozen=True, eq=False)
class Merged:
    """A kind with settings that all its options take; its value is `(kind, settings)`."""

    kind: Node
    settings: Record

    @property
    def reads(self) -> frozenset[str]:
        return self.kind.reads | self.settings.reads

    @property
    def switches(self) -> frozenset[str]:
        return self.kind.switches | self.settings.switches

    def size(self, copies: int, names: Names) -> int:
        return self.kind.size(copies, names) * self.settings.size(copies, names)

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        kinds = self.kind.resolve(scope, pick)
        common = self.settings.resolve(scope, pick)
        return [(kind, {**settings, **own}) for (kind, own), settings in zip(kinds, common, strict=True)]

    def match(self, scope: Scope, values: Sequence[Any], found: Found, bind: Binder) -> Iterator[Found]:
        for known in self.kind.match(scope, values, found, bind):
            yield from self.settings.match(scope, [settings for _, settings in values], known, bind)

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        yield from self.kind.decisions(scope)
        yield from self.settings.decisions(scope)


@dataclass(frozen=True, eq=False)
class Named:
    """The block, or the blocks, that a name under `let` stands for: the same wherever it is used."""

    name: str
    holds: Callable[[Any, Any], bool] = lambda known, value: bool(known == value)
    """Whether a value of the network is what the name stands for."""

    @property
    def reads(self) -> frozenset[str]:
        return frozenset((self.name,))

    switches: frozenset[str] = frozenset()

    def size(self, copies: int, names: Names) -> int:
        return 1

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        return [scope.names[self.name]] * len(scope.copies)

    def match(self, scope: Scope, values: Sequence[Any], found: Found, bind: Binder) -> Iterator[Found]:
        if self.name in found.names:
            if all(self.holds(found.names[self.name], value) for value in values):
                yield found
            return
        for known in bind(self.name, found, values[0]):
            yield from self.match(scope, values, known, bind)

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        return iter(())


def same_kind(known: Any, value: Any) -> bool:
    """Whether the block `value` has the kind and the settings that are `known`; it may have more."""
    return bool(known[0] == value[0] and all(value[1].get(key) == setting for key, setting in known[1].items()))


@dataclass(frozen=True, eq=False)
class Copies:
    """`count` blocks from one description; its value is a tuple of blocks."""

    count: int
    kind: Node
    """A `Kind`, a choice of them, or one by name."""
    settings: Record
    """What every kind takes."""
    named: bool
    """Whether copies have names of their own (`blocks.0`), as in a stage with a depth."""
    where: str = ""
    """The place in the space file, for errors that only a network shows."""
    reads: frozenset[str] = field(init=False)
    switches: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "reads", self.kind.reads | self.settings.reads if self.count else frozenset())
        switches = self.kind.switches | self.settings.switches if self.count else frozenset()
        object.__setattr__(self, "switches", switches)

    def _inner(self, scope: Scope) -> Scope:
        if not self.named:
            return scope
        names = tuple(
            f"{copy}.blocks.{i}" if copy else f"blocks.{i}" for copy in scope.copies for i in range(self.count)
        )
        return replace(scope, copies=names)

    def size(self, copies: int, names: Names) -> int:
        every = self.count * copies
        return self.kind.size(every, names) * self.settings.size(every, names) if every else 1

    def resolve(self, scope: Scope, pick: Pick) -> list[tuple[Block, ...]]:
        if not self.count:
            return [()] * len(scope.copies)
        inner = self._inner(scope)
        kinds = self.kind.resolve(inner, pick)
        blocks: list[Block] = []
        for i, ((kind, own), common) in enumerate(zip(kinds, self.settings.resolve(inner, pick), strict=True)):
            settings = {**common, **own}
            if i % self.count and STRIDE in block_kind(kind).settings:
                settings[STRIDE] = 1
            try:
                blocks.append(Block.of(kind, settings))
            except NasError as error:  # a derived value that breaks the block's rule
                raise SpaceError(f"{self.where}: {error}" if self.where else str(error)) from None
        return [tuple(blocks[i : i + self.count]) for i in range(0, len(blocks), self.count)]

    def match(self, scope: Scope, values: Sequence[Any], found: Found, bind: Binder) -> Iterator[Found]:
        if any(len(blocks) != self.count for blocks in values):
            return
        if not self.count:
            yield found
            return
        settings = []
        for blocks in values:
            first, *others = ({"block": block.kind, **dict(block.settings)} for block in blocks)
            if any(other.get(STRIDE, 1) != 1 for other in others):
                return
            strides = {STRIDE: first[STRIDE]} if STRIDE in first else {}
            settings += [first, *({**other, **strides} for other in others)]
        inner = self._inner(scope)
        for kind in self.kind.match(inner, [(s["block"], s) for s in settings], found, bind):
            for known in self.settings.match(inner, settings, kind, bind):
                # What the description leaves to the defaults of the block was not looked at above.
                if self.resolve(replace(scope, names=known.names), pick_from(known.genotype)) == list(values):
                    yield known

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        if self.count:
            inner = self._inner(scope)
            yield from self.kind.decisions(inner)
            yield from self.settings.decisions(inner)


@dataclass(frozen=True, eq=False)
class Repeat:
    """As many blocks as a formula says."""

    count: Formula
    make: Callable[[int], Node]
    """Gives the `Copies` of a number."""
    inner: frozenset[str]
    """The names that the blocks read."""
    most: int
    """The largest number that the formula can give."""

    @property
    def reads(self) -> frozenset[str]:
        return self.count.names | self.inner

    @property
    def switches(self) -> frozenset[str]:
        return self.count.names

    def _copies(self, names: Names) -> Node:
        return self.make(self.count.value(names))

    def size(self, copies: int, names: Names) -> int:
        return self._copies(names).size(copies, names)

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        return self._copies(scope.names).resolve(scope, pick)

    def match(self, scope: Scope, values: Sequence[Any], found: Found, bind: Binder) -> Iterator[Found]:
        for known in bound(self.count.names, found, bind):
            yield from self._copies(known.names).match(scope, values, known, bind)

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        return self.make(self.most).decisions(scope)


@dataclass(frozen=True, eq=False)
class Chain:
    """Entries one behind the other; its value is a `Section` for each copy."""

    entries: tuple[tuple[str, Node], ...]
    """Relative path of each entry and its node, whose value is a tuple of blocks."""
    reads: frozenset[str] = field(init=False)
    switches: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        nodes = [node for _, node in self.entries]
        object.__setattr__(self, "reads", frozenset[str]().union(*(node.reads for node in nodes)))
        object.__setattr__(self, "switches", frozenset[str]().union(*(node.switches for node in nodes)))

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
        object.__setattr__(self, "reads", frozenset[str]().union(*(node.reads for node in self.branches)))
        object.__setattr__(self, "switches", frozenset[str]().union(*(node.switches for node in self.branches)))

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
