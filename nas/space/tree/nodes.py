"""Choices in a tree: count, pick, and find again.

Every node stands for the values of one or more *copies* at once (the blocks of a stage are copies of one
description), because a choice that the copies share is one decision, and a choice that each makes for itself is
many. One walk, `resolve`, serves decoding, sampling by rank and asking Optuna; they differ in who picks.

What has a name under `let` is read once and used in many places. Its choices that say no `per` are of the network: they
are decided where the name is given, which is a walk over no copies at all, since every other choice is of some copies;
`settled` then gives what is left to decide where the name is used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any, Literal, Protocol, Self

from nas.network.settings import Scalar
from nas.space.tree.formula import Formula
from nas.space.tree.matching import Binder, Found, Names, bound, in_turn, same

Per = Literal["network", "stage", "block"]
"""What has one decision: the network, however often a name is used; all copies together; or each copy."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Where the decisions of some copies live, and what the names mean there."""

    shared: str
    """Path before the decisions that all copies share, e.g. `stages.2`."""
    copies: tuple[str, ...]
    """Path before the decisions of each copy, e.g. `stages.2.blocks.0`."""
    names: Names = field(default_factory=dict)
    given: str = ""
    """Inside what a name stands for: path before the decisions of the network, e.g. `let.unit`."""

    def path(self, name: str) -> str:
        return f"{self.shared}.{name}" if self.shared else name

    def each(self) -> Iterator[Scope]:
        """Yield every copy as a scope of its own."""
        for copy in self.copies:
            yield Scope(copy, (copy,), self.names)

    def enter(self, part: str) -> Scope:
        """Return the scope of a part with a path of its own inside every copy."""
        if not part:
            return self
        copies = tuple([f"{copy}.{part}" if copy else part for copy in self.copies])
        return Scope(self.path(part), copies, self.names, f"{self.given}.{part}" if self.given else "")


Pick = Callable[["Choice", str, int, Names], int]
"""Chooses: given a choice, its full path, the number of copies and the names, returns the index of an option."""


def count_text(number: int) -> str:
    """Write an exact count; of over a thousand digits only how many there are."""
    return f"{number:,}" if number < 10**1000 else f"about 10^{math.floor(math.log10(number))}"


class Node(Protocol):
    """A part of a space. A node gives one value a copy."""

    @property
    def reads(self) -> frozenset[str]:
        """The names that it depends on."""

    @property
    def switches(self) -> frozenset[str]:
        """Those of them on which it depends which decisions there are."""

    @property
    def decides(self) -> frozenset[Per]:
        """Of what it has decisions."""

    def size(self, copies: int, names: Names) -> int:
        """Number of ways in which all the choices inside can be made."""

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        """Make the choices with `pick` and return the value of each copy."""

    def settled(self, scope: Scope, chosen: Mapping[str, Scalar]) -> Node:
        """Return what is left when the decisions of the network, all in `chosen`, are made."""

    def match(self, scope: Scope, values: Sequence[Any], found: Found, bind: Binder) -> Iterator[Found]:
        """Yield the ways to decide that give these values."""

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        """Yield every decision that can become active, with its path."""


_NOTHING: frozenset[Any] = frozenset()


def _names_of(nodes: Sequence[Node], what: Literal["reads", "switches"]) -> frozenset[str]:
    """Return the names that any of some nodes reads or switches on."""
    return _NOTHING.union(*(getattr(node, what) for node in nodes))


class Plain:
    """A node without choices."""

    reads: frozenset[str] = _NOTHING
    switches: frozenset[str] = _NOTHING
    decides: frozenset[Per] = _NOTHING

    def size(self, copies: int, names: Names) -> int:
        return 1

    def settled(self, scope: Scope, chosen: Mapping[str, Scalar]) -> Self:
        return self

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        return iter(())


