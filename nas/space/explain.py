"""What limits leave of a space: the share that holds them, which limit costs how much, what would let more through."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from nas.cost import ONE, Constraint, Interval, Workload, section_costs
from nas.network.architecture import Architecture
from nas.space import Genotype, SearchSpace
from nas.space.feasible import Candidate, Predict, examine, feasible, with_latency

_ENUMERATED = 20_000
_GUIDED = 5000
"""Candidates of guided sampling to look at where no random one holds the limits."""
_WANTED = 0.1
"""Share of candidates that a relaxation is to let through."""
_SHARES_OF = 200
"""Networks over which the shares of sections are averaged."""


@dataclass(frozen=True, slots=True)
class Share:
    """A share of the genotypes of a space."""

    found: int
    """Genotypes of those looked at."""
    of: int
    """Genotypes looked at."""
    exact: bool
    """Whether these are all of the space."""

    @property
    def value(self) -> float:
        return self.found / self.of

    def interval(self, confidence: float = 0.99) -> tuple[float, float]:
        """Return the bounds of the share by Clopper & Pearson 1934, which hold at least so often for any share."""
        if self.exact:
            return self.value, self.value
        from scipy.stats import beta

        tail = (1 - confidence) / 2
        low = float(beta.ppf(tail, self.found, self.of - self.found + 1)) if self.found else 0.0
        high = float(beta.ppf(1 - tail, self.found + 1, self.of - self.found)) if self.found < self.of else 1.0
        return low, high


@dataclass(frozen=True, slots=True)
class LimitEffect:
    """What one limit does."""

    limit: Constraint
    excluded: Share
    """Genotypes over it."""
    alone: Share
    """Those that no other limit excludes."""
    relaxed: float | None
    """The bound in place of the one that is broken most, at which 10 % of all genotypes would be accepted, the other
    limits as they are; None where more are accepted now, or where this limit is not what stands in the way."""
    relaxed_low: bool
    """Whether that is the lower bound."""


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
        """Whether nothing was found that holds the limits; certain where all of the space was looked at."""
        return not self.nearest.accepted


def explain(
    space: SearchSpace,
    constraints: Sequence[Constraint],
    *,
    samples: int = 4000,
    seed: int = 0,
    workload: Workload = ONE,
    predict: Predict | None = None,
) -> Explanation:
    """Look at all genotypes of a small space, or at a uniform sample of a large one.

    Soft limits are left alone, and those on latency where nothing predicts it.

    Raises:
        SpaceError: too many combinations of switches to draw from the space.
    """
    hard = [limit for limit in constraints if not limit.soft and not limit.measured]
    if predict is not None:
        hard += [limit for limit in constraints if not limit.soft and limit.measured]
    every = space.size() <= _ENUMERATED
    rng = random.Random(seed)
    drawn: Iterable[Genotype] = space.enumerate() if every else (space.sample(rng) for _ in range(samples))
    looked = [examine(space, genotype, hard, workload) for genotype in drawn]
    if predict is not None:
        looked = [with_latency(one, hard, _middle(predict(one.architecture))) if one.cost else one for one in looked]
    networks = [one for one in looked if one.cost is not None]

    def share(found: int) -> Share:
        return Share(found, len(looked), every)

    accepted = [one for one in networks if one.accepted and not one.unsure]
    unsure = [one for one in networks if one.accepted and one.unsure]
    nearest = min(looked, key=lambda one: (one.distance, one.unsure))
    if not accepted and not unsure and not every:
        nearest = min(
            nearest, feasible(space, hard, rng, workload, predict, most=_GUIDED)[0], key=lambda one: one.distance
        )
    return Explanation(
        accepted=share(len(accepted)),
        unsure=share(len(unsure)),
        no_network=share(len(looked) - len(networks)),
        effects=tuple(_effect(i, limit, networks, len(looked), every) for i, limit in enumerate(hard)),
        nearest=nearest,
        weights=_weights(space, networks, hard),
        sections=_sections([one.architecture for one in networks[:_SHARES_OF]]),
    )


def _middle(latency: Interval) -> Interval:
    """A prediction as the best guess that it is: shares are of what is predicted to hold, not of what may hold."""
    return latency if latency.high == math.inf else Interval(latency.value, latency.value, latency.value)


def _effect(place: int, limit: Constraint, networks: Sequence[Candidate], total: int, every: bool) -> LimitEffect:
    if limit.measured:
        networks = [one for one in networks if not one.unsure]
    over = [one for one in networks if one.violations[place].excess > 0]
    others = [one for one in networks if all(v.excess <= 0 for i, v in enumerate(one.violations) if i != place)]
    alone = sum(one.violations[place].excess > 0 for one in others)
    held = len(others) - alone
    wanted = math.ceil(_WANTED * total)
    relaxed, low = None, False
    if held < wanted <= len(others):
        # The candidates that come next when this limit gives way, by how much it has to.
        needed = sorted(others, key=lambda one: one.violations[place].excess)[wanted - 1].violations[place]
        relaxed, low = needed.value, needed.value < needed.bound
    return LimitEffect(limit, Share(len(over), total, every), Share(alone, total, every), relaxed, low)


def _weights(
    space: SearchSpace, networks: Sequence[Candidate], limits: Sequence[Constraint], most: int = 3
) -> tuple[Weight, ...]:
    """One-way analysis of variance of each limited metric over each decision."""
    found: list[Weight] = []
    for place, limit in enumerate(limits):
        values = [math.log1p(one.violations[place].value) for one in networks]
        if len(values) < 2:
            continue
        mean = fmean(values)
        total = sum((value - mean) ** 2 for value in values)
        if total == 0:
            continue
        weights = []
        for path in space.decisions():
            groups: dict[object, list[float]] = {}
            for one, value in zip(networks, values, strict=True):
                option = one.genotype.get(path, _ABSENT)
                groups.setdefault((type(option), option), []).append(value)
            between = sum(len(group) * (fmean(group) - mean) ** 2 for group in groups.values())
            weights.append(Weight(path, limit.metric, between / total))
        found += sorted(weights, key=lambda weight: -weight.explained)[:most]
    return tuple(found)


_ABSENT = object()


def _sections(networks: Sequence[Architecture]) -> tuple[tuple[str, float, float], ...]:
    """The mean share of each section in parameters and multiply-adds."""
    params: dict[str, list[float]] = {}
    macs: dict[str, list[float]] = {}
    for arch in networks:
        costs = section_costs(arch)
        all_params, all_macs = sum(cost.params for cost in costs.values()), sum(cost.macs for cost in costs.values())
        for name, cost in costs.items():
            params.setdefault(name, []).append(cost.params / all_params if all_params else 0.0)
            macs.setdefault(name, []).append(cost.macs / all_macs if all_macs else 0.0)
    return tuple((name, fmean(params[name]), fmean(macs[name])) for name in params)
