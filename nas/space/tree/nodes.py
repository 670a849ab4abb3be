"""The nodes of the tree: what all of them can do, the two general kinds, constants and choices.

Every node gives the values of one or more *copies* at once (the blocks of a stage are copies of one description),
because a choice that the copies share is one decision, and a choice that each makes for itself is many. One walk,
`resolve`, serves decoding, sampling by rank and asking Optuna; they differ in who picks.

What has a name under `let` is read once and used in many places. Its choices that say no `per` are of the network: they
are decided where the name is given, which is a walk over no copies at all, since every other choice is of some copies;
`specialised` then gives what is left to decide where the name is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any, Literal, Protocol, Self

from nas.equality import same_value, value_key
from nas.network.settings import Scalar
from nas.space.tree.genotype import Names
from nas.space.tree.matching import Binder, PartialMatch, backtrack

Per = Literal["network", "stage", "block"]
"""What has one decision: the network, however often a name is used; all copies together; or each copy."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Where the decisions of some copies live, and the values of the names there."""

    shared: str
    """Path before the decisions that all copies share, e.g. `stages.2`."""
    copies: tuple[str, ...]
    """Path before the decisions of each copy, e.g. `stages.2.blocks.0`."""
    names: Names = field(default_factory=dict)
    let_path: str = ""
    """Inside what a name stands for: path before the decisions of the network, e.g. `let.unit`."""

    def path(self, name: str) -> str:
        """Return the full path of a decision that all copies share."""
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
        return Scope(self.path(part), copies, self.names, f"{self.let_path}.{part}" if self.let_path else "")


Pick = Callable[["Choice", str, int, Names], int]
"""Chooses: given a choice, its full path, the number of copies and the names, returns the index of an option."""


class Node(Protocol):
    """A part of a space. A node gives one value for each copy."""

    @property
    def reads(self) -> frozenset[str]:
        """The names on which its values depend."""

    @property
    def switches(self) -> frozenset[str]:
        """Those of them on which it depends which decisions there are."""

    @property
    def decides(self) -> frozenset[Per]:
        """What its decisions are of."""

    def size(self, copies: int, names: Names) -> int:
        """Return the number of ways to make all choices inside."""

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        """Make the choices with `pick` and return the value of each copy."""

    def specialised(self, scope: Scope, chosen: Mapping[str, Scalar]) -> Node:
        """Return what is left when the decisions of the network, all in `chosen`, are made."""

    def match(self, scope: Scope, values: Sequence[Any], partial: PartialMatch, bind: Binder) -> Iterator[PartialMatch]:
        """Yield the match with each way to decide that gives these values, one a copy."""

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        """Yield every decision that can become active, with its path."""


_NOTHING: frozenset[Any] = frozenset()


def _names_of(nodes: Sequence[Node], what: Literal["reads", "switches"]) -> frozenset[str]:
    """Return the names that any of some nodes reads, or switches on."""
    return _NOTHING.union(*(getattr(node, what) for node in nodes))


class LeafNode:
    """A node without choices."""

    reads: frozenset[str] = _NOTHING
    switches: frozenset[str] = _NOTHING
    decides: frozenset[Per] = _NOTHING

    def size(self, copies: int, names: Names) -> int:
        """Return 1: there is nothing to choose."""
        return 1

    def specialised(self, scope: Scope, chosen: Mapping[str, Scalar]) -> Self:
        """Return this: no decision changes it."""
        return self

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        """Yield nothing."""
        return iter(())


class InnerNode:
    """A node made of others, which `parts` gives and `with_parts` replaces."""

    def __post_init__(self) -> None:
        # Worked out while the tree is made, from the inside, so that a deep one takes no deep recursion.
        _ = self.reads, self.switches, self.decides

    def parts(self) -> Sequence[tuple[str, Node]]:
        """Return the inner nodes, each with its path inside this one; empty where it has none of its own."""
        raise NotImplementedError  # each class states its own

    def with_parts(self, parts: Sequence[Node]) -> Node:
        """Return this with other inner nodes, in the order of `parts`."""
        raise NotImplementedError  # as above

    @cached_property
    def reads(self) -> frozenset[str]:
        """The names on which its values depend."""
        return self.names_of("reads")

    @cached_property
    def switches(self) -> frozenset[str]:
        """Those of them on which it depends which decisions there are."""
        return self.names_of("switches")

    def names_of(self, what: Literal["reads", "switches"]) -> frozenset[str]:
        """Return the names that it reads, or those that switch decisions on and off."""
        return _names_of([node for _, node in self.parts()], what)

    @cached_property
    def decides(self) -> frozenset[Per]:
        """What the decisions of its parts are of."""
        return _NOTHING.union(*(node.decides for _, node in self.parts()))

    def size(self, copies: int, names: Names) -> int:
        """Return the product of the sizes of its parts, which are decided independently."""
        return prod(node.size(copies, names) for _, node in self.parts())

    def specialised(self, scope: Scope, chosen: Mapping[str, Scalar]) -> Node:
        """Return this with its parts specialised."""
        return self.with_parts([node.specialised(scope.enter(path), chosen) for path, node in self.parts()])

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        """Yield the decisions of its parts, in order."""
        for path, node in self.parts():
            yield from node.decisions(scope.enter(path))


