"""A description as independent parts, each counted, drawn and decoded on its own and remembered."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, repeat
from math import prod
from typing import Any

from nas.errors import SpaceError, nearest
from nas.network.settings import Scalar
from nas.space.grammar import Layout
from nas.space.tree import (
    Choice,
    Found,
    Genotype,
    Names,
    Node,
    Pick,
    Scope,
    pick_by_rank,
    pick_from,
    recording,
)

_MAX_MEMO = 65536
_MAX_SWITCHED = 100_000
_ABSENT = object()


@dataclass(eq=False)
class Part:
    """The resolution, the stem, a stage, the head, or what a name stands for.

    Candidates share most of their parts, so what a part gives for its own decisions is remembered.
    """

    name: str
    node: Node
    scope: Scope
    reads: tuple[str, ...]
    """Every name that it depends on, also through others, in an order in which they can be worked out."""
    own_paths: tuple[str, ...]
    key_paths: tuple[str, ...]
    """Decisions that settle its value: its own, and those of the names that it reads."""
    sizes: dict[Any, int] = field(default_factory=dict)
    by_rank: dict[Any, Genotype] = field(default_factory=dict)
    by_decisions: dict[tuple[Any, ...], tuple[Any, int]] = field(default_factory=dict)

    def at(self, names: Names) -> Scope:
        return Scope(self.scope.shared, self.scope.copies, names) if self.reads else self.scope

    def key(self, genotype: Mapping[str, Scalar]) -> tuple[Any, ...]:
        """What a genotype says of everything that settles this part's value."""
        key: tuple[Any, ...] = tuple(map(genotype.get, self.key_paths, repeat(_ABSENT)))
        if bool in map(type, key):
            key = tuple((type(value), value) for value in key)  # True == 1, but is another value
        return key

    def switch_key(self, names: Names) -> Any:
        return tuple(names[name] for name in sorted(self.node.switches))

    def size(self, names: Names) -> int:
        """Number of ways to decide this part, under the names that switch decisions on and off."""
        key = self.switch_key(names) if self.node.switches else ()
        if key not in self.sizes:
            self.sizes[key] = self.node.size(1, names)
        return self.sizes[key]


def _remember(memo: dict[Any, Any], key: Any, value: Any) -> None:
    if len(memo) >= _MAX_MEMO:
        memo.clear()
    memo[key] = value


