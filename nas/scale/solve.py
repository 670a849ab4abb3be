"""The size of a family that costs what is asked for: counted after rounding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isfinite

from nas.cost import Cost, cost_of
from nas.cost.metrics import FREE_METRICS, ONE, Workload, value_of
from nas.errors import NasError, nearest
from nas.network.architecture import Architecture
from nas.scale.rules import AS_PUBLISHED, Multipliers, Rounding, Rule

TOLERANCE = 0.05
_FINE = 1e-6
_FARTHEST = 32.0


@dataclass(frozen=True)
class Member:
    """One network of a family."""

    rule: str
    phi: float
    multipliers: Multipliers
    arch: Architecture
    cost: Cost


@dataclass(frozen=True)
class Solution:
    """The network of a family whose cost is nearest to a budget."""

    member: Member
    metric: str
    target: float
    value: float
    """What it costs."""

    @property
    def miss(self) -> float:
        """By how much it misses, as a share of the target; negative below it."""
        return self.value / self.target - 1


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
    search = _Search(base, rule, measure, rounding)
    phi = search.nearest(target)
    if search.misses(phi, target) > tolerance and not rule.listed:
        # A step of the depth is a block in every stage at once; the other dimensions move in smaller ones.
        kept = [_Search(base, _at_depth(rule, one), measure, rounding) for one in search.around(target)]
        search = min([search, *kept], key=lambda one: one.misses(one.nearest(target), target))
        phi = search.nearest(target)
    if search.misses(phi, target) > tolerance:
        raise NasError(_too_coarse(_Search(base, rule, measure, rounding), target, metric, tolerance))
    return Solution(member(base, search.rule, search.short(phi), rounding), metric, target, search.value(phi))


def _at_depth(rule: Rule, phi: float) -> Rule:
    """The rule with the depth that it has at one `phi`, whatever the other dimensions do."""
    depth = rule.at(phi).depth
    return replace(rule, multipliers=lambda other: replace(rule.multipliers(other), depth=depth))


class _Search:
    """What has been counted so far."""

    def __init__(
        self, base: Architecture, rule: Rule, measure: Callable[[Architecture], float], rounding: Rounding
    ) -> None:
        self.base, self.rule, self.measure, self.rounding = base, rule, measure, rounding
        self._found: dict[Architecture, float] = {}

    def network(self, phi: float) -> Architecture:
        return self.rule.apply(self.base, phi, self.rounding)

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
            if self.value(middle) <= target:
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
            except NasError:  # as small, or as large, as this family gets
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
    nearest_ones = " and ".join(
        f"{search.value(phi):,.6g} ({search.value(phi) / target - 1:+.1%}, phi {search.short(phi):g})" for phi in tried
    )
    return (
        f"no network within {tolerance:.0%} of {target:,.6g} {metric}: {reason}; nearest: {nearest_ones}. "
        "A smaller divisor, another rule or a larger tolerance gives more to choose from"
    )