@dataclass(frozen=True, eq=False)
class Const(LeafNode):
    """A value without choice."""

    value: Any

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        """Return the value for each copy."""
        return [self.value] * len(scope.copies)

    def match(self, scope: Scope, values: Sequence[Any], partial: PartialMatch, bind: Binder) -> Iterator[PartialMatch]:
        """Yield the match as it is, where every copy has the value."""
        if all(same_value(value, self.value) for value in values):
            yield partial


@dataclass(frozen=True, eq=False, slots=True)
class Option:
    """One of the alternatives of a choice."""

    value: Scalar
    """Its value in a genotype."""
    node: Node
    """What it stands for."""


@dataclass(frozen=True, eq=False, slots=True)
class IntRange:
    """The arithmetic progression that a choice was written as; samplers use its order."""

    low: int
    high: int
    step: int


@dataclass(frozen=True, eq=False)
class Choice:
    """One decision for the network or for some copies together, or one for each copy."""

    name: str
    """Path relative to the scope, e.g. `kernel` or `block.mbconv.expand_ratio`."""
    options: tuple[Option, ...]
    per: Per = "stage"
    int_range: IntRange | None = None
    met_again: bool = False
    """Whether a match can meet one decision several times: it is of a stage, under a kind that each copy chooses."""
    values: tuple[Scalar, ...] = field(init=False)
    """The value of each option in a genotype."""
    reads: frozenset[str] = field(init=False)
    switches: frozenset[str] = field(init=False)
    decides: frozenset[Per] = field(init=False)
    _keys: tuple[tuple[bool, object], ...] = field(init=False)
    _sizes: dict[Any, tuple[int, ...]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        nodes = [option.node for option in self.options]
        object.__setattr__(self, "values", tuple(option.value for option in self.options))
        object.__setattr__(self, "_keys", tuple(map(value_key, self.values)))
        object.__setattr__(self, "reads", _names_of(nodes, "reads"))
        object.__setattr__(self, "switches", _names_of(nodes, "switches"))
        object.__setattr__(self, "decides", frozenset({self.per}).union(*(node.decides for node in nodes)))

    def index_of(self, value: object) -> int | None:
        """Return the index of the option with a value, which tells `True` from `1`; None where there is none."""
        key = value_key(value)
        return self._keys.index(key) if key in self._keys else None

    def option_sizes(self, copies: int, names: Names) -> tuple[int, ...]:
        """Return the number of ways to go on after each option."""
        key = (copies, *[names[name] for name in self.switches]) if self.switches else copies
        sizes = self._sizes.get(key)
        if sizes is None:
            sizes = self._sizes[key] = tuple(option.node.size(copies, names) for option in self.options)
        return sizes

    def size(self, copies: int, names: Names) -> int:
        """Return the number of ways to choose and to decide what the chosen option leaves open."""
        if self.per == "block":
            return int(sum(self.option_sizes(1, names)) ** copies)
        return sum(self.option_sizes(copies, names)) if copies or self.per == "network" else 1

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        """Choose once, or once for each copy, and return the values of the chosen options."""
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
        return f"{scope.let_path}.{self.name}" if self.per == "network" else scope.path(self.name)

    def specialised(self, scope: Scope, chosen: Mapping[str, Scalar]) -> Node:
        """Return the chosen option, specialised, where this is a decision of the network; else this."""
        if self.per != "network":
            return self
        index = self.index_of(chosen[self._path(scope)])
        assert index is not None
        return self.options[index].node.specialised(scope, chosen)

    def match(self, scope: Scope, values: Sequence[Any], partial: PartialMatch, bind: Binder) -> Iterator[PartialMatch]:
        """Yield the match with each option that gives these values, for all copies or for each."""
        if self.per != "block":
            return self._match_options(scope, values, partial, bind)
        copies = list(scope.each())

        def step(copy: int, reached: PartialMatch) -> Iterator[PartialMatch]:
            return self._match_options(copies[copy], values[copy : copy + 1], reached, bind)

        return backtrack(len(copies), step, partial)

    def _match_options(
        self, scope: Scope, values: Sequence[Any], partial: PartialMatch, bind: Binder
    ) -> Iterator[PartialMatch]:
        path = self._path(scope)
        met_again = self.per == "network" or self.met_again
        for option in self.options:
            decide = partial.decide_shared if met_again else partial.decide
            decided = decide(path, option.value)
            if decided is not None:
                yield from option.node.match(scope, values, decided, bind)

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        """Yield this decision, or that of each copy, and those under its options."""
        # A decision of the network stands where the name is given, not where it is used; the others the other way.
        if self.per == "block":
            for copy_scope in scope.each():
                yield copy_scope.path(self.name), self
                yield from self._inner_decisions(copy_scope)
            return
        if scope.let_path if self.per == "network" else scope.copies:
            yield self._path(scope), self
        yield from self._inner_decisions(scope)

    def _inner_decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        for option in self.options:
            yield from option.node.decisions(scope)
