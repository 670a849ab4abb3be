"""Groups of parts that are counted together, since the same names switch decisions of them on and off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod

from nas.errors import SpaceError
from nas.space.tree.genotype import Genotype, Names
from nas.space.tree.part import Part

_MAX_CASES = 100_000


@dataclass(frozen=True, eq=False)
class Group:
    """Parts whose numbers of ways depend on the same names; groups are independent of each other."""

    rest: tuple[Part, ...]
    """The parts that are decided after the switches."""
    cases: list[tuple[Genotype, Names]]
    """The ways to decide the switches: decisions, and values of the names."""
    ends: list[int]
    """For each case, the first rank after it."""

    @classmethod
    def of(cls, switches: tuple[Part, ...], rest: tuple[Part, ...]) -> Group:
        """Make a group; raises `SpaceError` where the switches have too many combinations."""
        cases: list[tuple[Genotype, Names]] = [({}, {})]
        for part in switches:
            name = part.name.removeprefix("let.")
            if sum(part.count(names) for _, names in cases) > _MAX_CASES:
                raise SpaceError(
                    f"conditions and numbers of copies depend on {', '.join(switch.name for switch in switches)}, "
                    f"which together have more than {_MAX_CASES:,} combinations"
                )
            cases = [
                ({**genotype, **own}, {**names, name: value})
                for genotype, names in cases
                for own, value in part.assignments(names)
            ]
        return cls(rest, cases, list(accumulate(prod(part.size(names) for part in rest) for _, names in cases)))

    @property
    def size(self) -> int:
        """The number of ways to decide all its parts."""
        return self.ends[-1]


def group_parts(parts: Sequence[Part], lets: Mapping[str, Part]) -> Iterator[Group]:
    """Yield the groups of some parts, `lets` among them; those of no switches form the first one.

    Raises:
        SpaceError: the names that switch decisions of a group have too many combinations.
    """
    groups: list[tuple[set[Part], set[Part]]] = []
    for part in parts:
        names = {read for name in part.node.switches for read in (*_needed(name, lets), name)}
        members, switches = {part}, {lets[name] for name in names}
        for group in [group for group in groups if group[0] & (members | switches)]:
            groups.remove(group)
            members, switches = members | group[0], switches | group[1]
        groups.append((members | switches, switches))
    free = [members for members, switches in groups if not switches]
    if free:
        groups = [(set[Part]().union(*free), set()), *(group for group in groups if group[1])]
    for members, switches in groups:
        # Those whose decisions settle which other decisions there are come first in a rank.
        first = tuple(part for part in parts if part in switches)
        rest = tuple(part for part in parts if part in members - switches)
        yield Group.of(first, rest)


def _needed(name: str, lets: Mapping[str, Part]) -> frozenset[str]:
    """Return the names without which that name's own decisions cannot be made."""
    let = lets[name]
    direct = let.node.switches if let.stands_for_blocks and not let.scope.copies else let.reads
    return frozenset(direct).union(*(_needed(read, lets) for read in direct))