class Composite:
    """A node made of others. It says what they are, and what it is with others in their place."""

    def __post_init__(self) -> None:
        # Worked out while the tree is made, from the inside, so that a deep one takes no deep recursion.
        _ = self.reads, self.switches, self.decides

    def parts(self) -> Sequence[tuple[str, Node]]:
        """The inner nodes, each with its path inside this one; empty where it has none of its own."""
        raise NotImplementedError  # each kind of node says its own

    def with_parts(self, parts: Sequence[Node]) -> Node:
        """Return this with other inner nodes, in the order of `parts`."""
        raise NotImplementedError  # as above

    @cached_property
    def reads(self) -> frozenset[str]:
        return self.names_of("reads")

    @cached_property
    def switches(self) -> frozenset[str]:
        return self.names_of("switches")

    def names_of(self, what: Literal["reads", "switches"]) -> frozenset[str]:
        return _names_of([node for _, node in self.parts()], what)

    @cached_property
    def decides(self) -> frozenset[Per]:
        return _NOTHING.union(*(node.decides for _, node in self.parts()))

    def size(self, copies: int, names: Names) -> int:
        return prod(node.size(copies, names) for _, node in self.parts())

    def settled(self, scope: Scope, chosen: Mapping[str, Scalar]) -> Node:
        return self.with_parts([node.settled(scope.enter(path), chosen) for path, node in self.parts()])

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        for path, node in self.parts():
            yield from node.decisions(scope.enter(path))


@dataclass(frozen=True, eq=False)
class Const(Plain):
    """A value without choice."""

    value: Any

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        return [self.value] * len(scope.copies)

    def match(self, scope: Scope, values: Sequence[Any], found: Found, bind: Binder) -> Iterator[Found]:
        if all(same(value, self.value) for value in values):
            yield found


@dataclass(frozen=True, eq=False)
class Derived(Plain):
    """A value worked out from names."""

    formula: Formula
    reads: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "reads", self.formula.names)

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        return [self.formula.value(scope.names)] * len(scope.copies) if scope.copies else []

    def match(self, scope: Scope, values: Sequence[Any], found: Found, bind: Binder) -> Iterator[Found]:
        for known in bound(self.reads, found, bind):
            if all(same(value, self.formula.value(known.names)) for value in values):
                yield known


@dataclass(frozen=True, eq=False)
class If(Composite):
    """One of two nodes, as a formula says."""

    test: Formula
    then: Node
    otherwise: Node

    def parts(self) -> Sequence[tuple[str, Node]]:
        return [("", self.then), ("", self.otherwise)]

    def names_of(self, what: Literal["reads", "switches"]) -> frozenset[str]:
        return self.test.names | super().names_of(what)

    def rest(self, names: Names) -> Node:
        """Return the node that the names decide for."""
        return self.then if self.test.value(names) else self.otherwise

    def size(self, copies: int, names: Names) -> int:
        return self.rest(names).size(copies, names)

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        return self.rest(scope.names).resolve(scope, pick)

    def settled(self, scope: Scope, chosen: Mapping[str, Scalar]) -> Node:
        return self.rest(scope.names).settled(scope, chosen)

    def match(self, scope: Scope, values: Sequence[Any], found: Found, bind: Binder) -> Iterator[Found]:
        for known in bound(self.test.names, found, bind):
            yield from self.rest(known.names).match(scope, values, known, bind)


@dataclass(frozen=True, eq=False, slots=True)
class Option:
    """One thing that a choice can choose."""

    value: Scalar
    """What stands in the genotype."""
    node: Node
    """What it means."""


@dataclass(frozen=True, eq=False, slots=True)
class IntRange:
    """The arithmetic progression that a choice was written as; samplers use its order."""

    low: int
    high: int
    step: int


