"""What a name under `let` stands for, where it is given and where it is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from nas.network.registry import BlockKind
from nas.network.settings import Scalar
from nas.space.tree.genotype import Names
from nas.space.tree.matching import Binder, PartialMatch
from nas.space.tree.nodes import Choice, Const, InnerNode, Node, Per, Pick, Scope
from nas.space.tree.pickers import recording

_OF_NETWORK: frozenset[Per] = frozenset({"network"})


@dataclass(frozen=True)
class Let:
    """What a name of a space stands for."""

    node: Node
    what: str
    """`value`, `block` or `blocks`."""
    kinds: tuple[tuple[BlockKind, frozenset[str]], ...] = ()
    """Of a block: the kinds that it can be, each with the settings that it then gives."""


@dataclass(frozen=True, slots=True)
class Specialised:
    """What a name stands for once the decisions of the network are made."""

    chosen: tuple[tuple[str, Scalar], ...]
    node: Node = field(compare=False)
    """The rest, which each use decides."""


def given_scope(node: Node, path: str) -> Scope:
    """Return the scope of what a name stands for, where it is given.

    Decisions of a stage or of a block are made by each use, so they are of no copy here.
    """
    return Scope(path, (path,) if node.decides <= _OF_NETWORK else (), let_path=path)


def specialise(node: Node, scope: Scope, pick: Pick) -> Specialised:
    """Let `pick` make the decisions of the network; `scope` is that of `given_scope`, with names."""
    chosen: dict[str, Scalar] = {}
    values = node.resolve(scope, recording(pick, chosen))
    rest = Const(values[0]) if scope.copies else node.specialised(scope, chosen)
    return Specialised(tuple(chosen.items()), rest)


def _structure_varies(node: Node) -> bool:
    """Return whether decisions of the network settle which other decisions there are."""
    if isinstance(node, Choice):
        return node.per == "network" and any(option.node.decides - _OF_NETWORK for option in node.options)
    return isinstance(node, InnerNode) and any(_structure_varies(part) for _, part in node.parts())


@dataclass(frozen=True, eq=False)
class Reference:
    """One use of a name that stands for a block or for blocks."""

    name: str
    path: str
    """Path before the decisions of the network of what the name stands for, e.g. `let.unit`."""
    node: Node
    """All that the name stands for."""

    @property
    def reads(self) -> frozenset[str]:
        """The name, and those that it reads itself."""
        return self.node.reads | {self.name}

    @cached_property
    def decides(self) -> frozenset[Per]:
        """What the decisions are of that this use makes: those of the network are made where the name is given."""
        return self.node.decides - _OF_NETWORK

    @cached_property
    def _varies(self) -> bool:
        return _structure_varies(self.node)

    @cached_property
    def switches(self) -> frozenset[str]:
        """The names on which it depends which decisions this use makes."""
        if not self.decides:
            return frozenset()
        return self.node.switches | {self.name} if self._varies else self.node.switches

    def reduced(self, names: Names) -> Node:
        """Return what this use decides, given the value of the name."""
        specialised: Specialised = names[self.name]
        return specialised.node

    def size(self, copies: int, names: Names) -> int:
        """Return the number of ways to make the decisions of this use."""
        if not self.decides or not copies:
            return 1
        if self._varies:
            return self.reduced(names).size(copies, names)
        return self.node.size(copies, names) // self.node.size(0, names)

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        """Make the decisions of this use and return the value of each copy."""
        return self.reduced(scope.names).resolve(scope, pick) if scope.copies else []

    def specialised(self, scope: Scope, chosen: Mapping[str, Scalar]) -> Node:
        """Return this: the name that it uses is specialised where it is given."""
        return self

    def match(self, scope: Scope, values: Sequence[Any], partial: PartialMatch, bind: Binder) -> Iterator[PartialMatch]:
        """Yield the matches of what the name stands for, whose decisions of the network are shared by all uses."""
        return self.node.match(replace(scope, let_path=self.path), values, partial, bind)

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        """Yield the decisions of this use."""
        return self.node.decisions(replace(scope, let_path=""))
