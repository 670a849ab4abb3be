"""What limits leave of a space: the share that holds them, the effect of each limit, a bound that accepts more."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from nas.cost import BATCH_OF_ONE, Constraint, Interval, Workload, section_costs
from nas.equality import value_key
from nas.network.architecture import Architecture
from nas.space.feasible import Candidate, Predict, examine, feasible, with_latency
from nas.space.space import SearchSpace
from nas.space.tree.genotype import Genotype

_ENUMERATED = 20_000
_GUIDED = 5000
"""Candidates that guided sampling examines where no random one holds the limits."""
_ACCEPTED_RELAXED = 0.1
"""Share of candidates that a relaxed bound accepts."""
_AVERAGED = 200
"""Networks over which the shares of sections are averaged."""


@dataclass(frozen=True, slots=True)
class Share:
    """A share of the genotypes of a space."""

    count: int
    """Genotypes of those examined that are in the share."""
    total: int
    """Genotypes examined."""
    exact: bool
    """Whether these are all of the space."""

    @property
    def value(self) -> float:
        """The share, from 0 to 1."""
        return self.count / self.total

    def interval(self, confidence: float = 0.99) -> tuple[float, float]:
        """Return the bounds by Clopper & Pearson 1934, which hold any share with at least that confidence."""
        if self.exact:
            return self.value, self.value
        from scipy.stats import beta

        tail = (1 - confidence) / 2
        low = float(beta.ppf(tail, self.count, self.total - self.count + 1)) if self.count else 0.0
        high = float(beta.ppf(1 - tail, self.count + 1, self.total - self.count)) if self.count < self.total else 1.0
        return low, high

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, with the 99 % interval."""
        low, high = self.interval()
        return {**asdict(self), "share": self.value, "low": low, "high": high}


@dataclass(frozen=True, slots=True)
class LimitEffect:
    """The effect of one limit."""

    limit: Constraint
    excluded: Share
    """Genotypes that break it."""
    alone: Share
    """Those that no other limit excludes."""
    relaxed: float | None
    """The bound in place of the one that is broken most, at which 10 % of all genotypes would be accepted, the other
    limits as they are; None where more are accepted now, or where this limit is not what stands in the way."""
    relaxed_low: bool
    """Whether that is the lower bound."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; a bound that there is not is None."""
        limit = self.limit
        return {
            "metric": limit.metric,
            "low": limit.low if limit.low > -math.inf else None,
            "high": limit.high if limit.high < math.inf else None,
            "excluded": self.excluded.to_dict(),
            "excluded_alone": self.alone.to_dict(),
            "relaxed": self.relaxed,
            "relaxed_low": self.relaxed_low,
        }


