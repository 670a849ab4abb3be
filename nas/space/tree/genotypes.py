"""A description as independent parts, each counted, drawn and decoded on its own and remembered."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, repeat
from math import prod
from typing import Any

from nas.errors import SpaceError, nearest
from nas.network.settings import Scalar
from nas.space.language.grammar import Layout
from nas.space.tree.matching import Found, Genotype, Names, in_turn
from nas.space.tree.nodes import Choice, Node, Pick, Scope
from nas.space.tree.pickers import pick_by_rank, pick_from, recording
from nas.space.tree.references import given_scope, settle

_MAX_MEMO = 65536
_MAX_CASES = 100_000
_MAX_BINDINGS = 100_000
_MAX_BLOCKS = 200_000
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
    stands_for_blocks: bool
    """Whether it is a name that stands for blocks: its value then is `Settled`."""
    own_paths: tuple[str, ...]
    key_paths: tuple[str, ...]
    """Decisions that settle its value: its own, and those of the names that it reads."""
    sizes: dict[Any, int] = field(default_factory=dict)
    by_rank: dict[Any, Genotype] = field(default_factory=dict)
    by_decisions: dict[tuple[Any, ...], tuple[Any, int]] = field(default_factory=dict)

    def at(self, names: Names) -> Scope:
        return replace(self.scope, names=names) if self.reads else self.scope

    def resolve(self, names: Names, pick: Pick) -> Any:
        """Make its decisions with `pick` and return its value."""
        if self.stands_for_blocks:
            return settle(self.node, self.at(names), pick)
        return self.node.resolve(self.at(names), pick)[0]

    def ways(self, names: Names) -> int:
        return self.node.size(len(self.scope.copies), names)

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
            self.sizes[key] = self.ways(names)
        return self.sizes[key]


def _remember(memo: dict[Any, Any], key: Any, value: Any) -> None:
    if len(memo) >= _MAX_MEMO:
        memo.clear()
    memo[key] = value


@dataclass(frozen=True, eq=False)
class _Group:
    """Parts that are counted together, since the same names switch decisions of them on and off."""

    rest: tuple[Part, ...]
    """The parts behind the switches."""
    cases: list[tuple[Genotype, Names]]
    """The ways to decide the switches."""
    ends: list[int]
    """Up to which rank each of them goes."""

    @classmethod
    def of(cls, switches: tuple[Part, ...], rest: tuple[Part, ...]) -> _Group:
        cases: list[tuple[Genotype, Names]] = [({}, {})]
        for part in switches:
            name = part.name.removeprefix("let.")
            if sum(part.ways(names) for _, names in cases) > _MAX_CASES:
                raise SpaceError(
                    f"conditions and numbers of copies depend on {', '.join(one.name for one in switches)}, "
                    f"which together have more than {_MAX_CASES:,} combinations"
                )
            cases = [
                ({**genotype, **own}, {**names, name: value})
                for genotype, names in cases
                for own, value in _every_way(part, names)
            ]
        return cls(rest, cases, list(accumulate(prod(part.size(names) for part in rest) for _, names in cases)))

    @property
    def size(self) -> int:
        return self.ends[-1]


def _every_way(part: Part, names: Names) -> Iterator[tuple[Genotype, Any]]:
    for rank in range(part.ways(names)):
        own: Genotype = {}
        yield own, part.resolve(names, recording(pick_by_rank(rank), own))


class Parts:
    """All parts of one description."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._lets: dict[str, Part] = {}
        for name, let in layout.lets.items():
            # A value's decision has the name of the value; those of blocks stand below it.
            path = self._path("let" if let.what == "value" else f"let.{name}")
            blocks = let.what != "value"
            scope = given_scope(let.node, path) if blocks else Scope(path, (path,))
            self._lets[name] = self._part(f"let.{name}", let.node, scope, blocks)
        nodes: list[tuple[str, Node]] = [("stem", layout.stem)]
        nodes += [(f"stages.{i}", stage) for i, stage in enumerate(layout.stages)]
        nodes += [("head", layout.head)]
        paths = [(name, node, self._path(name)) for name, node in nodes]
        if layout.resolution is not None:
            paths.insert(0, ("resolution", layout.resolution, layout.prefix))
        sections = [self._part(name, node, Scope(path, (path,))) for name, node, path in paths]
        self.sections: tuple[Part, ...] = tuple(sections)
        self.all: tuple[Part, ...] = (*self._lets.values(), *sections)
        self._groups = tuple(self._grouped())
        self._order = {part: place for place, part in enumerate(self.all)}

    def _path(self, name: str) -> str:
        return f"{self.layout.prefix}.{name}" if self.layout.prefix else name

    def _part(self, name: str, node: Node, scope: Scope, stands_for_blocks: bool = False) -> Part:
        wanted = {inner for read in node.reads for inner in (*self._lets[read].reads, read)}
        reads = tuple(read for read in self._lets if read in wanted)
        own = tuple(dict.fromkeys(path for path, _ in node.decisions(scope)))
        others = [path for read in reads for path in self._lets[read].own_paths]
        return Part(name, node, scope, reads, stands_for_blocks, own, (*own, *others))

    def names(self, part: Part, genotype: Mapping[str, Scalar]) -> Names:
        """Work out the names that a part reads."""
        return {name: self.decode_part(self._lets[name], genotype)[0] for name in part.reads}

    # Counting

    def _grouped(self) -> Iterator[_Group]:
        """Put parts together whose number of ways hangs on the same names; groups are independent of each other."""
        groups: list[tuple[set[Part], set[Part]]] = []
        for part in self.all:
            names = {read for name in part.node.switches for read in (*self._needed(name), name)}
            members, switches = {part}, {self._lets[name] for name in names}
            for group in [group for group in groups if group[0] & (members | switches)]:
                groups.remove(group)
                members, switches = members | group[0], switches | group[1]
            groups.append((members | switches, switches))
        free = [members for members, switches in groups if not switches]
        if free:
            groups = [(set[Part]().union(*free), set()), *(group for group in groups if group[1])]
        for members, switches in groups:
            # Those whose decisions settle which other decisions there are come first in a rank.
            first = tuple(part for part in self.all if part in switches)
            rest = tuple(part for part in self.all if part in members - switches)
            yield _Group.of(first, rest)

    def _needed(self, name: str) -> frozenset[str]:
        """The names without which that one's own decisions cannot be made."""
        let = self._lets[name]
        direct = let.node.switches if let.stands_for_blocks and not let.scope.copies else let.reads
        return frozenset(direct).union(*(self._needed(read) for read in direct))

    def size(self) -> int:
        """Return the exact number of genotypes."""
        return prod(group.size for group in self._groups)

    def unrank(self, rank: int) -> Genotype:
        """Return genotype number `rank` of `size()`."""
        genotype: Genotype = {}
        todo: list[tuple[Part, int, Names]] = []
        for group in self._groups:
            rank, state = divmod(rank, group.size)
            case = bisect_right(group.ends, state) if len(group.ends) > 1 else 0
            chosen, names = group.cases[case]
            state -= group.ends[case - 1] if case else 0
            genotype.update(chosen)
            for part in group.rest:
                state, digit = divmod(state, part.size(names))
                todo.append((part, digit, names))
        if len(self._groups) > 1:  # names before what reads them
            todo.sort(key=lambda item: self._order[item[0]])
        for part, digit, names in todo:
            genotype.update(self._unrank_part(part, digit, genotype, names))
        return genotype

    def _unrank_part(self, part: Part, rank: int, genotype: Genotype, switches: Names) -> Genotype:
        """Return the decisions of a part; `genotype` has those of the names that it reads already."""
        key = (rank, part.switch_key(switches)) if part.node.switches else rank
        known = part.by_rank.get(key)
        if known is None:
            known = {}
            names = self.names(part, genotype)
            value = part.resolve(names, recording(pick_by_rank(rank), known))
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
            value = part.resolve(names, recording(pick, genotype))
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
            value = part.resolve(names, recording(pick_from(genotype), taken))
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
            part.resolve(self.names(part, genotype), recording(pick_from(genotype), taken))
        extra = next((path for path in genotype if path not in taken and path != "network"), None)
        if extra in known:
            raise SpaceError(f"genotype: decision {extra!r} is not active under the other decisions")
        raise SpaceError(f"genotype: unknown decision {extra!r}. {nearest(extra, known)}")

    def decisions(self) -> dict[str, Choice]:
        """Return every decision that can become active, by its path."""
        return {path: choice for part in self.all for path, choice in part.node.decisions(part.scope)}

    # Finding again

    def encode(self, values: Sequence[Any]) -> Genotype | str:
        """Return the genotype that gives these section values, or the name of the first part that cannot.

        Raises:
            SpaceError: the names of the space can have too many values to find those of the network.
        """
        furthest = 0
        bind = _Binding(self)

        def step(index: int, found: Found) -> Iterator[Found]:
            nonlocal furthest
            furthest = max(furthest, index)
            part = self.sections[index]
            return part.node.match(part.scope, [values[index]], found, bind)

        found = next(in_turn(len(self.sections), step, Found()), None)
        return self.sections[furthest].name if found is None else self._with_idle_names(found)

    def let_ways(self) -> Iterator[tuple[Genotype, Names]]:
        """Yield every way to decide all names."""
        lets = list(self._lets.items())

        def ways(at: int, genotype: Genotype, names: Names) -> Iterator[tuple[Genotype, Names]]:
            if at == len(lets):
                yield genotype, names
                return
            name, part = lets[at]
            for own, held in _every_way(part, names):
                yield from ways(at + 1, {**genotype, **own}, {**names, name: held})

        return ways(0, {}, {})

    def _with_idle_names(self, found: Found) -> Genotype:
        """Decide what the network does not show of the names, by the first options."""
        genotype = found.genotype()

        def pick(choice: Choice, path: str, copies: int, names: Names) -> int:
            return pick_from(genotype)(choice, path, copies, names) if path in genotype else 0

        names = dict(found.names)
        for name, part in self._lets.items():
            if name not in names:
                names[name] = part.resolve(names, recording(pick, genotype))
        return genotype

    def let(self, name: str) -> Part:
        """Return what a name stands for."""
        return self._lets[name]


class _Binding:
    """Finds what names hold while a network is encoded, in a bounded number of tries."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._left = _MAX_BINDINGS
        self._blocks_left = _MAX_BLOCKS

    def count_blocks(self, number: int) -> None:
        self._blocks_left -= number
        if self._blocks_left < 0:
            raise SpaceError(
                f"there are too many ways to share out the blocks of a network among the entries of the space "
                f"({_MAX_BLOCKS:,} blocks tried)"
            )

    def __call__(self, name: str, found: Found) -> Iterator[Found]:
        part = self._parts.let(name)
        missing = [read for read in part.reads if read not in found.names]
        if missing:
            for known in self(missing[0], found):
                yield from self(name, known)
            return
        for own, held in _every_way(part, found.names):
            self._left -= 1
            if self._left < 0:
                raise SpaceError(
                    f"the names under let have too many values to find those of a network ({_MAX_BINDINGS:,} tried)"
                )
            yield replace(found, names={**found.names, name: held}, shared={**found.shared, **own})
