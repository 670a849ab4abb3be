"""Choices in a tree: count, pick, and find again.

Every node stands for the values of one or more *copies* at once (the blocks of a stage are copies of one
description), because a choice that the copies share is one decision, and a choice that each makes for itself is
many. One walk, `resolve`, serves decoding, sampling by rank and asking Optuna; they differ in who picks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, Literal, Protocol

from nas.errors import SpaceError
from nas.network.settings import Scalar
from nas.space.formula import Formula

Genotype = dict[str, Scalar]
"""`{decision path: value}` with the active decisions only; exactly the params of an Optuna trial."""

Names = Mapping[str, Any]
"""Values of the names that a space gives under `let`."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Where the decisions of some copies live, and what the names mean there."""

    shared: str
    """Path before the decisions that all copies share, e.g. `stages.2`."""
    copies: tuple[str, ...]
    """Path before the decisions of each copy, e.g. `stages.2.blocks.0`."""
    names: Names = field(default_factory=dict)

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
        return Scope(self.path(part), copies, self.names)


Pick = Callable[["Choice", str, int, Names], int]
"""Chooses: given a choice, its full path, the number of copies and the names, returns the index of an option."""


@dataclass(frozen=True, slots=True)
class Found:
    """What is known while an architecture is matched with a space."""

    genotype: Mapping[str, Scalar]
    names: Names
    """Values of the names that were met so far."""

    def decide(self, path: str, value: Scalar) -> Found | None:
        """Return this with one more decision; None where it was decided otherwise before."""
        if path in self.genotype:
            return self if _same(self.genotype[path], value) else None
        return replace(self, genotype={**self.genotype, path: value})


Binder = Callable[[str, Found, Any], Iterator[Found]]
"""Yields what may hold of a name that was not met yet, one way to decide it after the other; of a name that stands for
blocks only the ways that give these blocks.
"""


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

    def size(self, copies: int, names: Names) -> int:
        """Number of ways in which all the choices inside can be made."""

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        """Make the choices with `pick` and return the value of each copy."""

    def match(self, scope: Scope, values: Sequence[Any], found: Found, bind: Binder) -> Iterator[Found]:
        """Yield the ways to decide that give these values."""

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        """Yield every decision that can become active, with its path."""


_NO_NAMES: frozenset[str] = frozenset()


def names_of(nodes: Sequence[Node], what: Literal["reads", "switches"]) -> frozenset[str]:
    """Return the names that any of some nodes reads or switches on."""
    return _NO_NAMES.union(*(getattr(node, what) for node in nodes))


@dataclass(frozen=True, eq=False)
class Const:
    """A value without choice."""

    value: Any
    reads = switches = _NO_NAMES

    def size(self, copies: int, names: Names) -> int:
        return 1

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        return [self.value] * len(scope.copies)

    def match(self, scope: Scope, values: Sequence[Any], found: Found, bind: Binder) -> Iterator[Found]:
        if all(_same(value, self.value) for value in values):
            yield found

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        return iter(())


def _same(a: object, b: object) -> bool:
    """Equal, and not merely as `True == 1` is."""
    return a == b and isinstance(a, bool) == isinstance(b, bool)


@dataclass(frozen=True, eq=False)
class Derived:
    """A value worked out from names."""

    formula: Formula
    switches = _NO_NAMES

    @property
    def reads(self) -> frozenset[str]:
        return self.formula.names

    def size(self, copies: int, names: Names) -> int:
        return 1

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        return [self.formula.value(scope.names)] * len(scope.copies)

    def match(self, scope: Scope, values: Sequence[Any], found: Found, bind: Binder) -> Iterator[Found]:
        for known in bound(self.reads, found, bind):
            if all(_same(value, self.formula.value(known.names)) for value in values):
                yield known

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        return iter(())


def bound(names: frozenset[str], found: Found, bind: Binder) -> Iterator[Found]:
    """Yield the ways to decide all of `names`."""
    missing = [name for name in sorted(names) if name not in found.names]
    if not missing:
        yield found
        return
    for known in bind(missing[0], found, None):
        yield from bound(names, known, bind)


