"""Candidates that hold the limits, found by mutation towards them where random ones hardly ever do."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from nas.cost import LATENCY, ONE, Constraint, Cost, Interval, Violation, Workload, check, cost_of, violation
from nas.errors import NasError
from nas.network.architecture import Architecture
from nas.space import Genotype, SearchSpace
from nas.space.task import check_task

_START_OF = 20
"""A climb starts from the best of so many random genotypes."""
_CHANGES = (1, 1, 1, 2, 2, 3)
"""How many decisions a mutation changes, one of these."""
_MAX_STALL = 200
"""Mutations in a row without progress after which it starts anew."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A genotype with what is known of it before anything is built."""

    genotype: Genotype
    architecture: Architecture
    cost: Cost | None
    """None where it is no network."""
    violations: tuple[Violation, ...]
    reason: str = ""
    """Why it is no network."""
    unsure: bool = False
    """Whether there is a limit on its latency, which is neither measured nor can be predicted."""

    @property
    def accepted(self) -> bool:
        return self.cost is not None and not any(one.rejects for one in self.violations)

    @property
    def problem(self) -> str:
        """Why it is not accepted; empty where it is."""
        return self.reason or "; ".join(str(one) for one in self.violations if one.rejects)

    @property
    def distance(self) -> float:
        """How far it is over hard limits, all together, as shares of them; inf where it is no network."""
        if self.cost is None:
            return math.inf
        return sum(one.excess for one in self.violations if one.rejects)


Predict = Callable[[Architecture], Interval]
"""Predicts the latency of a network, in ms; an interval from 0 to inf where it cannot."""


def examine(
    space: SearchSpace,
    genotype: Genotype,
    constraints: Sequence[Constraint],
    workload: Workload = ONE,
    predict: Predict | None = None,
) -> Candidate:
    """Decode and count a genotype and check it against the limits: what can be counted first, then predicted latency.

    It is over a limit on latency where all of the interval is; without `predict` those limits are left alone.
    """
    architecture = space.decode(genotype)
    try:
        cost = cost_of(architecture)
        check_task(architecture, space.task)
    except NasError as error:
        return Candidate(genotype, architecture, None, (), str(error))
    found = Candidate(genotype, architecture, cost, check(cost, constraints, workload))
    return with_latency(found, constraints, predict(architecture)) if predict and found.accepted else found


def with_latency(candidate: Candidate, constraints: Sequence[Constraint], latency: float | Interval) -> Candidate:
    """Return the candidate checked against the limits on latency too."""
    found = [violation(latency, limit) for limit in constraints if limit.measured]
    others = [one for one in candidate.violations if one.metric != LATENCY]
    unsure = isinstance(latency, Interval) and latency.high == math.inf
    return replace(candidate, violations=(*others, *found), unsure=unsure)


def feasible(
    space: SearchSpace,
    constraints: Sequence[Constraint],
    rng: random.Random,
    workload: Workload = ONE,
    predict: Predict | None = None,
    *,
    start: Candidate | None = None,
    most: int = 20_000,
) -> tuple[Candidate, int]:
    """Find a candidate that holds the hard limits, by mutations that come no further from them.

    Each call begins anew, so that candidates of several calls are as different as the limits leave them.

    Args:
        space: where to look.
        constraints: limits; soft ones are left alone, and those on latency where it is not predicted.
        rng: where chance comes from.
        workload: what the networks are to run as.
        predict: of latency.
        start: where to begin; by default, and where that leads nowhere, the best of some random candidates.
        most: candidates to look at before it gives up.

    Returns:
        The candidate, or where none was found the one that came nearest, and how many were looked at.
    """
    return climb(
        space,
        lambda genotype: examine(space, genotype, constraints, workload, predict),
        rng,
        start=start,
        most=most,
    )


def climb(
    space: SearchSpace,
    look: Callable[[Genotype], Candidate],
    rng: random.Random,
    *,
    start: Candidate | None = None,
    most: int = 20_000,
) -> tuple[Candidate, int]:
    """Do what `feasible` does with limits that `look` knows: it examines a genotype."""
    looked = 0
    nearest: Candidate | None = None
    while nearest is None or looked < most:
        best, stall = start, 0
        if best is None or nearest is not None:
            drawn = [look(space.sample(rng)) for _ in range(_START_OF)]
            looked += len(drawn)
            best = min(drawn, key=lambda one: one.distance)
        while not best.accepted and stall < _MAX_STALL and looked < most and space.size() > 1:
            genotype = space.mutate(best.genotype, rng, decisions=rng.choice(_CHANGES))
            other = look(genotype)
            looked += 1
            stall = 0 if other.distance < best.distance else stall + 1
            if other.distance <= best.distance:
                best = other
        if best.accepted:
            return best, looked
        if nearest is None or best.distance < nearest.distance:
            nearest = best
        looked += 1  # so that a space of one network ends too
    return nearest, looked
