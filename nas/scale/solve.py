"""The size of a family that costs what is asked for: counted after rounding."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, NamedTuple

from nas.cost import Cost, cost_of
from nas.cost.metrics import FREE_METRICS, ONE, Workload, value_of
from nas.errors import NasError, nearest
from nas.network.architecture import Architecture
from nas.scale.rounding import AS_PUBLISHED, Rounding
from nas.scale.rules import Multipliers, Rule, scale_by

TOLERANCE = 0.05
_FINE = 1e-6
_FARTHEST = 32.0
_FREE_OCTAVES = 0.5
"""A dimension that is moved alone goes no further than to 0.7 or 1.4 times what the rule says."""


@dataclass(frozen=True)
class Member:
    """One network of a family."""

    rule: str
    phi: float
    multipliers: Multipliers
    arch: Architecture
    cost: Cost
    moved: str = ""
    """Which dimension is not as the rule says, so that a budget is met."""
    miss: float | None = None
    """By how much it misses the budget that it was solved for, as a share of it; None where it was not."""


@dataclass(frozen=True)
class Solution:
    """The network of a family whose cost is nearest to a budget; `member.miss` says how near."""

    member: Member
    target: float
    value: float
    """What it costs."""


def member(base: Architecture, rule: Rule, phi: float, rounding: Rounding = AS_PUBLISHED) -> Member:
    """Return the base at `phi` with its cost; raises `NasError` as `nas.scale` does."""
    arch = rule.apply(base, phi, rounding)
    return Member(rule.name, phi, rule.at(phi), arch, cost_of(arch))


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
) -> Solution:
    """Find the network of a rule's family whose real cost is nearest to a budget.

    Every dimension grows with `phi`, and so does what is counted, in steps: halving an interval finds the step on
    either side of the target, and the nearer one is the answer. Of all `phi` that give that network it is a short one.
    Where that misses by more than the tolerance, one dimension is moved alone; `Member.multipliers` say how far.

    Args:
        base: the network at `phi` 0.
        rule: how it grows.
        target: what the network is to cost, in the metric's unit.
        metric: what is counted, for messages where `measure` is given.
        measure: gives the cost of a network; None counts `metric`.
        rounding: how multipliers become whole numbers.
        tolerance: how far the nearest may miss, as a share of the target.

    Raises:
        NasError: a target that is no positive number, a rule that does not change the metric, or one whose steps are so
            coarse that the nearest network misses by more than the tolerance; it then names the two nearest.
    """
    if isinstance(target, bool) or not isinstance(target, int | float) or not (isfinite(target) and target > 0):
        raise NasError(f"the budget must be a number > 0, but got {target!r}")
    measure = measure or counted(metric)
    family = _Search(base, rule, measure, rounding)
    phi = family.short(family.nearest(target))
    found = _Found(phi, rule.at(phi), family.value(phi))
    if abs(found.value / target - 1) > tolerance and not rule.listed:
        free = _freed(family, target)
        misses = {one: abs(one.value / target - 1) for one in (found, *free)}
        found = min(misses, key=lambda one: (misses[one] > tolerance, one.across, misses[one]))
    if abs(found.value / target - 1) > tolerance:
        finer = _finer(family, target, tolerance) if metric in FREE_METRICS else ""
        raise NasError(_too_coarse(family, target, metric, tolerance) + finer)
    arch = scale_by(base, found.multipliers, rounding)
    miss = found.value / target - 1
    one = Member(rule.name, found.phi, found.multipliers, arch, cost_of(arch), found.moved, miss)
    return Solution(one, target, found.value)


class _Found(NamedTuple):
    phi: float
    multipliers: Multipliers
    value: float
    moved: str = ""
    across: bool = False
    """Whether what the rule makes larger than the base's became smaller, or the other way round."""


def _freed(family: _Search, target: float) -> list[_Found]:
    """The sizes next to the target, each with one of its dimensions moved alone to where it is met.

    Blocks come in every stage at once and channels by the eight, so that a family may have no size near a target; one
    dimension of it, most of all the resolution, moves in smaller steps.
    """
    found = []
    for phi in map(family.short, family.around(target)):
        kept = family.rule.at(phi)
        for dimension in ("resolution", "width"):
            if getattr(kept, dimension) == 1:  # the rule leaves it alone, or it is the base
                continue
            moved = replace(family.rule, multipliers=_mover(kept, dimension))
            search = _Search(family.base, moved, family.measure, family.rounding)
            by = search.short(search.nearest(target))
            to = float(getattr(moved.at(by), dimension))
            if abs(by) <= _FREE_OCTAVES:
                text = f"{dimension} {to:.3g} times the base's in place of {getattr(kept, dimension):.3g}"
                across = (to >= 1) != (getattr(kept, dimension) > 1)
                found.append(_Found(phi, moved.at(by), search.value(by), text, across))
    return found