@dataclass(frozen=True, eq=False)
class If:
    """One of two nodes, as a formula says."""

    test: Formula
    then: Node
    otherwise: Node

    @property
    def reads(self) -> frozenset[str]:
        return self.test.names | self.then.reads | self.otherwise.reads

    @property
    def switches(self) -> frozenset[str]:
        return self.test.names | self.then.switches | self.otherwise.switches

    def _chosen(self, names: Names) -> Node:
        return self.then if self.test.value(names) else self.otherwise

    def size(self, copies: int, names: Names) -> int:
        return self._chosen(names).size(copies, names)

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        return self._chosen(scope.names).resolve(scope, pick)

    def match(self, scope: Scope, values: Sequence[Any], found: Found, bind: Binder) -> Iterator[Found]:
        for known in bound(self.test.names, found, bind):
            yield from self._chosen(known.names).match(scope, values, known, bind)

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        yield from self.then.decisions(scope)
        yield from self.otherwise.decisions(scope)


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
    """One decision, or with `per_copy` one a copy."""

    name: str
    """Path relative to the scope, e.g. `kernel` or `block.mbconv.expand_ratio`."""
    options: tuple[Option, ...]
    per_copy: bool = False
    int_range: IntRange | None = None
    values: tuple[Scalar, ...] = field(init=False)
    """What stands in the genotype, for each option."""
    reads: frozenset[str] = field(init=False)
    switches: frozenset[str] = field(init=False)
    _sizes: dict[Any, tuple[int, ...]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        nodes = [option.node for option in self.options]
        object.__setattr__(self, "values", tuple(option.value for option in self.options))
        object.__setattr__(self, "reads", names_of(nodes, "reads"))
        object.__setattr__(self, "switches", names_of(nodes, "switches"))

    def option_sizes(self, copies: int, names: Names) -> tuple[int, ...]:
        """Number of ways to go on after each option."""
        key = (copies, *[names[name] for name in self.switches]) if self.switches else copies
        known = self._sizes.get(key)
        if known is None:
            known = self._sizes[key] = tuple(option.node.size(copies, names) for option in self.options)
        return known

    def size(self, copies: int, names: Names) -> int:
        if self.per_copy:
            return int(sum(self.option_sizes(1, names)) ** copies)
        return sum(self.option_sizes(copies, names))

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        if not self.per_copy:
            option = self.options[pick(self, scope.path(self.name), len(scope.copies), scope.names)]
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

    def match(self, scope: Scope, values: Sequence[Any], found: Found, bind: Binder) -> Iterator[Found]:
        if not self.per_copy:
            yield from self._match_shared(scope, values, found, bind)
        elif not values:
            yield found
        else:
            first, *others = scope.each()
            rest = replace(scope, copies=tuple(one.shared for one in others))
            for known in self._match_shared(first, values[:1], found, bind):
                yield from self.match(rest, values[1:], known, bind)

    def _match_shared(self, scope: Scope, values: Sequence[Any], found: Found, bind: Binder) -> Iterator[Found]:
        for option in self.options:
            known = found.decide(scope.path(self.name), option.value)
            if known is not None:
                yield from option.node.match(scope, values, known, bind)

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        for where in scope.each() if self.per_copy else (scope,):
            yield where.path(self.name), self
            for option in self.options:
                yield from option.node.decisions(where)


@dataclass(frozen=True, eq=False)
class Record:
    """Named parts; its value is a dict."""

    items: tuple[tuple[str, Node], ...]
    reads: frozenset[str] = field(init=False)
    switches: frozenset[str] = field(init=False)
    _fixed: dict[str, Any] = field(init=False)
    _varying: tuple[tuple[str, Node], ...] = field(init=False)

    def __post_init__(self) -> None:
        nodes = [node for _, node in self.items]
        fixed = {key: node.value for key, node in self.items if isinstance(node, Const)}
        object.__setattr__(self, "_fixed", fixed)
        object.__setattr__(self, "_varying", tuple(item for item in self.items if item[0] not in fixed))
        object.__setattr__(self, "reads", names_of(nodes, "reads"))
        object.__setattr__(self, "switches", names_of(nodes, "switches"))

    def size(self, copies: int, names: Names) -> int:
        return prod(node.size(copies, names) for _, node in self.items)

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        columns = [(key, node.resolve(scope, pick)) for key, node in self._varying]
        found = [dict(self._fixed) for _ in scope.copies]
        for key, column in columns:
            for one, value in zip(found, column, strict=True):
                one[key] = value
        return found

    def match(self, scope: Scope, values: Sequence[Any], found: Found, bind: Binder) -> Iterator[Found]:
        return self._match_from(0, scope, values, found, bind)

    def _match_from(
        self, start: int, scope: Scope, values: Sequence[Any], found: Found, bind: Binder
    ) -> Iterator[Found]:
        if start == len(self.items):
            yield found
            return
        key, node = self.items[start]
        for known in node.match(scope, [value[key] for value in values], found, bind):
            yield from self._match_from(start + 1, scope, values, known, bind)

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        for _, node in self.items:
            yield from node.decisions(scope)


def pick_by_rank(rank: int) -> Pick:
    """Return a picker under which `resolve` gives the genotype number `rank` of `size()`.

    Each choice takes its part of the number as a digit in mixed radix: what is left chooses among the options and
    inside them, in the order of the walk.
    """
    state = rank

    def pick(choice: Choice, path: str, copies: int, names: Names) -> int:
        nonlocal state
        sizes = choice.option_sizes(copies, names)
        rest, digit = divmod(state, sum(sizes))
        for index, size in enumerate(sizes):
            if digit < size:
                state = rest * size + digit
                return index
            digit -= size
        raise AssertionError("the rank is below the size")

    return pick


def recording(pick: Pick, genotype: Genotype) -> Pick:
    """Return `pick`, writing what it picks to `genotype`."""

    def record(choice: Choice, path: str, copies: int, names: Names) -> int:
        index = pick(choice, path, copies, names)
        genotype[path] = choice.values[index]
        return index

    return record


def pick_from(genotype: Mapping[str, Scalar]) -> Pick:
    """Return a picker that takes what a genotype says; it raises `SpaceError` where that is nothing possible."""

    def pick(choice: Choice, path: str, copies: int, names: Names) -> int:
        if path not in genotype:
            raise SpaceError(f"genotype: decision {path!r} is missing; its options are {list(choice.values)}")
        value = genotype[path]
        for index, option in enumerate(choice.values):
            if option == value and isinstance(option, bool) == isinstance(value, bool):
                return index
        raise SpaceError(f"genotype: {path} must be one of {list(choice.values)}, but got {value!r}")

    return pick