@dataclass(frozen=True, slots=True)
class Weight:
    """How much of the spread of a metric one decision explains."""

    decision: str
    metric: str
    explained: float
    """Share of the variance between its options (eta squared), 0 to 1."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What limits leave of a space."""

    accepted: Share
    unsure: Share
    """Genotypes that hold all but a limit on latency, which cannot be predicted for them."""
    no_network: Share
    """Genotypes that are no network, since shapes do not fit."""
    effects: tuple[LimitEffect, ...]
    nearest: Candidate
    """A candidate that holds all hard limits, or may hold them, or the one that comes nearest."""
    weights: tuple[Weight, ...]
    """The decisions that matter most for each limited metric, the heaviest first."""
    sections: tuple[tuple[str, float, float], ...]
    """Section, its mean share of the parameters, and of the multiply-adds."""

    @property
    def infeasible(self) -> bool:
        """Whether no candidate was found that holds the limits; certain where all of the space was examined."""
        return not self.nearest.accepted

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; shares are from 0 to 1."""
        nearest = self.nearest
        return {
            "infeasible": self.infeasible,
            "accepted": self.accepted.to_dict(),
            "latency_unknown": self.unsure.to_dict(),
            "no_network": self.no_network.to_dict(),
            "limits": [effect.to_dict() for effect in self.effects],
            "decisions": [asdict(weight) for weight in self.weights],
            "sections": [{"section": name, "params": params, "macs": macs} for name, params, macs in self.sections],
            "nearest": {
                "genotype": nearest.genotype,
                "holds_limits": nearest.accepted and not nearest.unsure,
                "problem": nearest.problem,
                "cost": None if nearest.cost is None else nearest.cost.to_dict(),
            },
        }


def explain(
    space: SearchSpace,
    constraints: Sequence[Constraint],
    *,
    samples: int = 4000,
    seed: int = 0,
    workload: Workload = BATCH_OF_ONE,
    predict: Predict | None = None,
) -> Explanation:
    """Examine all genotypes of a small space, or a uniform sample of a large one.

    Args:
        space: what the limits are for.
        constraints: limits; soft ones are ignored, and those on latency without `predict`, and on what only training
            shows.
        samples: genotypes to draw from a large space.
        seed: of the sample.
        workload: how the networks are to run.
        predict: of latency.

    Raises:
        SpaceError: too many combinations of switches to draw from the space.
    """
    hard = [limit for limit in constraints if not limit.soft and limit.counted]
    if predict is not None:
        hard += [limit for limit in constraints if not limit.soft and limit.measured]
    exact = space.size() <= _ENUMERATED
    rng = random.Random(seed)
    genotypes: Iterable[Genotype] = space.enumerate() if exact else (space.sample(rng) for _ in range(samples))
    candidates = [examine(space, genotype, hard, workload) for genotype in genotypes]
    if predict is not None:
        candidates = [
            with_latency(candidate, hard, _best_guess(predict(candidate.architecture))) if candidate.cost else candidate
            for candidate in candidates
        ]
    networks = [candidate for candidate in candidates if candidate.cost is not None]

    def share(count: int) -> Share:
        return Share(count, len(candidates), exact)

    unsure = sum(candidate.accepted and candidate.unsure for candidate in networks)
    accepted = sum(candidate.accepted for candidate in networks) - unsure
    nearest = min(candidates, key=lambda candidate: (candidate.distance, candidate.unsure))
    if not accepted and not unsure and not exact:
        guided, _ = feasible(space, hard, rng, workload, predict, most=_GUIDED)
        nearest = min(nearest, guided, key=lambda candidate: candidate.distance)
    return Explanation(
        accepted=share(accepted),
        unsure=share(unsure),
        no_network=share(len(candidates) - len(networks)),
        effects=tuple(_effect(i, limit, networks, share) for i, limit in enumerate(hard)),
        nearest=nearest,
        weights=_weights(space, networks, hard),
        sections=_sections([candidate.architecture for candidate in networks[:_AVERAGED]]),
    )


def _best_guess(latency: Interval) -> Interval:
    """Return the middle of a prediction alone: shares are of what is predicted to hold, not of what may hold."""
    return latency if latency.high == math.inf else Interval(latency.value, latency.value, latency.value)


def _effect(index: int, limit: Constraint, networks: Sequence[Candidate], share: Callable[[int], Share]) -> LimitEffect:
    """Return the effect of limit number `index`; `share` makes a share of a number of candidates."""
    if limit.measured:
        networks = [candidate for candidate in networks if not candidate.unsure]
    excesses = [candidate.violations[index].excess for candidate in networks]
    others = [
        candidate
        for candidate in networks
        if all(violation.excess <= 0 for i, violation in enumerate(candidate.violations) if i != index)
    ]
    alone = sum(candidate.violations[index].excess > 0 for candidate in others)
    accepted = len(others) - alone
    needed = math.ceil(_ACCEPTED_RELAXED * share(0).total)
    relaxed, low = None, False
    if accepted < needed <= len(others):
        # The candidates that come next when this limit gives way, by how much it has to.
        by_excess = sorted(others, key=lambda candidate: candidate.violations[index].excess)
        last = by_excess[needed - 1].violations[index]
        relaxed, low = last.value, last.value < last.bound
    return LimitEffect(limit, share(sum(excess > 0 for excess in excesses)), share(alone), relaxed, low)


def _weights(
    space: SearchSpace, networks: Sequence[Candidate], limits: Sequence[Constraint], most: int = 3
) -> tuple[Weight, ...]:
    """Return the heaviest decisions for each limited metric, by a one-way analysis of variance over each decision."""
    heaviest: list[Weight] = []
    for index, limit in enumerate(limits):
        values = [math.log1p(candidate.violations[index].value) for candidate in networks]
        if len(values) < 2:
            continue
        mean = fmean(values)
        total = sum((value - mean) ** 2 for value in values)
        if total == 0:
            continue
        weights = []
        for path in space.decisions():
            groups: dict[object, list[float]] = {}
            for candidate, value in zip(networks, values, strict=True):
                groups.setdefault(value_key(candidate.genotype.get(path, _ABSENT)), []).append(value)
            between = sum(len(group) * (fmean(group) - mean) ** 2 for group in groups.values())
            weights.append(Weight(path, limit.metric, between / total))
        heaviest += sorted(weights, key=lambda weight: -weight.explained)[:most]
    return tuple(heaviest)


_ABSENT = object()


def _sections(networks: Sequence[Architecture]) -> tuple[tuple[str, float, float], ...]:
    """Return the mean share of each section in parameters and multiply-adds."""
    params: dict[str, list[float]] = {}
    macs: dict[str, list[float]] = {}
    for arch in networks:
        costs = section_costs(arch)
        all_params, all_macs = sum(cost.params for cost in costs.values()), sum(cost.macs for cost in costs.values())
        for name, cost in costs.items():
            params.setdefault(name, []).append(cost.params / all_params if all_params else 0.0)
            macs.setdefault(name, []).append(cost.macs / all_macs if all_macs else 0.0)
    return tuple((name, fmean(params[name]), fmean(macs[name])) for name in params)
