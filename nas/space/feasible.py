"""Candidates that hold the limits, found by mutation towards them where random ones hardly ever do."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from nas.cost import BATCH_OF_ONE, LATENCY, Constraint, Cost, Interval, Violation, Workload, check, held_cost, violation
from nas.errors import NasError
from nas.network.architecture import Architecture
from nas.space.space import SearchSpace
from nas.space.task import check_task
from nas.space.tree.genotype import Genotype

_START_OF = 20
"""Number of random genotypes of which the best begins a climb."""
_CHANGES = (1, 1, 1, 2, 2, 3)
"""Numbers of decisions of which a mutation draws how many it changes."""
_MAX_STALL = 200
"""Mutations in a row without progress after which it starts anew."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A genotype with its network, the cost and the violations of limits, before anything is built."""

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
        """Whether it is a network that no limit rejects."""
        return self.cost is not None and not any(violation.rejects for violation in self.violations)

    @property
    def problem(self) -> str:
        """Why it is not accepted; empty where it is."""
        return self.reason or "; ".join(str(violation) for violation in self.violations if violation.rejects)

    @property
    def distance(self) -> float:
        """How far it is over hard limits, all together, as shares of them; inf where it is no network."""
        if self.cost is None:
            return math.inf
        return sum(violation.excess for violation in self.violations if violation.rejects)


Predict = Callable[[Architecture], Interval]
"""Predicts the latency of a network, in ms; an interval from 0 to inf where it cannot."""


def examine(
    space: SearchSpace,
    genotype: Genotype,
    constraints: Sequence[Constraint],
    workload: Workload = BATCH_OF_ONE,
    predict: Predict | None = None,
) -> Candidate:
    """Decode a genotype, count its cost and check it against the limits: counted metrics first, then predicted latency.

    It breaks a limit on latency where all of the predicted interval does; without `predict` those limits are ignored.

    Raises:
        SpaceError: no genotype of the space.
    """
    architecture = space.decode(genotype)
    try:
        cost = held_cost(architecture, workload)
        check_task(architecture, space.task)
    except NasError as error:
        return Candidate(genotype, architecture, None, (), str(error))
    candidate = Candidate(genotype, architecture, cost, check(cost, constraints, workload))
    if predict is None or not candidate.accepted:
        return candidate
    return with_latency(candidate, constraints, predict(architecture))


def with_latency(candidate: Candidate, constraints: Sequence[Constraint], latency: float | Interval) -> Candidate:
    """Return the candidate checked against the limits on latency too."""
    measured = [violation(latency, limit) for limit in constraints if limit.measured]
    others = [over for over in candidate.violations if over.metric != LATENCY]
    unsure = isinstance(latency, Interval) and latency.high == math.inf
    return replace(candidate, violations=(*others, *measured), unsure=unsure)


def feasible(
    space: SearchSpace,
    constraints: Sequence[Constraint],
    rng: random.Random,
    workload: Workload = BATCH_OF_ONE,
    predict: Predict | None = None,
    *,
    start: Candidate | None = None,
    most: int = 20_000,
) -> tuple[Candidate, int]:
    """Find a candidate that holds the hard limits, by mutations that come no further from them.

    Each call begins anew, so that candidates of several calls are as different as the limits leave them.

    Args:
        space: of the candidates.
        constraints: limits; soft ones are ignored, and those on latency without `predict`.
        rng: the source of all chance.
        workload: how the networks are to run.
        predict: of latency.
        start: the first candidate; by default, and where that leads nowhere, the best of some random ones.
        most: candidates to examine before it gives up.

    Returns:
        The candidate, or the one nearest to the limits where none holds them, and how many were examined.
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
    examine_genotype: Callable[[Genotype], Candidate],
    rng: random.Random,
    *,
    start: Candidate | None = None,
    most: int = 20_000,
) -> tuple[Candidate, int]:
    """Find a candidate as `feasible` does, where `examine_genotype` checks the limits."""
    examined = 0
    nearest: Candidate | None = None
    while nearest is None or examined < most:
        best, stall = start, 0
        if best is None or nearest is not None:
            drawn = [examine_genotype(space.sample(rng)) for _ in range(_START_OF)]
            examined += len(drawn)
            best = min(drawn, key=lambda candidate: candidate.distance)
        while not best.accepted and stall < _MAX_STALL and examined < most and space.size() > 1:
            genotype = space.mutate(best.genotype, rng, decisions=rng.choice(_CHANGES))
            other = examine_genotype(genotype)
            examined += 1
            stall = 0 if other.distance < best.distance else stall + 1
            if other.distance <= best.distance:
                best = other
        if best.accepted:
            return best, examined
        if nearest is None or best.distance < nearest.distance:
            nearest = best
        examined += 1  # so that the search in a space of one network ends too
    return nearest, examined
