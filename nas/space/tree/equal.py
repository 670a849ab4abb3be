"""Networks that a space states by another description: found by what they compute, not by how they are written.

Blocks without effect, such as an identity, count for nothing; two blocks are equal where their graphs are; and it does
not matter in which stage a block stands. `arch_id` says that of whole networks, and this of block after block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

from nas.errors import NasError, ShapeError, SpaceError
from nas.network.architecture import Architecture
from nas.network.identity import graph_id
from nas.network.ops import Shape
from nas.network.registry import Block, block_graph
from nas.space.tree.blocks import Copies, DerivedCopies
from nas.space.tree.derived import If
from nas.space.tree.genotype import Genotype, Names
from nas.space.tree.genotypes import Genotypes
from nas.space.tree.nodes import Choice, Const, Node, Pick, Scope
from nas.space.tree.pickers import pick_from
from nas.space.tree.references import Reference
from nas.space.tree.sections import Chain, Nested, SectionNode

_MAX_TRIED = 5000

_Match = tuple[Genotype, int]
"""Decisions, and the number of effective blocks of the network that are matched after them."""


@lru_cache(maxsize=65536)
def _graph_of(block: Block, shape: Shape, num_classes: int) -> tuple[str, Shape] | None:
    """Return the id of a block's graph and its output shape; None where it has no effect."""
    graph = block_graph(block, shape, num_classes)
    with suppress(ShapeError):
        if graph_id(graph) == graph_id(block_graph(Block.of("identity", {}), shape, num_classes)):
            return None
    return graph_id(graph), graph.out_shape


class _Target:
    """The blocks of a network that have an effect: the id of each one's graph, and the shapes between them."""

    def __init__(self, arch: Architecture) -> None:
        self.num_classes = arch.num_classes
        self.shapes: list[Shape] = [arch.input_shape]
        self.ids: list[str] = []
        self._tries_left = _MAX_TRIED
        for _, section in arch.sections():
            for block in section.blocks:
                graph = _graph_of(block, self.shapes[-1], arch.num_classes)
                if graph is not None:
                    self.ids.append(graph[0])
                    self.shapes.append(graph[1])

    def count_try(self) -> None:
        """Count a block, or a way to decide the names, that is tried; raises `SpaceError` after too many."""
        self._tries_left -= 1
        if self._tries_left < 0:
            raise SpaceError("too many descriptions of a network")

    def after(self, copies: Copies, value: tuple[str, Any], position: int, *, first: bool) -> int | None:
        """Return the position after a block of a description; None where the network goes on otherwise."""
        try:
            block = copies.block_of(*value, first=first)
        except SpaceError:  # settings that do not go together
            return None
        return self.after_block(block, position)

    def after_block(self, block: Block, position: int) -> int | None:
        """Return the position after a block; None where the network goes on otherwise."""
        self.count_try()
        try:
            graph = _graph_of(block, self.shapes[position], self.num_classes)
        except ShapeError:
            return None
        if graph is None:
            return position
        return position + 1 if position < len(self.ids) and graph[0] == self.ids[position] else None


def equal_genotype(layouts: Mapping[str, Genotypes], arch: Architecture) -> tuple[str, Genotype] | None:
    """Return the name of a layout and the genotype of a network equal to `arch`, of the same `arch_id`.

    The number of tries is bounded, so a network may be missed that a large space writes quite otherwise: then it is
    None.
    """
    # Also where `arch` is no network, there are too many ways, or too many entries for the recursion.
    with suppress(NasError, RecursionError):
        for name, genotypes in layouts.items():
            genotype = _matched(genotypes, _Target(arch))
            if genotype is not None:
                return name, genotype
    return None


def _matched(genotypes: Genotypes, target: _Target) -> Genotype | None:
    """Return the genotype of one layout whose blocks give the network."""
    for lets, names in genotypes.let_assignments():
        target.count_try()
        size = _resolution(genotypes, names, target)
        if size is None:
            continue
        parts = [part for part in genotypes.sections if part.name != "resolution"]
        entries = [("", part.node, part.scope_with(names)) for part in parts]
        matches = _in_order(entries, 0, target)
        own = next((own for own, position in matches if position == len(target.ids)), None)
        if own is not None:
            return {**lets, **size, **own}
    return None


def _resolution(genotypes: Genotypes, names: Names, target: _Target) -> Genotype | None:
    """Return the decisions that give the map size of the network; None where none do."""
    if genotypes.layout.resolution is None:
        return {}
    part, size = genotypes.sections[0], max(target.shapes[0][1:])
    ways = _all_walks(lambda pick: part.resolve(names, pick), {})
    return next((own for value, own in ways if value == size), None)


