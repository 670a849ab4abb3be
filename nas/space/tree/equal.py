"""Networks that a space states by another description: found by what they compute, not by how they are written.

Blocks without effect, such as an identity, stand for nothing; two blocks are one where their graphs are; and it does
not matter in which stage a block stands. That is what `arch_id` says of whole networks, block by block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from nas.errors import NasError, ShapeError, SpaceError
from nas.network.architecture import Architecture
from nas.network.identity import graph_id
from nas.network.ops import Shape
from nas.network.registry import Block, block_graph
from nas.space.tree.blocks import Copies, Repeat
from nas.space.tree.genotypes import Parts
from nas.space.tree.matching import Genotype, Names
from nas.space.tree.nodes import Choice, Const, If, Node, Pick, Scope
from nas.space.tree.pickers import pick_from
from nas.space.tree.references import Named
from nas.space.tree.sections import Body, Chain, Inside

if TYPE_CHECKING:
    from nas.space.space import SearchSpace

_MAX_TRIED = 5000
_MAX_ENUMERATED = 1024

_Way = tuple[Genotype, int]
"""Decisions, and how many blocks of the network are spelled after them."""


@lru_cache(maxsize=65536)
def _graph_of(block: Block, shape: Shape, num_classes: int) -> tuple[str, Shape] | None:
    """The id of a block's graph and the shape that it gives; None where it has no effect."""
    graph = block_graph(block, shape, num_classes)
    with suppress(ShapeError):
        if graph_id(graph) == graph_id(block_graph(Block.of("identity", {}), shape, num_classes)):
            return None
    return graph_id(graph), graph.out_shape


class _Target:
    """The blocks of a network that have an effect, each with what it computes and takes."""

    def __init__(self, arch: Architecture) -> None:
        self.num_classes = arch.num_classes
        self.shapes: list[Shape] = [arch.input_shape]
        self.ids: list[str] = []
        self._left = _MAX_TRIED
        for _, section in arch.sections():
            for block in section.blocks:
                graph = _graph_of(block, self.shapes[-1], arch.num_classes)
                if graph is not None:
                    self.ids.append(graph[0])
                    self.shapes.append(graph[1])

    def count_try(self) -> None:
        """Take note that a block, or a way to decide the names, is tried; raises `SpaceError` after too many."""
        self._left -= 1
        if self._left < 0:
            raise SpaceError("too many ways to spell a network")

    def after(self, copies: Copies, value: tuple[str, Any], place: int, *, first: bool) -> int | None:
        """Return the place behind a block of a description; None where the network goes on otherwise."""
        try:
            block = copies.block_of(*value, first=first)
        except SpaceError:  # settings that do not go together
            return None
        return self.after_block(block, place)

    def after_block(self, block: Block, place: int) -> int | None:
        """Return the place behind a block; None where the network goes on otherwise."""
        self.count_try()
        try:
            graph = _graph_of(block, self.shapes[place], self.num_classes)
        except ShapeError:
            return None
        if graph is None:
            return place
        return place + 1 if place < len(self.ids) and graph[0] == self.ids[place] else None


def equal_genotype(space: SearchSpace, layouts: Mapping[str, Parts], arch: Architecture) -> tuple[str, Genotype] | None:
    """Return the name of a description and the genotype of a network equal to `arch`, of one `arch_id`.

    What is tried is bounded, so a network may be missed whose equal is written quite otherwise in a large space; of a
    space with up to 1,024 genotypes none is.
    """
    # A network that is none, too many ways, or too many entries for the walk: then it is not found.
    with suppress(NasError, RecursionError):
        for name, parts in layouts.items():
            found = _spelled(parts, _Target(arch))
            if found is not None:
                return name, found
    with suppress(NasError):
        if space.size() <= _MAX_ENUMERATED:
            return _ids(space).get(arch.arch_id)
    return None


@lru_cache(maxsize=8)
def _ids(space: SearchSpace) -> dict[str, tuple[str, Genotype]]:
    """The first genotype of each network of a small space, by `arch_id`, with the name of its description."""
    found: dict[str, tuple[str, Genotype]] = {}
    for genotype in space.enumerate():
        with suppress(NasError):
            arch_id = space.decode(genotype).arch_id
            own = {path: value for path, value in genotype.items() if path != "network"}
            found.setdefault(arch_id, (str(genotype.get("network", "")), own))
    return found


def _spelled(parts: Parts, target: _Target) -> Genotype | None:
    """Return the genotype under one description whose blocks spell the network."""
    for lets, names in parts.let_ways():
        target.count_try()
        size = _resolution(parts, names, target)
        if size is None:
            continue
        entries = [("", part.node, part.at(names)) for part in parts.sections if part.name != "resolution"]
        found = next((own for own, place in _in_order(entries, 0, target) if place == len(target.ids)), None)
        if found is not None:
            return {**lets, **size, **found}
    return None


