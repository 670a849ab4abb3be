"""The size of a family that costs what is asked for: counted after rounding, in the proportions of its rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from math import ceil, isfinite, log2

from nas.cost import Cost, cost_of
from nas.cost.metrics import FREE_METRICS, ONE, Workload, value_of
from nas.errors import NasError, nearest
from nas.network.architecture import Architecture
from nas.scaling.counted_family import Candidate, Counting, number_text
from nas.scaling.integer_search import beside, call_of, in_short
from nas.scaling.proportions import against, deviation, real_multipliers
from nas.scaling.rounding import AS_PUBLISHED, Rounding
from nas.scaling.rules import BASE, Multipliers, Rule, scale_by

TOLERANCE = 0.05
_LOOSEST = 0.5
"""A miss that is larger is no size that was asked for."""
_HAIR = 1e-9
_FAR = 8.0


@dataclass(frozen=True)
class Member:
    """One network of a family: its base scaled by `multipliers` and `rounding`."""

    rule: str
    phi: float
    multipliers: Multipliers
    arch: Architecture
    cost: Cost
    moved: str = ""
    """How it is made where `phi` alone does not give it, since a dimension was moved to meet a budget."""
    miss: float | None = None
    """By how much it misses the budget that it was solved for, as a share of it; None where it was not."""
    rounding: Rounding = AS_PUBLISHED
    real: Multipliers = BASE
    """What the multipliers come to after rounding."""
    off: str = ""
    """Why it has not the proportions of its rule, where it has not: then no law and no comparison is of it."""
    times: float | None = None
    """The multiple of the base's cost that was asked for, where it was solved for."""

    @property
    def on_rule(self) -> bool:
        """Whether it has the proportions of its rule."""
        return not self.off


@dataclass(frozen=True)
class Solution:
    """The network of a family whose cost is nearest to a budget; `member.miss` says how near."""

    member: Member
    target: float
    value: float
    """What it costs."""


def member(base: Architecture, rule: Rule, phi: float, rounding: Rounding = AS_PUBLISHED) -> Member:
    """Return the base at `phi` with its cost; raises `NasError` as `nas.scale` does.

    It is off the rule where rounding took its proportions away, see `Deviation`, or where it costs more than the base
    at multipliers of which none is above 1, or the reverse; a table of published networks is never off itself.
    """
    by = rule.at(phi)
    arch = scale_by(base, by, rounding)
    real = real_multipliers(base, by, rounding)
    found = deviation(real, rule)
    off = "" if rule.listed else against(base, by, arch) or ("" if found.small else found.text)
    return Member(rule.name, phi, by, arch, cost_of(arch), rounding=rounding, real=real, off=off)


def counted(metric: str, workload: Workload = ONE) -> Callable[[Architecture], float]:
    """Return what counts a metric of a network; raises `NasError` with the nearest names for an unknown one."""
    if metric not in FREE_METRICS:
        raise NasError(f"budget: unknown metric {metric!r}. {nearest(metric, FREE_METRICS)}")
    return lambda arch: value_of(cost_of(arch), metric, workload)


def solve(
    base: Architecture,
    rule: Rule,
    target: float,
    *,
    metric: str = "macs",
    measure: Callable[[Architecture], float] | None = None,
    rounding: Rounding = AS_PUBLISHED,
    tolerance: float = TOLERANCE,
    proportions: bool = True,
) -> Solution:
    """Find the network of a rule's family whose real cost is nearest to a budget.

    Every dimension grows with `phi`, and so does what is counted, in steps: halving an interval finds the step on
    either side of the target, and the nearer one is the answer. Of all `phi` that give that network it is a short one.
    Repeats are rounded to the nearest where `rounding` says nothing else. Where no step is within the tolerance and in
    the rule's proportions, other networks in its proportions are tried: `nas.scaling.integer_search`.

    Args:
        base: the network at `phi` 0.
        rule: how it grows.
        target: what the network is to cost, in the metric's unit.
        metric: what is counted, for messages where `measure` is given.
        measure: gives the cost of a network; None counts `metric`.
        rounding: how multipliers become whole numbers.
        tolerance: how far the nearest may miss, as a share of the target.
        proportions: whether a network must have the proportions of the rule, see `Deviation`; False takes the nearest
            step as it is.

    Raises:
        NasError: a target that is no positive number, a rule that does not change the metric, or one whose steps are so
            coarse that no network in its proportions is within the tolerance; it then names the nearest, and a
            rounding or a tolerance that would do.
    """
    if isinstance(target, bool) or not isinstance(target, int | float) or not (isfinite(target) and target > 0):
        raise NasError(f"the budget must be a number > 0, but got {target!r}")
    family = Counting(base, rule, measure or counted(metric), solving(rounding, rule))
    budget = _Budget(target, tolerance, proportions and not rule.listed)
    every = budget.candidates(family)
    found = budget.nearest(every)
    if found is None:
        raise NasError(_too_coarse(family, every, budget, metric))
    found = in_short(family, found) if found.beside else found
    arch, moved = family.network(found.multipliers), call_of(family, found.multipliers) if found.beside else ""
    one = Member(
        *(rule.name, found.phi, found.multipliers, arch, cost_of(arch), moved, found.value / target - 1),
        rounding=family.rounding,
        real=real_multipliers(base, found.multipliers, family.rounding),
    )
    return Solution(one, target, found.value)


