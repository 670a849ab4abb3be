"""Choices in a tree: count, pick, and find again.

Every node stands for the values of one or more *copies* at once (the blocks of a stage are copies of one
description), because a choice that the copies share is one decision, and a choice that each makes for itself is
many. One walk, `resolve`, serves decoding, sampling by rank and asking Optuna; they differ in who picks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any, Protocol

from nas.errors import SpaceError
from nas.network.settings import Scalar

Genotype = dict[str, Scalar]
"""`{decision path: value}` with the active decisions only; exactly the params of an Optuna trial."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Where the decisions of some copies live."""

    shared: str
    """Path before the decisions that all copies share, e.g. `stages.2`."""
    copies: tuple[str, ...]
    """Path before the decisions of each copy, e.g. `stages.2.blocks.0`."""

    def path(self, name: str) -> str:
        return f"{self.shared}.{name}" if self.shared else name

    def each(self) -> Iterator[Scope]:
        """Yield every copy as a scope of its own."""
        for copy in self.copies:
            yield Scope(copy, (copy,))


Pick = Callable[["Choice", str, int], int]
"""Chooses: given a choice, its full path and the number of copies, returns the index of an option."""


class Node(Protocol):
    """A part of a space. A node gives one value a copy."""

    def size(self, copies: int) -> int:
        """Number of ways in which all the choices inside can be made."""

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        """Make the choices with `pick` and return the value of each copy."""

    def match(self, scope: Scope, values: Sequence[Any]) -> Genotype | None:
        """Return the decisions that give these values, or None where there are none."""

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        """Yield every decision that can become active, with its path."""


@dataclass(frozen=True, eq=False, slots=True)
class Const:
    """A value without choice."""

    value: Any

    def size(self, copies: int) -> int:
        return 1

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        return [self.value] * len(scope.copies)

    def match(self, scope: Scope, values: Sequence[Any]) -> Genotype | None:
        return {} if all(_same(value, self.value) for value in values) else None

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        return iter(())


def _same(a: object, b: object) -> bool:
    """Equal, and not merely as `True == 1` is."""
    return a == b and isinstance(a, bool) == isinstance(b, bool)


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

    @property
    def values(self) -> tuple[Scalar, ...]:
        return tuple(option.value for option in self.options)

    def option_sizes(self, copies: int) -> tuple[int, ...]:
        """Number of ways to go on after each option."""
        return _option_sizes(self, copies)

    def size(self, copies: int) -> int:
        if self.per_copy:
            return int(sum(self.option_sizes(1)) ** copies)
        return sum(self.option_sizes(copies))

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        if self.per_copy:
            return [value for one in scope.each() for value in self._resolve_shared(one, pick)]
        return self._resolve_shared(scope, pick)

    def _resolve_shared(self, scope: Scope, pick: Pick) -> list[Any]:
        option = self.options[pick(self, scope.path(self.name), len(scope.copies))]
        return option.node.resolve(scope, pick)

    def match(self, scope: Scope, values: Sequence[Any]) -> Genotype | None:
        if not self.per_copy:
            return self._match_shared(scope, values)
        found: Genotype = {}
        for one, value in zip(scope.each(), values, strict=True):
            part = self._match_shared(one, [value])
            if part is None:
                return None
            found |= part
        return found

    def _match_shared(self, scope: Scope, values: Sequence[Any]) -> Genotype | None:
        for option in self.options:
            inner = option.node.match(scope, values)
            if inner is not None:
                return {scope.path(self.name): option.value, **inner}
        return None

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        for where in scope.each() if self.per_copy else (scope,):
            yield where.path(self.name), self
            for option in self.options:
                yield from option.node.decisions(where)


@lru_cache(maxsize=4096)
def _option_sizes(choice: Choice, copies: int) -> tuple[int, ...]:
    return tuple(option.node.size(copies) for option in choice.options)


@dataclass(frozen=True, eq=False, slots=True)
class Record:
    """Named parts; its value is a dict."""

    items: tuple[tuple[str, Node], ...]

    def size(self, copies: int) -> int:
        return prod(node.size(copies) for _, node in self.items)

    def resolve(self, scope: Scope, pick: Pick) -> list[Any]:
        columns = [(key, node.resolve(scope, pick)) for key, node in self.items]
        return [{key: column[i] for key, column in columns} for i in range(len(scope.copies))]

    def match(self, scope: Scope, values: Sequence[Any]) -> Genotype | None:
        found: Genotype = {}
        for key, node in self.items:
            part = node.match(scope, [value[key] for value in values])
            if part is None:
                return None
            found |= part
        return found

    def decisions(self, scope: Scope) -> Iterator[tuple[str, Choice]]:
        for _, node in self.items:
            yield from node.decisions(scope)


def pick_by_rank(rank: int) -> Pick:
    """Return a picker under which `resolve` gives the genotype number `rank` of `size()`.

    Each choice takes its part of the number as a digit in mixed radix: what is left chooses among the options and
    inside them, in the order of the walk.
    """
    state = rank

    def pick(choice: Choice, path: str, copies: int) -> int:
        nonlocal state
        sizes = choice.option_sizes(copies)
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

    def record(choice: Choice, path: str, copies: int) -> int:
        index = pick(choice, path, copies)
        genotype[path] = choice.options[index].value
        return index

    return record


def pick_from(genotype: Mapping[str, Scalar]) -> Pick:
    """Return a picker that takes what a genotype says; it raises `SpaceError` where that is nothing possible."""

    def pick(choice: Choice, path: str, copies: int) -> int:
        if path not in genotype:
            raise SpaceError(f"genotype: decision {path!r} is missing; its options are {list(choice.values)}")
        value = genotype[path]
        for index, option in enumerate(choice.values):
            if option == value and isinstance(option, bool) == isinstance(value, bool):
                return index
        raise SpaceError(f"genotype: {path} must be one of {list(choice.values)}, but got {value!r}")

    return pick