@dataclass(frozen=True, eq=False)
class Choice:
    """One decision for the network or for some copies, or one a copy."""

    name: str
    """Path relative to the scope, e.g. `kernel` or `block.mbconv.expand_ratio`."""
    options: tuple[Option, ...]
    per: Per = "stage"
    int_range: IntRange | None = None
    met_often: bool = False
    """Whether a match meets its one decision several times: it is of a stage, under a kind that each copy chooses."""
    values: tuple[Scalar, ...] = field(init=False)
    """What stands in the genotype, for each option."""
    reads: frozenset[str] = field(init=False)
    switches: frozenset[str] = field(init=False)
    decides: frozenset[Per] = field(init=False)
    _sizes: dict[Any, tuple[int, ...]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        nodes = [option.node for option in self.options]
        object.__setattr__(self, "values", tuple(option.value for option in self.options))
        object.__setattr__(self, "reads", _names_of(nodes, "reads"))
        object.__setattr__(self, "switches", _names_of(nodes, "switches"))
        object.__setattr__(self, "decides", frozenset({self.per}).union(*(node.decides for node in nodes)))

    def option_sizes(self, copies: int, names: Names) -> tuple[int, ...]:
        """Number of ways to go on after each option."""
        key = (copies, *[names[name] for name in self.switches]) if self.switches else copies
        known = self._sizes.get(key)
        if known is None:
            known = self._sizes[key] = tuple(option.node.size(copies, names) for option in self.options)
        return known

    def size(self, copies: int, names: Names) -> int:
        if self.per == "block":
            return int(sum(self.option_sizes(1, names)) ** copies)
        return sum(self.option_sizes(copies, names)) if copies or self.per == "network" else 1

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        if self.per != "block":
            if not scope.copies and self.per == "stage":
                return []
            option = self.options[pick(self, self._path(scope), len(scope.copies), scope.names)]
            return option.node.resolve(scope, pick)
        values = []
        for copy in scope.copies:
            path = f"{copy}.{self.name}" if copy else self.name
            node = self.options[pick(self, path, 1, scope.names)].node
            # Mostly a plain value, which needs no scope of its own.
            if isinstance(node, Const):
                values.append(node.value)
            else:
                values += node.resolve(Scope(copy, (copy,), scope.names), pick)
        return values

    def _path(self, scope: Scope) -> str:
        return f"{scope.given}.{self.name}" if self.per == "network" else scope.path(self.name)

    def settled(self, scope: Scope, chosen: Mapping[str, Scalar]) -> Node:
        if self.per != "network":
            return self
        value = chosen[self._path(scope)]
        return next(option.node for option in self.options if same(option.value, value)).settled(scope, chosen)

    def match(self, scope: Scope, values: Sequence[Any], found: Found, bind: Binder) -> Iterator[Found]:
        if self.per != "block":
            return self._match_one(scope, values, found, bind)
        copies = list(scope.each())

        def step(copy: int, known: Found) -> Iterator[Found]:
            return self._match_one(copies[copy], values[copy : copy + 1], known, bind)

        return in_turn(len(copies), step, found)

    def _match_one(self, scope: Scope, values: Sequence[Any], found: Found, bind: Binder) -> Iterator[Found]:
        path = self._path(scope)
        often = self.per == "network" or self.met_often
        for option in self.options:
            known = found.decide_shared(path, option.value) if often else found.decide(path, option.value)
            if known is not None:
                yield from option.node.match(scope, values, known, bind)

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        # A decision of the network stands where the name is given, not where it is used; the others the other way.
        if self.per == "block":
            for where in scope.each():
                yield where.path(self.name), self
                yield from self._inner_decisions(where)
            return
        if scope.given if self.per == "network" else scope.copies:
            yield self._path(scope), self
        yield from self._inner_decisions(scope)

    def _inner_decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        for option in self.options:
            yield from option.node.decisions(scope)


@dataclass(frozen=True, eq=False)
class Record(Composite):
    """Named parts; its value is a dict."""

    items: tuple[tuple[str, Node], ...]
    _fixed: dict[str, Any] = field(init=False)
    _varying: tuple[tuple[str, Node], ...] = field(init=False)

    def __post_init__(self) -> None:
        fixed = {key: node.value for key, node in self.items if isinstance(node, Const)}
        object.__setattr__(self, "_fixed", fixed)
        object.__setattr__(self, "_varying", tuple(item for item in self.items if item[0] not in fixed))
        super().__post_init__()

    def parts(self) -> Sequence[tuple[str, Node]]:
        return [("", node) for _, node in self.items]

    def with_parts(self, parts: Sequence[Node]) -> Record:
        return Record(tuple((key, node) for (key, _), node in zip(self.items, parts, strict=True)))

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        columns = [(key, node.resolve(scope, pick)) for key, node in self._varying]
        found = [dict(self._fixed) for _ in scope.copies]
        for key, column in columns:
            for one, value in zip(found, column, strict=True):
                one[key] = value
        return found

    def match(self, scope: Scope, values: Sequence[Any], found: Found, bind: Binder) -> Iterator[Found]:
        def step(at: int, known: Found) -> Iterator[Found]:
            key, node = self.items[at]
            return node.match(scope, [value[key] for value in values], known, bind)

        return in_turn(len(self.items), step, found)
