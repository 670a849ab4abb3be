"""What is known of spaces under limits before any network is evaluated."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.compare.spaces.complexity import match
from nas.cost import ONE, Cost, value_of
from nas.errors import SpaceError
from nas.space import SearchSpace
from nas.space.feasible import examine, feasible


@dataclass(frozen=True)
class Outlook:
    """Random genotypes of a space."""

    costs: tuple[Cost, ...]
    """Of random genotypes that hold the limits."""
    looked: int
    """Random genotypes that were looked at for them."""

    @property
    def share(self) -> float:
        """Share of the random genotypes that hold the limits."""
        return len(self.costs) / self.looked


def outlook(
    space: SearchSpace, constraints: Mapping[str, Any], *, name: str, seed: int = 0, looks: int = 1000
) -> Outlook:
    """Look at random genotypes.

    Raises:
        SpaceError: no network that holds the limits is found, by climbing towards them either.
    """
    limits, rng = space.limits_with(constraints), random.Random(seed)
    found = [examine(space, space.sample(rng), limits) for _ in range(looks)]
    costs = tuple(one.cost for one in found if one.accepted and one.cost is not None)
    if not costs:
        reached, climbed = feasible(space, limits, rng)
        if not reached.accepted:
            raise SpaceError(
                f"{name}: no network that holds the limits is found among {looks + climbed:,}; the nearest: "
                f"{reached.problem}"
            )
    return Outlook(costs, looks)


def foresee(seen: Sequence[Outlook], names: Sequence[str], metric: str) -> str:
    """Say which share of the networks of each space will count where they are compared at equal complexity.

    Raises:
        SpaceError: the spaces have no complexity in common, so that time would be spent on them for nothing.
    """
    values = [np.array([value_of(cost, metric, ONE) for cost in one.costs]) for one in seen]
    matching = match(values, names, metric)
    shares = [f"{matching.used(which) / len(values[which]):.0%} of {name}" for which, name in enumerate(names)]
    return f"About {', '.join(shares)} are of equal {metric}, {matching.low:,.0f} to {matching.high:,.0f}"