def _mover(kept: Multipliers, dimension: str) -> Callable[[float], Multipliers]:
    values: dict[str, Any] = {dimension: getattr(kept, dimension)}
    return lambda octaves: replace(kept, **{dimension: values[dimension] * 2**octaves})


class _Search:
    """What has been counted so far."""

    def __init__(
        self, base: Architecture, rule: Rule, measure: Callable[[Architecture], float], rounding: Rounding
    ) -> None:
        self.base, self.rule, self.measure, self.rounding = base, rule, measure, rounding
        self._found: dict[Architecture, float] = {}
        self._networks: dict[float, Architecture] = {}
        self.refused = ""
        """Why the family ends where it was last tried beyond its end, or has a gap."""

    def network(self, phi: float) -> Architecture:
        if phi not in self._networks:
            self._networks[phi] = self.rule.apply(self.base, phi, self.rounding)
        return self._networks[phi]

    def value(self, phi: float) -> float:
        arch = self.network(phi)
        if arch not in self._found:
            self._found[arch] = self.measure(arch)
        return self._found[arch]

    def nearest(self, target: float) -> float:
        return min(self.around(target), key=lambda phi: self.misses(phi, target))

    def misses(self, phi: float, target: float) -> float:
        return abs(self.value(phi) / target - 1)

    def around(self, target: float) -> list[float]:
        """The `phi` of the steps next below and next above the target, or of the one where there is no other."""
        if self.rule.listed:
            under = [phi for phi in self.rule.listed if self.value(phi) <= target]
            over = [phi for phi in self.rule.listed if self.value(phi) > target]
            return [*under[-1:], *over[:1]]
        bracket = self._bracket(target)
        if len(bracket) < 2:
            return bracket
        low, high = bracket
        while high - low > _FINE and self.network(low) != self.network(high):
            middle = (low + high) / 2
            try:
                value = self.value(middle)
            except NasError as error:  # a gap: not every size between two that work is one
                self.refused = f"phi {middle:g}: {error}"
                break
            if value <= target:
                low = middle
            else:
                high = middle
        return [low, high]

    def _bracket(self, target: float) -> list[float]:
        start = self.value(0.0)
        step = 1.0 if start <= target else -1.0
        phi, last = 0.0, 0.0
        while abs(phi) < _FARTHEST:
            last, phi = phi, phi + step
            try:
                value = self.value(phi)
            except NasError as error:  # as small, or as large, as this family gets
                self.refused = f"phi {phi:g}: {error}"
                break
            if (value > target) == (start <= target):
                return sorted([last, phi])
        return [last]

    def short(self, phi: float) -> float:
        """The shortest decimal number near `phi` that gives the same network."""
        arch = self.network(phi)
        shorter = (round(phi, digits) for digits in range(8))
        return next((one for one in shorter if self.network(one) == arch), phi)


def _too_coarse(search: _Search, target: float, metric: str, tolerance: float) -> str:
    tried = search.around(target)
    if len(tried) == 1 and search.value(0.0) == search.value(tried[0]) != target:
        reason = f"rule {search.rule.name!r} does not bring {metric} there"
    else:
        reason = f"the steps of rule {search.rule.name!r} are too coarse for this base"
    if search.refused:
        reason = f"{reason} ({search.refused})"
    nearest_ones = " and ".join(
        f"{search.value(phi):,.6g} ({search.value(phi) / target - 1:+.1%}, phi {search.short(phi):g})" for phi in tried
    )
    return (
        f"no network within {tolerance:.0%} of {target:,.6g} {metric}: {reason}; nearest: {nearest_ones}. "
        "Another rounding (rounding.divisor, rounding.resolution), another rule or a larger tolerance gives more to "
        "choose from"
    )


def _finer(coarse: _Search, target: float, tolerance: float) -> str:
    """Say which smaller divisor of channels would do, where one does."""
    for divisor in (one for one in (4, 2, 1) if one < coarse.rounding.divisor):
        search = _Search(coarse.base, coarse.rule, coarse.measure, replace(coarse.rounding, divisor=divisor))
        with suppress(NasError):
            if search.misses(search.nearest(target), target) <= tolerance:
                return f"; rounding.divisor={divisor} is fine enough here"
    return ""
