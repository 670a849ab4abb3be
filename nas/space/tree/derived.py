"""Nodes without a decision of their own: values worked out from names, conditions, and records of named parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from nas.equality import same_value
from nas.network.settings import Scalar
from nas.space.tree.formula import Formula
from nas.space.tree.genotype import Names
from nas.space.tree.matching import Binder, PartialMatch, backtrack, bind_all
from nas.space.tree.nodes import Const, InnerNode, LeafNode, Node, Pick, Scope


@dataclass(frozen=True, eq=False)
class Derived(LeafNode):
    """A value worked out from names."""

    formula: Formula
    reads: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "reads", self.formula.names)

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        """Return the value of the formula for each copy."""
        return [self.formula.value(scope.names)] * len(scope.copies) if scope.copies else []

    def match(self, scope: Scope, values: Sequence[Any], partial: PartialMatch, bind: Binder) -> Iterator[PartialMatch]:
        """Yield the match with each way to decide the names under which the formula gives these values."""
        for decided in bind_all(self.reads, partial, bind):
            if all(same_value(value, self.formula.value(decided.names)) for value in values):
                yield decided


class SelectedNode(InnerNode):
    """A node that stands for another, which a formula selects."""

    @property
    def selector(self) -> Formula:
        """The formula; its names switch decisions on and off."""
        raise NotImplementedError  # each class has its own

    def reduced(self, names: Names) -> Node:
        """Return the selected node."""
        raise NotImplementedError  # as above

    def names_of(self, what: Literal["reads", "switches"]) -> frozenset[str]:
        """Return the names of what may be selected, and those of the formula."""
        return self.selector.names | super().names_of(what)

    def size(self, copies: int, names: Names) -> int:
        """Return the size of the selected node."""
        return self.reduced(names).size(copies, names)

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        """Return the values of the selected node."""
        return self.reduced(scope.names).resolve(scope, pick)

    def specialised(self, scope: Scope, chosen: Mapping[str, Scalar]) -> Node:
        """Return the selected node, specialised."""
        return self.reduced(scope.names).specialised(scope, chosen)

    def match(self, scope: Scope, values: Sequence[Any], partial: PartialMatch, bind: Binder) -> Iterator[PartialMatch]:
        """Yield the matches of the node that is selected under each way to decide the names of the formula."""
        for decided in bind_all(self.selector.names, partial, bind):
            yield from self.reduced(decided.names).match(scope, values, decided, bind)


@dataclass(frozen=True, eq=False)
class If(SelectedNode):
    """One of two nodes, depending on a formula."""

    test: Formula
    then: Node
    otherwise: Node

    def parts(self) -> Sequence[tuple[str, Node]]:
        """Return both nodes."""
        return [("", self.then), ("", self.otherwise)]

    @property
    def selector(self) -> Formula:
        """The test."""
        return self.test

    def reduced(self, names: Names) -> Node:
        """Return the node that the test selects."""
        return self.then if self.test.value(names) else self.otherwise


@dataclass(frozen=True, eq=False)
class Record(InnerNode):
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
        """Return the parts, which have no paths of their own: the names of their decisions tell them apart."""
        return [("", node) for _, node in self.items]

    def with_parts(self, parts: Sequence[Node]) -> Record:
        """Return a record with the same keys and other parts."""
        return Record(tuple((key, node) for (key, _), node in zip(self.items, parts, strict=True)))

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        """Return a dict for each copy."""
        columns = [(key, node.resolve(scope, pick)) for key, node in self._varying]
        records = [dict(self._fixed) for _ in scope.copies]
        for key, column in columns:
            for record, value in zip(records, column, strict=True):
                record[key] = value
        return records

    def match(self, scope: Scope, values: Sequence[Any], partial: PartialMatch, bind: Binder) -> Iterator[PartialMatch]:
        """Yield the match with each way to decide the parts that gives these dicts; their other keys do not count."""

        def step(index: int, reached: PartialMatch) -> Iterator[PartialMatch]:
            key, node = self.items[index]
            return node.match(scope, [value[key] for value in values], reached, bind)

        return backtrack(len(self.items), step, partial)
