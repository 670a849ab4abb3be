"""Finding the decisions behind a network: a partial match, and a search with backtracking that extends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from nas.equality import same_value, value_key
from nas.network.settings import Scalar
from nas.space.tree.genotype import Genotype, Names

_Decisions = tuple[Any, str, Scalar] | None
"""The last decision with its path and the ones before it: a linked list, whose beginning partial matches share."""


@dataclass(frozen=True, slots=True)
class PartialMatch:
    """The decisions made so far while a network is matched with a space."""

    names: Names = field(default_factory=dict)
    """Values of the names that are decided."""
    shared: Mapping[str, Scalar] = field(default_factory=dict)
    """Decisions that a match can meet several times: those under `let`, above all."""
    own: _Decisions = None
    """Decisions that a match meets once."""
    position: int = 0
    """Number of blocks of the current section that are matched."""
    end_range: tuple[int, int] = (0, 0)
    """Fewest and most blocks of that section that may be matched after the current entry."""

    def decide(self, path: str, value: Scalar) -> PartialMatch:
        """Return this with a decision that is met once."""
        return PartialMatch(self.names, self.shared, (self.own, path, value), self.position, self.end_range)

    def decide_shared(self, path: str, value: Scalar) -> PartialMatch | None:
        """Return this with a decision that can be met again; None where it has another value already."""
        if path in self.shared:
            return self if same_value(self.shared[path], value) else None
        return replace(self, shared={**self.shared, path: value})

    def at(self, position: int, end_range: tuple[int, int]) -> PartialMatch:
        """Return this at another position of a section, or with other ends of the current entry."""
        return PartialMatch(self.names, self.shared, self.own, position, end_range)

    def genotype(self) -> Genotype:
        """Return all decisions: the shared ones, then the others in the order in which they were made."""
        own: list[tuple[str, Scalar]] = []
        link = self.own
        while link is not None:
            link, path, value = link
            own.append((path, value))
        return {**self.shared, **dict(reversed(own))}

    def key(self) -> tuple[Any, ...]:
        """Return all that later steps of a match depend on, as a key."""
        return self.position, frozenset((path, *value_key(value)) for path, value in self.shared.items())


class Binder(Protocol):
    """Decides names while a network is matched, and bounds the work of a match."""

    def __call__(self, name: str, partial: PartialMatch) -> Iterator[PartialMatch]:
        """Yield the match with each value that a name can have; it has none yet."""

    def count_blocks(self, number: int) -> None:
        """Count blocks that are compared; raises `SpaceError` where there have been too many."""


def bind_all(names: frozenset[str], partial: PartialMatch, bind: Binder) -> Iterator[PartialMatch]:
    """Yield the match with each combination of values that `names` can have."""
    missing = [name for name in sorted(names) if name not in partial.names]
    if not missing:
        yield partial
        return
    for extended in bind(missing[0], partial):
        yield from bind_all(names, extended, bind)


def backtrack(
    count: int, step: Callable[[int, PartialMatch], Iterator[PartialMatch]], start: PartialMatch
) -> Iterator[PartialMatch]:
    """Yield the matches after a number of steps, by a depth-first search.

    Steps depend on each other through `PartialMatch.key` alone. From a key that a step has led to before nothing is
    tried again, so the work does not grow with the number of combinations; and the search takes no recursion, however
    many steps there are.

    Args:
        count: number of steps.
        step: yields the ways to extend a match by step number `i`.
        start: the match before the first step.
    """
    if not count:
        yield start
        return
    exhausted: list[set[tuple[Any, ...]]] = [set() for _ in range(count)]
    branches, reached = [step(0, start)], list[PartialMatch]()
    while branches:
        depth = len(branches) - 1
        if len(reached) > depth:
            exhausted[depth].add(reached.pop().key())
        extended = next(branches[-1], None)
        while extended is not None and exhausted[depth] and extended.key() in exhausted[depth]:
            extended = next(branches[-1], None)
        if extended is None:
            branches.pop()
            continue
        reached.append(extended)
        if len(branches) == count:
            yield extended
        else:
            branches.append(step(len(branches), extended))