def solving(rounding: Rounding, rule: Rule) -> Rounding:
    """Return the rounding that a size is solved for with: a table of published networks stays what it is."""
    return replace(rounding, repeats=rounding.repeats or ("up" if rule.listed else "nearest"))


@dataclass(frozen=True)
class _Budget:
    """What is looked for."""

    target: float
    tolerance: float
    proportions: bool

    def candidates(self, family: Counting) -> list[Candidate]:
        """The steps of the family next to the target, and what stands beside them where they are too far."""
        steps = [family.step(phi) for phi in family.around(self.target)]
        if not self.proportions:
            return steps
        kept = [one for one in steps if one.off.small]
        if self.nearest(kept) or not self.in_reach(steps):
            return kept
        return kept + beside(family, self.target, self.tolerance)

    def in_reach(self, steps: list[Candidate]) -> bool:
        """Whether the target is between two steps, or near enough to where the family ends or has a gap."""
        return len(steps) > 1 or abs(log2(steps[0].value / self.target)) <= 1

    def nearest(self, every: list[Candidate]) -> Candidate | None:
        """The one to take: the nearest step of the family, else of those beside it the nearest to the rule."""
        within = [one for one in every if abs(self.miss(one)) <= self.tolerance]
        by_phi = [one for one in within if not one.beside]
        if by_phi:
            return min(by_phi, key=lambda one: abs(self.miss(one)))
        return min(within, key=lambda one: (one.off.share, abs(self.miss(one))), default=None)

    def miss(self, one: Candidate) -> float:
        return one.value / self.target - 1


def _too_coarse(family: Counting, every: list[Candidate], budget: _Budget, metric: str) -> str:
    reached = [family.value(phi) for phi in family.around(budget.target)]
    if len(reached) == 1 and family.value(0.0) == reached[0] != budget.target:
        reason = f"rule {family.rule.name!r} does not bring {metric} there"
    else:
        reason = f"the steps of rule {family.rule.name!r} are too coarse for this base"
    if family.refused:
        reason = f"{reason} ({family.refused})"
    under = max((one for one in every if one.value <= budget.target), key=lambda one: one.value, default=None)
    over = min((one for one in every if one.value > budget.target), key=lambda one: one.value, default=None)
    texts = [_nearest_text(one, budget) for one in (under, over) if one]
    kept = f" in the proportions of rule {family.rule.name!r}" if budget.proportions else ""
    return (
        f"no network within {100 * budget.tolerance:g}% of {budget.target:,.6g} {metric}{kept}: {reason}; nearest: "
        f"{' and '.join(texts) or 'none'}. {_way_out(family, every, budget, metric)}"
    )


def _nearest_text(one: Candidate, budget: _Budget) -> str:
    phi = f"near phi {one.phi:.3g}" if one.beside else f"phi {number_text(one.phi)}"
    return f"{one.value:,.6g} ({budget.miss(one):+.1%}, {phi})"


def _way_out(family: Counting, every: list[Candidate], budget: _Budget, metric: str) -> str:
    """What would do: a rounding that has such a network, and the tolerance that takes the nearest."""
    ways = []
    # A family that ends at a large network before the target does not reach it with finer steps either.
    ends = len(reached := family.around(budget.target)) == 1 and abs(reached[0]) > _FAR
    if metric in FREE_METRICS and not family.rule.listed and not ends:
        finer = (text for rounding, text in _other_roundings(family) if _reaches(family, rounding, budget))
        ways += [f"{text} has one" for text in islice(finer, 1)]
    least = min((abs(budget.miss(one)) for one in every), default=_LOOSEST)
    if least < _LOOSEST:
        ways.append(f"tolerance={ceil(least * 100 + _HAIR) / 100:g} takes the nearest")
    return (
        f"{' or '.join(ways) or 'Another rounding (rounding.divisor, rounding.resolution), rule or base may have one'}"
    )


def _reaches(family: Counting, rounding: Rounding, budget: _Budget) -> bool:
    other = Counting(family.base, family.rule, family.measure, rounding)
    try:
        return budget.nearest(budget.candidates(other)) is not None
    except NasError:
        return False


def _other_roundings(family: Counting) -> Iterator[tuple[Rounding, str]]:
    """Finer channels, inputs of other multiples, then both; each with the settings that say so.

    Every input of a multiple is one of the pixels that are tried anyway, so that another helps where a network does not
    take all of them, or where the multiple is a coarse one now.
    """
    now = family.rounding
    finer = [one for one in (4, 2, 1) if one < now.divisor]
    steps = [one for one in (1, 2, 4, 8, 16, 32) if (one < now.resolution if now.resolution > 1 else family.refused)]
    for divisor in finer:
        yield replace(now, divisor=divisor), f"rounding.divisor={divisor}"
    for step in steps:
        yield replace(now, resolution=step), f"rounding.resolution={step}"
    for step in steps if finer else ():
        yield replace(now, divisor=1, resolution=step), f"rounding.divisor=1 rounding.resolution={step}"
