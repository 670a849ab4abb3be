"""What a space holds, for people: its decisions, the spread of its costs, its smallest and largest network."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from nas.cost import Cost, cost_of
from nas.errors import NasError, SpaceError
from nas.space.space import SearchSpace
from nas.space.tree import Choice, Genotype

_MAX_ENUMERATED = 20_000
_STARTS = 4


def decision_tree(space: SearchSpace) -> Iterator[str]:
    """Yield the decisions as an indented tree, those of equal copies on one line."""
    lines: dict[str, list[Choice]] = {}
    for path, choice in space.decisions().items():
        lines.setdefault(re.sub(r"\.(blocks|edges|branches)\.\d+", r".\1.*", path), []).append(choice)
    shown: list[str] = []
    for path, choices in lines.items():
        *parents, name = path.split(".")
        common = 0
        while common < min(len(shown), len(parents)) and shown[common] == parents[common]:
            common += 1
        for depth in range(common, len(parents)):
            yield "  " * depth + parents[depth]
        shown = parents
        most = max(choices, key=lambda choice: len(choice.values))
        copies = f"   ({len(choices)} of them)" if len(choices) > 1 else ""
        yield "  " * len(parents) + f"{name}: {_options(most)}{copies}"


def _options(choice: Choice) -> str:
    if choice.int_range is not None and len(choice.values) > 4:
        span = choice.int_range
        return f"{span.low} to {span.high}" + (f" in steps of {span.step}" if span.step > 1 else "")
    words = {None: "null", True: "true", False: "false"}
    shown = [words[v] if v is None or isinstance(v, bool) else str(v) for v in choice.values]
    return ", ".join(shown[:12]) + (f", ... ({len(shown)})" if len(shown) > 12 else "")


@dataclass(frozen=True, slots=True)
class Spread:
    """Costs of a uniform sample of genotypes."""

    costs: tuple[Cost, ...]
    failed: int
    """Genotypes that are no network, for example because the map shrinks to nothing."""

    def quantiles(self, metric: str) -> tuple[float, ...]:
        """Return the smallest, the 5th, 25th, 50th, 75th, 95th percentile and the largest."""
        values = sorted(float(getattr(cost, metric)) for cost in self.costs)
        last = len(values) - 1
        return tuple(values[round(last * share)] for share in (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1))


def spread(space: SearchSpace, samples: int, seed: int) -> Spread:
    """Count the cost of random networks."""
    rng, costs, failed = random.Random(seed), [], 0
    for _ in range(samples):
        try:
            costs.append(cost_of(space.decode(space.sample(rng))))
        except NasError:
            failed += 1
    return Spread(tuple(costs), failed)


@dataclass(frozen=True, slots=True)
class Extreme:
    """The smallest or the largest network."""

    genotype: Genotype
    cost: Cost
    exact: bool
    """Whether all networks were looked at; otherwise it is the best that a local search found."""


def extreme(space: SearchSpace, *, largest: bool, seed: int = 0) -> Extreme:
    """Find the network with the fewest or the most parameters.

    A small space is enumerated. In a large one the best of some random genotypes goes to its best neighbour until none
    is better, several times over.

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
        found = _best(space.enumerate(), score)
    else:
        rng, found = random.Random(seed), None
        for _ in range(_STARTS):
            climbed = _climb(space, _best((space.sample(rng) for _ in range(50)), score), score)
            if climbed is not None and (found is None or climbed[0] < found[0]):
                found = climbed
    if found is None:
        raise SpaceError(f"space {space.name!r}: none of the genotypes tried is a network")
    return Extreme(found[2], found[1], exact)


_Scored = tuple[int, Cost, Genotype]
_Score = Callable[[Genotype], "tuple[int, Cost] | None"]


def _best(genotypes: Iterator[Genotype], score: _Score) -> _Scored | None:
    best: _Scored | None = None
    for genotype in genotypes:
        scored = score(genotype)
        if scored is not None and (best is None or scored[0] < best[0]):
            best = (*scored, genotype)
    return best


def _climb(space: SearchSpace, start: _Scored | None, score: _Score) -> _Scored | None:
    while start is not None:
        better = _best(space.neighbours(start[2]), score)
        if better is None or better[0] >= start[0]:
            return start
        start = better
    return None
