"""The part of a space that becomes blocks: what is chosen for each, how many there are, and what stands inside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from nas.errors import NasError, SpaceError
from nas.network.registry import Block, block_kind
from nas.network.settings import SettingValue
from nas.space.formula import Formula
from nas.space.tree import Binder, Choice, Found, Names, Node, Pick, Record, Scope, bound, pick_from

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


@lru_cache(maxsize=65536)
def _block(kind: str, settings: tuple[tuple[str, SettingValue], ...]) -> Block:
    """Make a block, the same one once. Values were read by the rules of their settings, so that none is equal to one of
    another type, as 1 and true are."""
    return Block.of(kind, dict(settings))


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
        copies = [f"{copy}.blocks.{i}" if copy else f"blocks.{i}" for copy in scope.copies for i in range(self.count)]
        return Scope(scope.shared, tuple(copies), scope.names)

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
                blocks.append(_block(kind, tuple(settings.items())))
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
    most: int
    """The largest number that the formula can give."""

    @property
    def reads(self) -> frozenset[str]:
        return self.count.names | self.make(self.most).reads

    @property
    def switches(self) -> frozenset[str]:
        return self.count.names | self.make(self.most).switches

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
