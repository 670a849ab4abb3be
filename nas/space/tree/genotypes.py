"""The genotypes of one layout: counted, ranked, decided, decoded and found again, part by part."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

from nas.errors import SpaceError, nearest
from nas.network.settings import Scalar
from nas.space.tree.binding import NameBinder
from nas.space.tree.genotype import Genotype, Names
from nas.space.tree.groups import group_parts
from nas.space.tree.layout import Layout
from nas.space.tree.matching import PartialMatch, backtrack
from nas.space.tree.nodes import Choice, Node, Pick, Scope
from nas.space.tree.part import Part, remember
from nas.space.tree.pickers import pick_by_rank, pick_from, recording
from nas.space.tree.references import given_scope


class Genotypes:
    """All genotypes of a layout, whose parts are decided independently but for the names that they read."""

    def __init__(self, layout: Layout) -> None:
        """Part a layout; raises `SpaceError` where its switches have too many combinations."""
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
        self.sections: tuple[Part, ...] = tuple(
            [self._part(name, node, Scope(path, (path,))) for name, node, path in paths]
        )
        """The resolution where the layout has one, the stem, the stages and the head."""
        self._all: tuple[Part, ...] = (*self._lets.values(), *self.sections)
        self._groups = tuple(group_parts(self._all, self._lets))
        self._order = {part: index for index, part in enumerate(self._all)}

    def _path(self, name: str) -> str:
        return f"{self.layout.prefix}.{name}" if self.layout.prefix else name

    def _part(self, name: str, node: Node, scope: Scope, stands_for_blocks: bool = False) -> Part:
        needed = {inner for read in node.reads for inner in (*self._lets[read].reads, read)}
        reads = tuple(read for read in self._lets if read in needed)
        own = tuple(dict.fromkeys(path for path, _ in node.decisions(scope)))
        others = [path for read in reads for path in self._lets[read].own_paths]
        return Part(name, node, scope, reads, stands_for_blocks, own, (*own, *others))

    def names(self, part: Part, genotype: Mapping[str, Scalar]) -> Names:
        """Work out the names that a part reads."""
        return {name: self._decode_part(self._lets[name], genotype)[0] for name in part.reads}

    def decisions(self) -> dict[str, Choice]:
        """Return every decision that can become active, by its path."""
        return {path: choice for part in self._all for path, choice in part.node.decisions(part.scope)}

    # Counting

    def size(self) -> int:
        """Return the exact number of genotypes."""
        return prod(group.size for group in self._groups)

    def unrank(self, rank: int) -> Genotype:
        """Return genotype number `rank` of `size()`."""
        genotype: Genotype = {}
        digits: list[tuple[Part, int, Names]] = []
        for group in self._groups:
            rank, state = divmod(rank, group.size)
            case = bisect_right(group.ends, state) if len(group.ends) > 1 else 0
            chosen, names = group.cases[case]
            state -= group.ends[case - 1] if case else 0
            genotype.update(chosen)
            for part in group.rest:
                state, digit = divmod(state, part.size(names))
                digits.append((part, digit, names))
        if len(self._groups) > 1:  # names before what reads them
            digits.sort(key=lambda item: self._order[item[0]])
        for part, digit, names in digits:
            genotype.update(self._unrank_part(part, digit, genotype, names))
        return genotype

    def _unrank_part(self, part: Part, rank: int, genotype: Genotype, switches: Names) -> Genotype:
        """Return the decisions of a part; `genotype` has those of the names that it reads already."""
        key = (rank, part.switch_key(switches)) if part.node.switches else rank
        own = part.by_rank.get(key)
        if own is None:
            own = {}
            names = self.names(part, genotype)
            value = part.resolve(names, recording(pick_by_rank(rank), own))
            remember(part.by_rank, key, own)
            # Whoever draws a genotype decodes it next.
            remember(part.by_decisions, part.key({**genotype, **own}), (value, len(own)))
        return own

    # Deciding

    def decide(self, pick: Pick) -> Genotype:
        """Let `pick` make every decision."""
        genotype: Genotype = {}
        names: dict[str, Any] = {}
        for part in self._all:
            value = part.resolve(names, recording(pick, genotype))
            if part.name.startswith("let."):
                names[part.name.removeprefix("let.")] = value
        return genotype

    def _decode_part(self, part: Part, genotype: Mapping[str, Scalar]) -> tuple[Any, int]:
        """Return a part's value, and how many decisions of the genotype it took."""
        key = part.key(genotype)
        try:
            decoded = part.by_decisions.get(key)
        except TypeError:  # a list, say, which no option is; `pick_from` will say so
            decoded = None
        if decoded is None:
            taken: Genotype = {}
            names = self.names(part, genotype)
            value = part.resolve(names, recording(pick_from(genotype), taken))
            decoded = value, len(taken)
            remember(part.by_decisions, key, decoded)
        return decoded

    def decode(self, genotype: Mapping[str, Scalar]) -> tuple[list[Any], int]:
        """Return the values of the sections, and how many decisions were taken.

        Raises:
            SpaceError: a decision is missing, or not one of its options.
        """
        decoded = [self._decode_part(part, genotype) for part in self.sections]
        taken = sum([count for _, count in decoded])
        for part in self._lets.values():
            taken += self._decode_part(part, genotype)[1]
        return [value for value, _ in decoded], taken

    def refuse_inactive(self, genotype: Mapping[str, Scalar], decisions: Mapping[str, Choice]) -> None:
        """Raise `SpaceError` for a decision of a genotype that is not active; `decisions` are all of the space."""
        taken: Genotype = {}
        for part in self._all:
            part.resolve(self.names(part, genotype), recording(pick_from(genotype), taken))
        extra = next((path for path in genotype if path not in taken and path != "network"), None)
        if extra in decisions:
            raise SpaceError(f"genotype: decision {extra!r} is not active under the other decisions")
        raise SpaceError(f"genotype: unknown decision {extra!r}. {nearest(extra, decisions)}")

    # Finding again

    def encode(self, values: Sequence[Any]) -> Genotype | str:
        """Return the genotype that gives these section values, or the name of the first part that cannot.

        Raises:
            SpaceError: the names of the space can have too many values to find those of the network.
        """
        furthest = 0
        bind = NameBinder(self._lets)

        def step(index: int, reached: PartialMatch) -> Iterator[PartialMatch]:
            nonlocal furthest
            furthest = max(furthest, index)
            part = self.sections[index]
            return part.node.match(part.scope, [values[index]], reached, bind)

        match = next(backtrack(len(self.sections), step, PartialMatch()), None)
        return self.sections[furthest].name if match is None else self._with_unused_names(match)

    def let_assignments(self) -> Iterator[tuple[Genotype, Names]]:
        """Yield every way to decide all names: decisions, and values of the names."""
        lets = list(self._lets.items())

        def assignments(index: int, genotype: Genotype, names: Names) -> Iterator[tuple[Genotype, Names]]:
            if index == len(lets):
                yield genotype, names
                return
            name, part = lets[index]
            for own, value in part.assignments(names):
                yield from assignments(index + 1, {**genotype, **own}, {**names, name: value})

        return assignments(0, {}, {})

    def _with_unused_names(self, match: PartialMatch) -> Genotype:
        """Return the genotype of a match; what the network does not show of the names has the first options."""
        genotype = match.genotype()

        def pick(choice: Choice, path: str, copies: int, names: Names) -> int:
            return pick_from(genotype)(choice, path, copies, names) if path in genotype else 0

        names = dict(match.names)
        for name, part in self._lets.items():
            if name not in names:
                names[name] = part.resolve(names, recording(pick, genotype))
        return genotype