class Parts:
    """All parts of one description."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._lets: dict[str, Part] = {}
        for name, let in layout.lets.items():
            # A value's decision has the name of the value; those of blocks stand below it.
            path = self._path("let" if let.what == "value" else f"let.{name}")
            self._lets[name] = self._part(f"let.{name}", let.node, path)
        nodes: list[tuple[str, Node]] = [("stem", layout.stem)]
        nodes += [(f"stages.{i}", stage) for i, stage in enumerate(layout.stages)]
        nodes += [("head", layout.head)]
        sections = [self._part(name, node, self._path(name)) for name, node in nodes]
        if layout.resolution is not None:
            sections.insert(0, self._part("resolution", layout.resolution, layout.prefix))
        self.sections: tuple[Part, ...] = tuple(sections)
        self.all: tuple[Part, ...] = (*self._lets.values(), *sections)
        # Those whose decisions settle which other decisions there are come first in a rank.
        switching = {name for part in self.all for name in part.node.switches}
        names = {read for name in switching for read in (*self._lets[name].reads, name)}
        self._switches = tuple(part for name, part in self._lets.items() if name in names)
        self._rest = tuple(part for part in self.all if part not in self._switches)
        self._cases, self._ends = self._count()

    def _path(self, name: str) -> str:
        return f"{self.layout.prefix}.{name}" if self.layout.prefix else name

    def _part(self, name: str, node: Node, path: str) -> Part:
        scope = Scope(path, (path,))
        wanted = {inner for read in node.reads for inner in (*self._lets[read].reads, read)}
        reads = tuple(read for read in self._lets if read in wanted)
        own = tuple(dict.fromkeys(path for path, _ in node.decisions(scope)))
        others = [path for read in reads for path in self._lets[read].own_paths]
        return Part(name, node, scope, reads, own, (*own, *others))

    def names(self, part: Part, genotype: Mapping[str, Scalar]) -> Names:
        """Work out the names that a part reads."""
        return {name: self.decode_part(self._lets[name], genotype)[0] for name in part.reads}

    # Counting

    def _count(self) -> tuple[list[tuple[Genotype, Names]], list[int]]:
        """The ways to decide the switches, and up to which rank each of them goes."""
        if not self._switches:
            return [({}, {})], [prod(part.size({}) for part in self._rest)]
        cases = list(self._switched(0, {}, {}))
        sizes = [prod(part.size(names) for part in self._rest) for _, names in cases]
        return cases, list(accumulate(sizes))

    def _switched(self, index: int, genotype: Genotype, names: Names) -> Iterator[tuple[Genotype, Names]]:
        if index == len(self._switches):
            yield genotype, names
            return
        part = self._switches[index]
        size = part.node.size(1, names)
        if size > _MAX_SWITCHED:
            raise SpaceError(f"{part.name}: conditions may depend on names of {_MAX_SWITCHED} values, not {size}")
        for rank in range(size):
            own: Genotype = {}
            value = part.node.resolve(part.at(names), recording(pick_by_rank(rank), own))[0]
            yield from self._switched(index + 1, {**genotype, **own}, {**names, part.name.removeprefix("let."): value})

    def size(self) -> int:
        """Return the exact number of genotypes."""
        return self._ends[-1]

    def unrank(self, rank: int) -> Genotype:
        """Return genotype number `rank` of `size()`."""
        case = bisect_right(self._ends, rank) if len(self._ends) > 1 else 0
        chosen, names = self._cases[case]
        state = rank - (self._ends[case - 1] if case else 0)
        genotype: Genotype = dict(chosen)
        for part in self._rest:
            state, digit = divmod(state, part.size(names))
            genotype.update(self._unrank_part(part, digit, genotype, names))
        return genotype

    def _unrank_part(self, part: Part, rank: int, genotype: Genotype, switches: Names) -> Genotype:
        """Return the decisions of a part; `genotype` has those of the names that it reads already."""
        key = (rank, part.switch_key(switches)) if part.node.switches else rank
        known = part.by_rank.get(key)
        if known is None:
            known = {}
            names = self.names(part, genotype)
            value = part.node.resolve(part.at(names), recording(pick_by_rank(rank), known))[0]
            _remember(part.by_rank, key, known)
            # Whoever draws a genotype decodes it next.
            _remember(part.by_decisions, part.key({**genotype, **known}), (value, len(known)))
        return known

    # Deciding

    def suggest(self, pick: Pick) -> Genotype:
        """Let `pick` make every decision."""
        genotype: Genotype = {}
        names: dict[str, Any] = {}
        for part in self.all:
            value = part.node.resolve(part.at(names), recording(pick, genotype))[0]
            if part.name.startswith("let."):
                names[part.name.removeprefix("let.")] = value
        return genotype

    def decode_part(self, part: Part, genotype: Mapping[str, Scalar]) -> tuple[Any, int]:
        """Return a part's value, and how many decisions of the genotype it took."""
        key = part.key(genotype)
        try:
            known = part.by_decisions.get(key)
        except TypeError:  # a list, say, which no option is; `pick_from` will say so
            known = None
        if known is None:
            taken: Genotype = {}
            names = self.names(part, genotype)
            value = part.node.resolve(part.at(names), recording(pick_from(genotype), taken))[0]
            known = value, len(taken)
            _remember(part.by_decisions, key, known)
        return known

    def decode(self, genotype: Mapping[str, Scalar]) -> tuple[list[Any], int]:
        """Return the values of the sections, and how many decisions were taken."""
        decoded = [self.decode_part(part, genotype) for part in self.sections]
        taken = sum([count for _, count in decoded])
        for part in self._lets.values():
            taken += self.decode_part(part, genotype)[1]
        return [value for value, _ in decoded], taken

    def refuse_inactive(self, genotype: Mapping[str, Scalar], known: Mapping[str, Choice]) -> None:
        """Raise `SpaceError` for the decision of a genotype that nothing took."""
        taken: Genotype = {}
        for part in self.all:
            part.node.resolve(part.at(self.names(part, genotype)), recording(pick_from(genotype), taken))
        extra = next((path for path in genotype if path not in taken and path != "network"), None)
        if extra in known:
            raise SpaceError(f"genotype: decision {extra!r} is not active under the other decisions")
        raise SpaceError(f"genotype: unknown decision {extra!r}. {nearest(extra, known)}")

    def decisions(self) -> dict[str, Choice]:
        """Return every decision that can become active, by its path."""
        return {path: choice for part in self.all for path, choice in part.node.decisions(part.scope)}

    # Finding again

    def encode(self, values: Sequence[Any]) -> Genotype | str:
        """Return the genotype that gives these section values, or the name of the first part that cannot."""
        found = Found({}, {})
        furthest = 0
        for known, index in self._match(0, values, found):
            if index == len(self.sections):
                return self._with_idle_names(known)
            furthest = max(furthest, index)
        return self.sections[furthest].name

    def _match(self, index: int, values: Sequence[Any], found: Found) -> Iterator[tuple[Found, int]]:
        yield found, index
        if index < len(self.sections):
            part = self.sections[index]
            for known in part.node.match(part.scope, [values[index]], found, self._ways_to_hold):
                yield from self._match(index + 1, values, known)

    def _ways_to_hold(self, name: str, found: Found, value: Any) -> Iterator[Found]:
        """Yield the ways to decide a name; of one that stands for blocks those that give `value`."""
        part = self._lets[name]
        missing = [read for read in part.reads if read not in found.names]
        if missing:
            for known in self._ways_to_hold(missing[0], found, None):
                yield from self._ways_to_hold(name, known, value)
            return
        if self.layout.lets[name].what != "value" and value is not None:
            for known in part.node.match(part.scope, [value], found, self._ways_to_hold):
                yield self._holding(part, name, known)
            return
        for rank in range(min(part.node.size(1, found.names), _MAX_SWITCHED)):
            own: Genotype = {}
            held = part.node.resolve(part.at(found.names), recording(pick_by_rank(rank), own))[0]
            yield Found({**found.genotype, **own}, {**found.names, name: held})

    def _holding(self, part: Part, name: str, known: Found) -> Found:
        held = part.node.resolve(part.at(known.names), pick_from(known.genotype))[0]
        return Found(known.genotype, {**known.names, name: held})

    def _with_idle_names(self, found: Found) -> Genotype:
        """Decide the names that the network does not show, by their first option."""
        for name in self._lets:
            if name not in found.names:
                found = next(self._ways_to_hold(name, found, None))
        return dict(found.genotype)
