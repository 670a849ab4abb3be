"""The network of a rule's family that costs what is asked for, counted after rounding, in the rule's proportions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from math import ceil, isfinite, log2
from operator import attrgetter

from nas.cost import Cost, cost_of
from nas.cost.metrics import BATCH_OF_ONE, FREE_METRICS, Workload, value_of
from nas.errors import NasError, nearest
from nas.network.architecture import Architecture
from nas.scaling.counted_family import Candidate, CountedFamily, number_text
from nas.scaling.integer_search import integer_candidates, python_call, with_short_numbers
from nas.scaling.proportions import cost_contradiction, deviation, real_multipliers
from nas.scaling.rounding import EFFICIENTNET_ROUNDING, Rounding
from nas.scaling.rules import BASE, Multipliers, Rule, scale_by

TOLERANCE = 0.05
"""How far a network may miss its budget, as a share of it."""
_MAX_MISS = 0.5
"""A larger miss is not offered as a tolerance."""
_ROUNDING_ERROR = 1e-9
_MANY_PHI = 8.0


@dataclass(frozen=True)
class Member:
    """One network of a family: its base scaled by `multipliers` and `rounding`."""

    rule: str
    phi: float
    multipliers: Multipliers
    arch: Architecture
    cost: Cost
    made_by: str = ""
    """The Python call that makes it, where no `phi` does; see `nas.scaling.integer_search`."""
    miss: float | None = None
    """Its cost minus the budget that it was solved for, as a share of that; None where it was not solved for."""
    rounding: Rounding = EFFICIENTNET_ROUNDING
    real: Multipliers = BASE
    """The multipliers after rounding."""
    off_rule: str = ""
    """Why it has not the proportions of its rule, or nothing. A network off its rule is left out of laws."""
    times: float | None = None
    """The multiple of the base's cost that it was solved for; None where it was not solved for."""

    @property
    def on_rule(self) -> bool:
        """Whether it has the proportions of its rule."""
        return not self.off_rule


@dataclass(frozen=True)
class Solution:
    """The network of a family whose cost is nearest to a budget; `member.miss` says how near."""

    member: Member
    target: float
    """The budget."""
    value: float
    """The network's cost."""


def member_at(base: Architecture, rule: Rule, phi: float, rounding: Rounding = EFFICIENTNET_ROUNDING) -> Member:
    """Return the base at `phi` with its cost; raises `NasError` as `nas.scale` does.

    It is off its rule where rounding took the proportions away, see `Deviation`, or where it costs more than the base
    though no multiplier is above 1, or the reverse; the published networks of a table are never off their rule.
    """
    by = rule.at(phi)
    arch = scale_by(base, by, rounding)
    real = real_multipliers(base, by, rounding)
    measured = deviation(real, rule)
    off_rule = "" if rule.listed else cost_contradiction(base, by, arch) or ("" if measured.on_rule else measured.text)
    return Member(rule.name, phi, by, arch, cost_of(arch), rounding=rounding, real=real, off_rule=off_rule)


def metric_counter(metric: str, workload: Workload = BATCH_OF_ONE) -> Callable[[Architecture], float]:
    """Return a function that counts a metric of a network.

    Raises:
        NasError: an unknown metric; it names the nearest ones.
    """
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
    rounding: Rounding = EFFICIENTNET_ROUNDING,
    tolerance: float = TOLERANCE,
    proportions: bool = True,
) -> Solution:
    """Find the network of a rule's family whose real cost is nearest to a budget.

    Every dimension grows with `phi`, and so does the cost, in steps: bisection finds the steps on either side of the
    target, and the nearer one is the answer, with a short one of all `phi` that give it. Repeats are rounded to the
    nearest where `rounding` says nothing else. Where no step is within the tolerance and in the rule's proportions,
    whole numbers of blocks and pixels are searched: `nas.scaling.integer_search`.

    Args:
        base: the network at `phi` 0.
        rule: how it grows.
        target: the cost that is asked for, in the metric's unit.
        metric: the metric that is counted; only for messages where `measure` is given.
        measure: gives the cost of a network; None counts `metric`.
        rounding: how multipliers become whole numbers.
        tolerance: how far the nearest may miss, as a share of the target.
        proportions: whether a network must have the proportions of the rule, see `Deviation`; False takes the nearest
            step as it is.

    Raises:
        NasError: a target that is no positive number, a rule that does not change the metric, or steps so coarse that
            no network in the rule's proportions is within the tolerance; it then names the nearest, and a rounding or a
            tolerance that would do.
    """
    if isinstance(target, bool) or not isinstance(target, int | float) or not (isfinite(target) and target > 0):
        raise NasError(f"the budget must be a number > 0, but got {target!r}")
    family = CountedFamily(base, rule, measure or metric_counter(metric), solver_rounding(rounding, rule))
    budget = _Budget(target, tolerance, proportions and not rule.listed)
    candidates = budget.candidates(family)
    chosen = budget.choose(candidates)
    if chosen is None:
        raise NasError(_too_coarse(family, candidates, budget, metric))
    chosen = with_short_numbers(family, chosen) if chosen.from_integers else chosen
    arch, made_by = (
        family.network(chosen.multipliers),
        python_call(family, chosen.multipliers) if chosen.from_integers else "",
    )
    member = Member(
        *(rule.name, chosen.phi, chosen.multipliers, arch, cost_of(arch), made_by, chosen.value / target - 1),
        rounding=family.rounding,
        real=real_multipliers(base, chosen.multipliers, family.rounding),
    )
    return Solution(member, target, chosen.value)