def _in_order(entries: list[tuple[str, Node, Scope]], position: int, target: _Target) -> Iterator[_Match]:
    """Match entries one after the other; from one position after one entry it goes on once."""
    seen: set[tuple[int, int]] = set()

    def matches(index: int, position: int) -> Iterator[_Match]:
        if index == len(entries):
            yield {}, position
            return
        path, node, scope = entries[index]
        for own, after in _match(node, scope.enter(path), position, target):
            if (index, after) not in seen:
                seen.add((index, after))
                for others, end in matches(index + 1, after):
                    yield {**own, **others}, end

    return matches(0, position)


def _match(node: Node, scope: Scope, position: int, target: _Target) -> Iterator[_Match]:
    """Yield the ways to decide a node whose blocks give the network from `position` on."""
    while isinstance(node, SectionNode | Nested | Reference | If | DerivedCopies):
        if isinstance(node, Reference | If | DerivedCopies):
            node = node.reduced(scope.names)
        else:
            ((path, node),) = node.parts()
            scope = scope.enter(path)
    if isinstance(node, Chain):
        return _in_order([(path, part, scope) for path, part in node.entries], position, target)
    if isinstance(node, Copies):
        return _match_copies(node, scope, position, target)
    if isinstance(node, Const):
        return _match_blocks(node.value, position, target)
    assert isinstance(node, Choice)
    return _match_choice(node, scope, position, target)


def _match_choice(choice: Choice, scope: Scope, position: int, target: _Target) -> Iterator[_Match]:
    for option in choice.options:
        for own, after in _match(option.node, scope, position, target):
            yield {scope.path(choice.name): option.value, **own}, after


def _match_blocks(blocks: tuple[Block, ...], position: int, target: _Target) -> Iterator[_Match]:
    for block in blocks:
        after = target.after_block(block, position)
        if after is None:
            return
        position = after
    yield {}, position


def _match_copies(copies: Copies, scope: Scope, position: int, target: _Target) -> Iterator[_Match]:
    inner = copies.inner(scope)
    seen: set[Any] = set()

    def matches(index: int, position: int, shared: Genotype) -> Iterator[_Match]:
        if index == copies.count:
            yield shared, position
            return
        copy = Scope(inner.shared, (inner.copies[index],), inner.names)
        for value, decided in _all_walks(lambda pick: copies.block.resolve(copy, pick)[0], shared):
            after = target.after(copies, value, position, first=index == 0)
            common = {path: option for path, option in decided.items() if not path.startswith(f"{copy.copies[0]}.")}
            state = (index, after, *common.items())
            if after is None or state in seen:
                continue
            seen.add(state)
            for others, end in matches(index + 1, after, {**shared, **common}):
                yield {**decided, **others}, end

    return matches(0, position, {})


class _Walk:
    """A picker for one of all walks: it takes `fixed` decisions, then the options of `digits`, then first options."""

    def __init__(self, fixed: Mapping[str, Any], digits: list[int]) -> None:
        self._fixed, self._digits = fixed, digits
        self._picked: list[tuple[int, int]] = []
        """Index and number of options of each choice that was free."""
        self.decided: Genotype = {}

    def __call__(self, choice: Choice, path: str, copies: int, names: Names) -> int:
        if path in self._fixed:
            index = pick_from(self._fixed)(choice, path, copies, names)
        else:
            number = len(self._picked)
            index = self._digits[number] if number < len(self._digits) else 0
            self._picked.append((index, len(choice.options)))
        self.decided[path] = choice.values[index]
        return index

    def next_digits(self) -> list[int] | None:
        """Return the options of the walk after this one, counted up from the end; None after the last walk."""
        picked = list(self._picked)
        while picked and picked[-1][0] + 1 == picked[-1][1]:
            picked.pop()
        return [index for index, _ in picked[:-1]] + [picked[-1][0] + 1] if picked else None


def _all_walks(resolve: Callable[[Pick], Any], fixed: Mapping[str, Any]) -> Iterator[tuple[Any, Genotype]]:
    """Yield what `resolve` gives for every way to pick, with the decisions of that way."""
    digits: list[int] | None = []
    while digits is not None:
        walk = _Walk(fixed, digits)
        yield resolve(walk), walk.decided
        digits = walk.next_digits()
