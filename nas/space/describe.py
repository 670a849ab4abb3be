"""What people read of a space: its decisions, the spread of its costs, its smallest and largest network."""

from __future__ import annotations

import inspect
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

from nas.cost import Constraint, Cost, check, cost_of
from nas.errors import NasError, ShapeError, SpaceError
from nas.network.architecture import Architecture
from nas.network.registry import block_kind, block_names
from nas.space.space import SearchSpace
from nas.space.tree.genotype import Genotype
from nas.space.tree.nodes import Choice

_MAX_ENUMERATED = 20_000
_STARTS = 4
_MAX_DRAWS = 1000
_MAX_SECONDS = 10


@dataclass(slots=True)
class _Branch:
    """A word of decision paths: the decision that ends there, and the words that follow."""

    choice: Choice | None = None
    inner: dict[str, _Branch] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Return the words that follow as an indented tree; equal ones that are only numbered stand together."""
        lines: list[str] = []
        described = {
            word: (branch.choice and _options(branch.choice), branch.lines()) for word, branch in self.inner.items()
        }
        for words in _equal_runs(described):
            options, below = described[words[0]]
            name = words[0] if len(words) == 1 else f"{words[0]} to {words[-1]}"
            lines.append(f"{name}: {options}" if options else name)
            lines += [f"  {line}" for line in below]
        return lines


def _equal_runs(described: Mapping[str, object]) -> Iterator[list[str]]:
    """Yield the words in order, with those together that are numbers in sequence and have the same description."""
    run: list[str] = []
    for word in described:
        if run and not (word.isdigit() and run[-1].isdigit() and described[word] == described[run[-1]]):
            yield run
            run = []
        run.append(word)
    if run:
        yield run


def decision_tree(space: SearchSpace) -> list[str]:
    """Return the decisions as lines of an indented tree, those of equal copies together."""
    root = _Branch()
    for path, choice in space.decisions().items():
        branch = root
        for word in path.split("."):
            branch = branch.inner.setdefault(word, _Branch())
        branch.choice = choice
    return root.lines()


def input_text(space: SearchSpace) -> str:
    """Describe the input of a space's networks, and the number of classes."""
    channels, *sizes = space.input_shape
    if space.chooses_resolution:
        text = f"{channels} channels at a resolution that the space chooses"
    elif len(sizes) == 1:
        text = f"series of {channels} channels, {sizes[0]} long"
    else:
        text = "x".join(map(str, space.input_shape))
    return f"input {text}, {space.num_classes} classes"


def random_network(space: SearchSpace, seed: int) -> Architecture:
    """Draw a network; genotypes that give none are passed over.

    Raises:
        ShapeError: none of those drawn is a network; it says why the last one is not.
    """
    rng = random.Random(seed)
    for attempt in range(_MAX_DRAWS):
        arch = space.decode(space.sample(rng))
        try:
            cost_of(arch)
        except ShapeError:
            if attempt == _MAX_DRAWS - 1:
                raise
            continue
        return arch
    raise AssertionError("the last attempt raises")


def block_lines() -> list[str]:
    """Return every block with the first line of its description."""
    width = max(map(len, block_names()))
    return [f"{name:{width}}  {_documentation(name).splitlines()[0]}" for name in block_names()]


def describe_block(name: str) -> list[str]:
    """Return a block's description and its settings with rule and default; raises `NasError` for an unknown name."""
    settings = block_kind(name).settings
    lines = [name, *(f"  {line}".rstrip() for line in _documentation(name).splitlines()), "", "  settings"]
    width = max((len(setting) for setting in settings), default=0)
    for setting in settings.values():
        default = "needed" if setting.required else f"default {_word(setting.default)}"
        lines.append(f"    {setting.name:{width}}  {default}; {setting.rule()}")
    return lines


def block_facts(name: str) -> dict[str, Any]:
    """Return what `describe_block` says as plain values."""
    settings = {
        one.name: {"required": one.required, "default": None if one.required else one.default, "rule": one.rule()}
        for one in block_kind(name).settings.values()
    }
    return {"block": name, "description": _documentation(name), "settings": settings}


def _documentation(name: str) -> str:
    return inspect.getdoc(block_kind(name).function) or "(no description)"


