"""Uniform networks of a space, one for each kind of block, as large as limits allow: what anybody would write down."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from typing import Literal

from nas.cost import BATCH_OF_ONE, Constraint, Workload
from nas.errors import NasError
from nas.network.architecture import Architecture
from nas.network.ops import Tokens
from nas.network.registry import block_graph
from nas.space.feasible import Candidate
from nas.space.fit import use_of
from nas.space.space import NETWORK, SearchSpace
from nas.space.tree.blocks import KindNode
from nas.space.tree.genotype import Genotype, Names
from nas.space.tree.nodes import Choice, Const, Option

_LEAST_USE = 0.5
"""Of the limit that is used most a design has at least this share of what the design has that uses it most."""
_LAST_MAP = 7
"""Positions a side that the last map of a network has where the space leaves it open, as most published ones have."""
_FAVOUR = 3.0
"""How many times as far through its options a favoured decision is raised."""

Growth = Literal["", "deeper", "wider"]
"""What a design has more of than in proportion."""

Examine = Callable[[Genotype], Candidate]


@dataclass(frozen=True)
class Design:
    """A known design, as a genotype of a space that holds limits."""

    name: str
    """What it is, such as `mbconv blocks` or `mbconv blocks, deeper`."""
    candidate: Candidate


def uniform_designs(
    space: SearchSpace, examine: Examine, limits: Sequence[Constraint], most: int, workload: Workload = BATCH_OF_ONE
) -> list[Design]:
    """Return up to `most` uniform networks of a space that hold limits, the different kinds of blocks first.

    Each has one kind of block wherever that is chosen; the first kind where that one is no option. Depths and widths
    are raised from the least, each through the same share of its options and those of later stages before others, as
    long as the limits hold; behind the networks of all kinds come those that favour depth, and those that favour width.
    Strides are those whose last map is nearest to 7 positions a side, the latest ones of these, and earlier ones where
    nothing else holds the limits. Anything else has its middle option, the earlier one of two. Without an upper limit
    that is counted depths and widths are middle ones too.

    What any decision is, depth, width or stride, is seen from what it changes in the network. A design is left out that
    holds no limits, equals one before it, or uses less than half of what the largest one does.

    Args:
        space: made for its data.
        examine: checks a genotype against the limits.
        limits: hard ones, of which the counted upper ones are filled.
        most: designs; fewer are the first of more.
        workload: how the networks are to run.
    """
    bounded = [limit for limit in limits if limit.counted and not limit.soft and limit.high < math.inf]
    growths: tuple[Growth, ...] = ("", "deeper", "wider") if bounded else ("",)
    plans = [_Plan(space, examine, kind) for kind in _kinds(space)]
    made: dict[str, Design] = {}
    least = 0.0
    for growth in growths:
        found: dict[str, tuple[float, Design]] = {}
        for plan in plans:
            candidate = plan.grown(growth) if bounded else plan.examine({})
            if candidate is not None and candidate.accepted and candidate.cost is not None:
                use = use_of(candidate.cost, bounded, workload) if bounded else 1.0
                found.setdefault(candidate.architecture.arch_id, (use, Design(plan.name(growth), candidate)))
        least = least or _LEAST_USE * max((use for use, _ in found.values()), default=0.0)
        made |= {key: design for key, (use, design) in found.items() if use >= least and key not in made}
        if len(made) >= most:
            break
    return list(made.values())[:most]


def _is_kind(choice: Choice) -> bool:
    """Whether a choice is between descriptions that have names: kinds of blocks, entries, whole layouts."""
    return all(isinstance(value, str) for value in choice.values) and all(
        type(option.node) is not Const for option in choice.options
    )


@dataclass(frozen=True)
class _Kind:
    """What is the same all over a design."""

    layout: str
    word: str


def _kinds(space: SearchSpace) -> list[_Kind]:
    """Return each kind of block that a space chooses, in turn by its layouts, or one without a word for each layout."""
    decisions = space.decisions()
    layouts = [str(value) for value in decisions[NETWORK].values] if NETWORK in decisions else [""]
    rows = []
    for layout in layouts:
        own = [
            choice
            for path, choice in decisions.items()
            if path != NETWORK and path.startswith(f"{layout}." if layout else "")
        ]
        options = [option for choice in own if _is_kind(choice) for option in choice.options]
        words = dict.fromkeys(str(option.value) for option in options if not _is_nothing(option))
        rows.append([_Kind(layout, word) for word in words or ("",)])
    return [kind for row in zip_longest(*rows) for kind in row if kind is not None]


def _is_nothing(option: Option) -> bool:
    """Whether an option for a block stands for no block."""
    return isinstance(option.node, KindNode) and option.node.kind in ("identity", "zero")


@dataclass(frozen=True)
class _Scale:
    """A decision that sizes a network: its options from the smallest network to the largest."""

    options: list[int]
    """Their indices."""
    deepens: bool
    """Whether it adds blocks, and not only channels."""

    def share(self, place: int, growth: Growth) -> float:
        """Return how far it is raised at a place of its options; the least of all is raised next."""
        last = len(self.options) - 1
        if not growth:
            return place / last
        return place / last / _FAVOUR if growth == ("deeper" if self.deepens else "wider") else (place + 0.5) / last


@dataclass(frozen=True)
class _Plan:
    """The designs of one kind of block. `levels` are indices of options by path, the middle ones left out."""

    space: SearchSpace
    examine_genotype: Examine
    kind: _Kind

    def name(self, growth: Growth) -> str:
        """Return what a design is."""
        words = [word for word in (self.kind.layout, f"{self.kind.word} blocks" if self.kind.word else "") if word]
        return ", ".join([*(words or [self.space.name]), *([growth] if growth else [])])

    def genotype(self, levels: Mapping[str, int]) -> Genotype:
        """Return the design with some decisions at given options, by their indices."""

        def pick(choice: Choice, path: str, copies: int, names: Names) -> int:
            if path in levels:
                return levels[path]
            if path == NETWORK:
                return choice.index_of(self.kind.layout) or 0
            return choice.index_of(self.kind.word) or 0 if _is_kind(choice) else (len(choice.options) - 1) // 2

        return self.space.resolve(pick)

    def examine(self, levels: Mapping[str, int]) -> Candidate | None:
        """Return the design at some levels; None where the space has no such network."""
        try:
            return self.examine_genotype(self.genotype(levels))
        except NasError:  # a derived value that breaks the rule of a setting
            return None

    def grown(self, growth: Growth) -> Candidate | None:
        """Return the largest design that holds the upper limits; None where the smallest does not."""
        scales, maps = self._effects
        levels = {path: scale.options[0] for path, scale in scales.items()}
        levels |= {path: options[0] for path, options in maps.items()}
        best = self._with_maps(levels, maps)
        place = dict.fromkeys(scales, 0)
        open_paths = [path for path in reversed(scales) if best is not None]
        while open_paths:
            path = min(open_paths, key=lambda p: scales[p].share(place[p], growth))
            higher = {**levels, path: scales[path].options[place[path] + 1]}
            candidate = self.examine(higher)
            if candidate is None or _over(candidate):
                open_paths.remove(path)
                continue
            best, levels, place[path] = candidate, higher, place[path] + 1
            if place[path] == len(scales[path].options) - 1:
                open_paths.remove(path)
        return best

    def _with_maps(self, levels: dict[str, int], maps: Mapping[str, list[int]]) -> Candidate | None:
        """Take strides, in place, until the last map is near its size and the limits hold, the latest strides first."""
        place = dict.fromkeys(maps, 0)
        while True:
            candidate = self.examine(levels)
            holds = candidate is not None and not _over(candidate)
            further = [
                (path, {**levels, path: options[place[path] + 1]})
                for path, options in maps.items()
                if place[path] + 1 < len(options)
            ]
            smaller = [(path, changed, self._shape(changed)) for path, changed in further]
            steps = [(path, changed, shape) for path, changed, shape in smaller if shape is not None]
            now = self._shape(levels)
            if holds and now is not None:
                steps = [step for step in steps if _off(step[2]) < _off(now)]
            if not steps:
                return candidate if holds else None
            path, changed, _ = max(steps, key=lambda step: step[2].positions)
            place[path] += 1
            levels.update(changed)

    def _shape(self, levels: Mapping[str, int]) -> _Outline | None:
        try:
            return _outline(self.space.decode(self.genotype(levels)))
        except NasError:
            return None

    @cached_property
    def _effects(self) -> tuple[dict[str, _Scale], dict[str, list[int]]]:
        """Return the decisions that size the network, and those that settle its maps, with their options in order."""
        scales: dict[str, _Scale] = {}
        maps: dict[str, list[int]] = {}
        decisions, genotype = self.space.decisions(), self.genotype({})
        for path in genotype:
            choice = decisions[path]
            if _is_kind(choice) or len(choice.options) == 1:
                continue
            shapes = {index: self._shape({path: index}) for index in range(len(choice.options))}
            known = {index: shape for index, shape in shapes.items() if shape is not None}
            if len({shape.channels for shape in known.values()}) > 1:
                deepens = len({len(shape.channels) for shape in known.values()}) > 1
                order = sorted(known, key=lambda index: (sum(known[index].channels), index))
                scales[path] = _Scale(order, deepens)
            elif len({shape.positions for shape in known.values()}) > 1:
                maps[path] = sorted(known, key=lambda index: (-known[index].positions, index))
        return scales, maps


@dataclass(frozen=True)
class _Outline:
    """What a network is like from outside: of each block behind which there are channels."""

    channels: tuple[int, ...]
    positions: int
    """Of all of them together."""
    last: float
    """Positions a side of the last map."""


def _outline(arch: Architecture) -> _Outline:
    """Return the channels and the positions behind each block; raises `NasError` for what is no network."""
    channels, positions, last = list[int](), 0, 1.0
    shape = arch.input_shape
    for _, block in arch.named_blocks():
        graph = block_graph(block, shape, arch.num_classes)
        shape = graph.out_shape
        if len(shape) < 2:
            continue
        width, sides = (shape[1], shape[:1]) if isinstance(shape, Tokens) else (shape[0], shape[1:])
        channels.append(width)
        positions += math.prod(sides)
        last = math.prod(sides) ** (1 / (2 if isinstance(shape, Tokens) else len(sides)))
    return _Outline(tuple(channels), positions, last)


def _off(outline: _Outline) -> float:
    """Return how far the last map is from the size that it is to have, as a logarithm."""
    return abs(math.log(outline.last / _LAST_MAP))


def _over(candidate: Candidate) -> bool:
    """Whether a candidate is no network, or above an upper limit; one that is too small may still grow."""
    return candidate.cost is None or any(one.rejects and one.value > one.bound for one in candidate.violations)