def solver_rounding(rounding: Rounding, rule: Rule) -> Rounding:
    """Return the rounding with which a size is solved for: repeats to the nearest, but up in a table of networks."""
    return replace(rounding, repeats=rounding.repeats or ("up" if rule.listed else "nearest"))


@dataclass(frozen=True)
class _Budget:
    """The cost that is asked for, and what counts as meeting it."""

    target: float
    tolerance: float
    proportions: bool
    """Whether networks must have the proportions of their rule."""

    def candidates(self, family: CountedFamily) -> list[Candidate]:
        """Return the steps of the family next to the target, and others in its proportions where those are too far."""
        steps = [family.step(phi) for phi in family.nearest_phis(self.target)]
        if not self.proportions:
            return steps
        on_rule = [candidate for candidate in steps if candidate.deviation.on_rule]
        if self.choose(on_rule) or not self.in_reach(steps):
            return on_rule
        return on_rule + integer_candidates(family, self.target, self.tolerance)

    def in_reach(self, steps: list[Candidate]) -> bool:
        """Return whether the target is between two steps, or near where the family ends or has a gap."""
        return len(steps) > 1 or abs(log2(steps[0].value / self.target)) <= 1

    def choose(self, candidates: list[Candidate]) -> Candidate | None:
        """Return the step of the family that is nearest to the target, else the other network nearest to the rule."""
        in_tolerance = [candidate for candidate in candidates if abs(self.miss(candidate)) <= self.tolerance]
        by_phi = [candidate for candidate in in_tolerance if not candidate.from_integers]
        if by_phi:
            return min(by_phi, key=lambda candidate: abs(self.miss(candidate)))
        return min(
            in_tolerance, key=lambda candidate: (candidate.deviation.share, abs(self.miss(candidate))), default=None
        )

    def miss(self, candidate: Candidate) -> float:
        return candidate.value / self.target - 1


def _too_coarse(family: CountedFamily, candidates: list[Candidate], budget: _Budget, metric: str) -> str:
    reached = [family.value(phi) for phi in family.nearest_phis(budget.target)]
    if len(reached) == 1 and family.value(0.0) == reached[0] != budget.target:
        reason = f"rule {family.rule.name!r} does not bring {metric} there"
    else:
        reason = f"the steps of rule {family.rule.name!r} are too coarse for this base"
    if family.end_reason:
        reason = f"{reason} ({family.end_reason})"
    cost = attrgetter("value")
    below = max((each for each in candidates if each.value <= budget.target), key=cost, default=None)
    above = min((each for each in candidates if each.value > budget.target), key=cost, default=None)
    texts = [_nearest_text(candidate, budget) for candidate in (below, above) if candidate]
    condition = f" in the proportions of rule {family.rule.name!r}" if budget.proportions else ""
    return (
        f"no network within {100 * budget.tolerance:g}% of {budget.target:,.6g} {metric}{condition}: {reason}; "
        f"nearest: {' and '.join(texts) or 'none'}. {_remedies(family, candidates, budget, metric)}"
    )


def _nearest_text(candidate: Candidate, budget: _Budget) -> str:
    phi = f"near phi {candidate.phi:.3g}" if candidate.from_integers else f"phi {number_text(candidate.phi)}"
    return f"{candidate.value:,.6g} ({budget.miss(candidate):+.1%}, {phi})"


def _remedies(family: CountedFamily, candidates: list[Candidate], budget: _Budget, metric: str) -> str:
    """Return what the user can change, as text: a rounding that has such a network, and a tolerance that is met."""
    remedies = []
    # A family that ends at a large network before the target does not reach it with finer steps either.
    ends_before = len(reached := family.nearest_phis(budget.target)) == 1 and abs(reached[0]) > _MANY_PHI
    if metric in FREE_METRICS and not family.rule.listed and not ends_before:
        finer = (text for rounding, text in _other_roundings(family) if _has_candidate(family, rounding, budget))
        remedies += [f"{text} has one" for text in islice(finer, 1)]
    smallest_miss = min((abs(budget.miss(candidate)) for candidate in candidates), default=_MAX_MISS)
    if smallest_miss < _MAX_MISS:
        remedies.append(f"tolerance={ceil(smallest_miss * 100 + _ROUNDING_ERROR) / 100:g} takes the nearest")
    unknown = "Another rounding (rounding.divisor, rounding.resolution), rule or base may have one"
    return " or ".join(remedies) or unknown


def _has_candidate(family: CountedFamily, rounding: Rounding, budget: _Budget) -> bool:
    other = CountedFamily(family.base, family.rule, family.measure, rounding)
    try:
        return budget.choose(budget.candidates(other)) is not None
    except NasError:
        return False


def _other_roundings(family: CountedFamily) -> Iterator[tuple[Rounding, str]]:
    """Yield roundings with finer channels, with inputs of other multiples, then with both, and their settings as text.

    Whole pixels are searched anyway, so that another multiple helps where a network does not take every input, or where
    the multiple is a coarse one now.
    """
    now = family.rounding
    finer = [value for value in (4, 2, 1) if value < now.divisor]
    steps = [
        value for value in (1, 2, 4, 8, 16, 32) if (value < now.resolution if now.resolution > 1 else family.end_reason)
    ]
    for divisor in finer:
        yield replace(now, divisor=divisor), f"rounding.divisor={divisor}"
    for step in steps:
        yield replace(now, resolution=step), f"rounding.resolution={step}"
    for step in steps if finer else ():
        yield replace(now, divisor=1, resolution=step), f"rounding.divisor=1 rounding.resolution={step}"