def _word(value: object) -> str:
    """Write a value as a space file does."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _options(choice: Choice) -> str:
    if choice.int_range is not None and len(choice.values) > 4:
        span = choice.int_range
        return f"{span.low} to {span.high}" + (f" in steps of {span.step}" if span.step > 1 else "")
    shown = [_word(value) for value in choice.values]
    return ", ".join(shown[:12]) + (f", ... ({len(shown)})" if len(shown) > 12 else "")


@dataclass(frozen=True, slots=True)
class Spread:
    """Costs of a uniform sample of genotypes, or of all of them."""

    costs: tuple[Cost, ...]
    failed: int
    """Genotypes that are no network, for example because the map shrinks to nothing."""
    exact: bool
    """Whether these are all genotypes of the space."""

    @property
    def genotypes(self) -> int:
        """The number of genotypes that were counted."""
        return len(self.costs) + self.failed

    def holding(self, limits: Sequence[Constraint]) -> int:
        """Return how many of the genotypes are networks that hold the limits."""
        return sum(not any(violation.rejects for violation in check(cost, limits)) for cost in self.costs)

    def quantiles(self, metric: str) -> tuple[float, ...]:
        """Return the smallest, the 5th, 25th, 50th, 75th, 95th percentile and the largest."""
        values = sorted(float(getattr(cost, metric)) for cost in self.costs)
        last = len(values) - 1
        return tuple(values[round(last * share)] for share in (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1))


def spread(space: SearchSpace, samples: int, seed: int) -> Spread:
    """Count the costs of `samples` random genotypes; of all where the space has no more."""
    exact = space.size() <= samples
    rng, costs, failed = random.Random(seed), [], 0
    for genotype in space.enumerate() if exact else (space.sample(rng) for _ in range(samples)):
        try:
            costs.append(cost_of(space.decode(genotype)))
        except NasError:
            failed += 1
    return Spread(tuple(costs), failed, exact)


@dataclass(frozen=True, slots=True)
class Extreme:
    """The smallest or the largest network."""

    genotype: Genotype
    cost: Cost
    exact: bool
    """Whether all networks were counted; otherwise it is the best that a local search found."""


def extreme(space: SearchSpace, *, largest: bool, seed: int = 0) -> Extreme:
    """Find the network with the fewest or the most parameters.

    A small space is enumerated. In a large one the best of some random genotypes goes to its best neighbour until none
    is better, several times over, for up to ten seconds.

    Raises:
        SpaceError: no genotype that was tried is a network.
    """
    sign = -1 if largest else 1

    def score(genotype: Genotype) -> tuple[int, Cost] | None:
        try:
            cost = cost_of(space.decode(genotype))
        except NasError:
            return None
        return sign * cost.params, cost

    exact = space.size() <= _MAX_ENUMERATED
    if exact:
        best = _best(space.enumerate(), score)
    else:
        rng, best = random.Random(seed), None
        until = time.monotonic() + _MAX_SECONDS
        for start in range(_STARTS):
            if start and time.monotonic() > until:
                break
            drawn = (space.sample(rng) for _ in range(50))
            climbed = _climb(space, _best(drawn, score, until), score, until)
            if climbed is not None and (best is None or climbed[0] < best[0]):
                best = climbed
    if best is None:
        raise SpaceError(f"space {space.name!r}: none of the genotypes tried is a network")
    return Extreme(best[2], best[1], exact)


_Scored = tuple[int, Cost, Genotype]
_Score = Callable[[Genotype], "tuple[int, Cost] | None"]


def _best(genotypes: Iterator[Genotype], score: _Score, until: float = inf) -> _Scored | None:
    best: _Scored | None = None
    for genotype in genotypes:
        if best is not None and time.monotonic() > until:
            break
        scored = score(genotype)
        if scored is not None and (best is None or scored[0] < best[0]):
            best = (*scored, genotype)
    return best


def _climb(space: SearchSpace, start: _Scored | None, score: _Score, until: float) -> _Scored | None:
    while start is not None:
        better = _best(space.neighbours(start[2]), score, until)
        if better is None or better[0] >= start[0]:
            return start
        start = better
    return None
