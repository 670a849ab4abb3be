"""What is decided while the genotype of a network is looked for, and trying ways one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from nas.network.settings import Scalar

Genotype = dict[str, Scalar]
"""`{decision path: value}` with the active decisions only; exactly the params of an Optuna trial."""

Names = Mapping[str, Any]
"""What the names stand for that a space gives under `let`."""

_Decided = tuple[Any, str, Scalar] | None
"""A decision behind those before it, which several ways to go on can have in common without a copy."""


def same(a: object, b: object) -> bool:
    """Equal, and not merely as `True == 1` is."""
    return a == b and isinstance(a, bool) == isinstance(b, bool)


@dataclass(frozen=True, slots=True)
class Found:
    """The decisions that were found so far while a network is matched with a space."""

    names: Names = field(default_factory=dict)
    """Values of the names that were met."""
    shared: Mapping[str, Scalar] = field(default_factory=dict)
    """Decisions that several places have in common: those under `let`, above all."""
    own: _Decided = None
    """Decisions of single places."""
    place: int = 0
    """How many blocks of the section at hand are matched."""
    ends: tuple[int, int] = (0, 0)
    """The least and the most blocks of that section that may be matched after the entry at hand."""

    def decide(self, path: str, value: Scalar) -> Found:
        """Return this with the decision of a place that is met once."""
        return Found(self.names, self.shared, (self.own, path, value), self.place, self.ends)

    def decide_shared(self, path: str, value: Scalar) -> Found | None:
        """Return this with a decision that may be met again; None where it was decided otherwise before."""
        if path in self.shared:
            return self if same(self.shared[path], value) else None
        return replace(self, shared={**self.shared, path: value})

    def at(self, place: int, ends: tuple[int, int]) -> Found:
        return Found(self.names, self.shared, self.own, place, ends)

    def genotype(self) -> Genotype:
        """Return all decisions."""
        own: list[tuple[str, Scalar]] = []
        link = self.own
        while link is not None:
            link, path, value = link
            own.append((path, value))
        return {**self.shared, **dict(reversed(own))}

    def state(self) -> tuple[Any, ...]:
        """What matters to whatever is matched later."""
        return self.place, frozenset((path, type(value), value) for path, value in self.shared.items())


class Binder(Protocol):
    """What knows the names while a network is matched, and ends what takes too long."""

    def __call__(self, name: str, found: Found) -> Iterator[Found]:
        """Yield what may hold of a name that was not met yet, one way to decide it after the other."""

    def count_blocks(self, number: int) -> None:
        """Take note of blocks that are matched; raises `SpaceError` where there have been too many."""


def bound(names: frozenset[str], found: Found, bind: Binder) -> Iterator[Found]:
    """Yield the ways to decide all of `names`."""
    missing = [name for name in sorted(names) if name not in found.names]
    if not missing:
        yield found
        return
    for known in bind(missing[0], found):
        yield from bound(names, known, bind)


def in_turn(count: int, step: Callable[[int, Found], Iterator[Found]], found: Found) -> Iterator[Found]:
    """Yield the ways to go through `count` steps that know of each other only what is shared.

    From a state that a step has led to before nothing is tried again, so the work does not grow with the number of
    combinations; and it takes no recursion, however many steps there are.
    """
    if not count:
        yield found
        return
    tried: list[set[tuple[Any, ...]]] = [set() for _ in range(count)]
    ways, reached = [step(0, found)], list[Found]()
    while ways:
        at = len(ways) - 1
        if len(reached) > at:
            tried[at].add(reached.pop().state())
        known = next(ways[-1], None)
        while known is not None and tried[at] and known.state() in tried[at]:
            known = next(ways[-1], None)
        if known is None:
            ways.pop()
            continue
        reached.append(known)
        if len(ways) == count:
            yield known
        else:
            ways.append(step(len(ways), known))