def _resolution(parts: Parts, names: Names, target: _Target) -> Genotype | None:
    """Decide the map size; None where it cannot be that of the network."""
    if parts.layout.resolution is None:
        return {}
    part, wanted = parts.sections[0], max(target.shapes[0][1:])
    ways = _answers(lambda pick: part.resolve(names, pick), {})
    return next((own for value, own in ways if value == wanted), None)


def _in_order(entries: list[tuple[str, Node, Scope]], place: int, target: _Target) -> Iterator[_Way]:
    """Spell entries one behind the other; from one place behind one entry it goes on once."""
    seen: set[tuple[int, int]] = set()

    def go(at: int, place: int) -> Iterator[_Way]:
        if at == len(entries):
            yield {}, place
            return
        path, node, scope = entries[at]
        for own, after in _spell(node, scope.enter(path), place, target):
            if (at, after) not in seen:
                seen.add((at, after))
                for others, end in go(at + 1, after):
                    yield {**own, **others}, end

    return go(0, place)


def _spell(node: Node, scope: Scope, place: int, target: _Target) -> Iterator[_Way]:
    """Yield the ways to decide a node whose blocks spell the network from `place` on."""
    while isinstance(node, Body | Inside | Named | If | Repeat):
        if isinstance(node, Named | If | Repeat):
            node = node.rest(scope.names)
        else:
            ((path, node),) = node.parts()
            scope = scope.enter(path)
    if isinstance(node, Chain):
        return _in_order([(path, part, scope) for path, part in node.entries], place, target)
    if isinstance(node, Copies):
        return _spell_copies(node, scope, place, target)
    if isinstance(node, Const):
        return _spell_blocks(node.value, place, target)
    assert isinstance(node, Choice)
    return _spell_choice(node, scope, place, target)


def _spell_choice(choice: Choice, scope: Scope, place: int, target: _Target) -> Iterator[_Way]:
    for option in choice.options:
        for own, after in _spell(option.node, scope, place, target):
            yield {scope.path(choice.name): option.value, **own}, after


def _spell_blocks(blocks: tuple[Block, ...], place: int, target: _Target) -> Iterator[_Way]:
    for block in blocks:
        after = target.after_block(block, place)
        if after is None:
            return
        place = after
    yield {}, place


def _spell_copies(copies: Copies, scope: Scope, place: int, target: _Target) -> Iterator[_Way]:
    inner = copies.inner(scope)
    seen: set[Any] = set()

    def go(at: int, place: int, shared: Genotype) -> Iterator[_Way]:
        if at == copies.count:
            yield shared, place
            return
        copy = Scope(inner.shared, (inner.copies[at],), inner.names)
        for value, asked in _answers(lambda pick: copies.block.resolve(copy, pick)[0], shared):
            after = target.after(copies, value, place, first=at == 0)
            common = {path: option for path, option in asked.items() if not path.startswith(f"{copy.copies[0]}.")}
            state = (at, after, *common.items())
            if after is None or state in seen:
                continue
            seen.add(state)
            for others, end in go(at + 1, after, {**shared, **common}):
                yield {**asked, **others}, end

    return go(0, place, {})


class _Answers:
    """Picks as it is told, then first options; `fixed` decisions come before both."""

    def __init__(self, fixed: Mapping[str, Any], turns: list[int]) -> None:
        self._fixed, self._turns = fixed, turns
        self._digits: list[tuple[int, int]] = []
        self.asked: Genotype = {}

    def __call__(self, choice: Choice, path: str, copies: int, names: Names) -> int:
        if path in self._fixed:
            index = pick_from(self._fixed)(choice, path, copies, names)
        else:
            index = self._turns[len(self._digits)] if len(self._digits) < len(self._turns) else 0
            self._digits.append((index, len(choice.options)))
        self.asked[path] = choice.values[index]
        return index

    def next(self) -> list[int] | None:
        """The answers after these, as one number comes after another; None behind the last."""
        digits = list(self._digits)
        while digits and digits[-1][0] + 1 == digits[-1][1]:
            digits.pop()
        return [turn for turn, _ in digits[:-1]] + [digits[-1][0] + 1] if digits else None


def _answers(resolve: Callable[[Pick], Any], fixed: Mapping[str, Any]) -> Iterator[tuple[Any, Genotype]]:
    """Yield what a walk gives for every way to answer it, with what it asked."""
    turns: list[int] | None = []
    while turns is not None:
        answers = _Answers(fixed, turns)
        yield resolve(answers), answers.asked
        turns = answers.next()
