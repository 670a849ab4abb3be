"""What a name under `let` stands for, where it is given and where it is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from nas.network.settings import Scalar
from nas.space.tree.matching import Binder, Found, Names
from nas.space.tree.nodes import Choice, Composite, Const, Node, Per, Pick, Scope
from nas.space.tree.pickers import recording

_OF_NETWORK: frozenset[Per] = frozenset({"network"})


@dataclass(frozen=True, slots=True)
class Settled:
    """What a name stands for once the decisions of the network are made."""

    chosen: tuple[tuple[str, Scalar], ...]
    node: Node = field(compare=False)
    """The rest, which each use decides."""


def given_scope(node: Node, path: str) -> Scope:
    """Return the scope of what a name stands for, where it is given.

    Decisions of a stage or of a block are made by each use, so they are of no copy here.
    """
    return Scope(path, (path,) if node.decides <= _OF_NETWORK else (), given=path)


def settle(node: Node, scope: Scope, pick: Pick) -> Settled:
    """Let `pick` make the decisions of the network; `scope` is that of `given_scope`, with names."""
    chosen: dict[str, Scalar] = {}
    values = node.resolve(scope, recording(pick, chosen))
    rest = Const(values[0]) if scope.copies else node.settled(scope, chosen)
    return Settled(tuple(chosen.items()), rest)


def varies(node: Node) -> bool:
    """Whether it depends on decisions of the network which other decisions there are."""
    if isinstance(node, Choice):
        return node.per == "network" and any(option.node.decides - _OF_NETWORK for option in node.options)
    return isinstance(node, Composite) and any(varies(part) for _, part in node.parts())


@dataclass(frozen=True, eq=False)
class Named:
    """What a name stands for, in one of the places where it is used."""

    name: str
    path: str
    """Path before its decisions of the network, e.g. `let.unit`."""
    node: Node
    """All that the name stands for."""

    @property
    def reads(self) -> frozenset[str]:
        return self.node.reads | {self.name}

    @cached_property
    def decides(self) -> frozenset[Per]:
        return self.node.decides - _OF_NETWORK

    @cached_property
    def _varies(self) -> bool:
        return varies(self.node)

    @cached_property
    def switches(self) -> frozenset[str]:
        if not self.decides:
            return frozenset()
        return self.node.switches | {self.name} if self._varies else self.node.switches

    def rest(self, names: Names) -> Node:
        """Return what is left to decide here."""
        settled: Settled = names[self.name]
        return settled.node

    def size(self, copies: int, names: Names) -> int:
        if not self.decides or not copies:
            return 1
        if self._varies:
            return self.rest(names).size(copies, names)
        return self.node.size(copies, names) // self.node.size(0, names)

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        return self.rest(scope.names).resolve(scope, pick) if scope.copies else []

    def settled(self, scope: Scope, chosen: Mapping[str, Scalar]) -> Node:
        return self

    def match(self, scope: Scope, values: Sequence[Any], found: Found, bind: Binder) -> Iterator[Found]:
        return self.node.match(replace(scope, given=self.path), values, found, bind)

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        return self.node.decisions(replace(scope, given=""))
