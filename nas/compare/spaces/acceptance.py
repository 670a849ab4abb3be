"""Which share of a space's random genotypes limits accept, and how many networks of each space will be comparable."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.compare.spaces.complexity import match
from nas.cost import BATCH_OF_ONE, Cost, Workload, value_of
from nas.errors import SpaceError
from nas.space import SearchSpace
from nas.space.feasible import examine, feasible


@dataclass(frozen=True)
class Acceptance:
    """Random genotypes of a space under limits."""

    costs: tuple[Cost, ...]
    """Of those that hold the limits."""
    draws: int
    """Number of random genotypes, with those that do not."""

    @property
    def share(self) -> float:
        """Share of the random genotypes that hold the limits."""
        return len(self.costs) / self.draws


def acceptance_of(
    space: SearchSpace,
    constraints: Mapping[str, Any],
    *,
    name: str,
    seed: int = 0,
    draws: int = 1000,
    workload: Workload = BATCH_OF_ONE,
) -> Acceptance:
    """Draw random genotypes and check them against the limits.

    Args:
        space: made for the data at hand.
        constraints: hard limits, as of `run_search`.
        name: what messages call the space.
        seed: of the draws.
        draws: number of genotypes.
        workload: batch sizes, where a limit depends on them.

    Raises:
        SpaceError: no network that holds the limits is found, by climbing towards them either.
    """
    limits, rng = space.limits_with(constraints), random.Random(seed)
    candidates = [examine(space, space.sample(rng), limits, workload) for _ in range(draws)]
    costs = tuple(candidate.cost for candidate in candidates if candidate.accepted and candidate.cost is not None)
    if not costs:
        nearest, climbed = feasible(space, limits, rng, workload)
        if not nearest.accepted:
            raise SpaceError(
                f"{name}: no network that holds the limits is found among {draws + climbed:,}; the nearest: "
                f"{nearest.problem}"
            )
    return Acceptance(costs, draws)


def comparable_text(acceptances: Sequence[Acceptance], names: Sequence[str], metric: str) -> str:
    """Say which share of the networks of each space will count where they are compared at equal complexity.

    Raises:
        SpaceError: the spaces have no complexity in common, so that time would be spent on them for nothing.
    """
    values = [np.array([value_of(cost, metric) for cost in each.costs]) for each in acceptances]
    matching = match(values, names, metric)
    shares = [f"{matching.used(number) / len(values[number]):.0%} of {name}" for number, name in enumerate(names)]
    return f"About {', '.join(shares)} are of equal {metric}, {matching.low:,.0f} to {matching.high:,.0f}"
