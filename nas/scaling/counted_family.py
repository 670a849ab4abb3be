"""The networks that one rule makes of one base, each scaled and counted once, and the steps next to a budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

from nas.errors import NasError
from nas.network.architecture import Architecture
from nas.scaling.proportions import Deviation, cost_contradiction, deviation, real_multipliers
from nas.scaling.rounding import Rounding
from nas.scaling.rules import MAX_PHI, Multipliers, Rule, scale_by

_PRECISION = 1e-6


@dataclass(frozen=True)
class Candidate:
    """A network that may be the answer to a budget."""

    phi: float
    multipliers: Multipliers
    value: float
    """Its cost."""
    deviation: Deviation
    """How far it is from its rule."""
    from_integers: bool = False
    """Whether `nas.scaling.integer_search` made it, since no `phi` gives it."""


class CountedFamily:
    """The networks of a rule, scaled and counted when they are first asked for."""

    def __init__(
        self, base: Architecture, rule: Rule, measure: Callable[[Architecture], float], rounding: Rounding
    ) -> None:
        """Make an empty family.

        Args:
            base: the network at `phi` 0.
            rule: how it grows.
            measure: gives the cost of a network.
            rounding: how multipliers become whole numbers.
        """
        self.base, self.rule, self.measure, self.rounding = base, rule, measure, rounding
        self._values: dict[Architecture, float] = {}
        self._networks: dict[Multipliers, Architecture] = {}
        self.end_reason = ""
        """Why the last `phi` that gives no network gives none: the family ends before it, or has a gap there."""

    def network(self, by: Multipliers) -> Architecture:
        """Return the base scaled by some multipliers; raises `NasError` as `nas.scale` does."""
        if by not in self._networks:
            self._networks[by] = scale_by(self.base, by, self.rounding)
        return self._networks[by]

    def cost(self, by: Multipliers) -> float:
        """Return the cost of the base scaled by some multipliers."""
        arch = self.network(by)
        if arch not in self._values:
            self._values[arch] = self.measure(arch)
        return self._values[arch]

    def value(self, phi: float) -> float:
        """Return the cost of the network at `phi`."""
        return self.cost(self.rule.at(phi))

    def deviation(self, by: Multipliers) -> Deviation:
        """Return how far from the rule multipliers are after rounding: infinitely where the cost moves against them."""
        measured = deviation(real_multipliers(self.base, by, self.rounding), self.rule)
        reason = cost_contradiction(self.base, by, self.network(by))
        return replace(measured, share=inf, text=reason) if reason else measured

    def nearest_phis(self, target: float) -> list[float]:
        """Return the `phi` of the steps next below and next above the target, or of the one where there is no other."""
        if self.rule.listed:
            below = [phi for phi in self.rule.listed if self.value(phi) <= target]
            above = [phi for phi in self.rule.listed if self.value(phi) > target]
            return [*below[-1:], *above[:1]]
        bracket = self._bracket(target)
        if len(bracket) < 2:
            return bracket
        low, high = bracket
        while high - low > _PRECISION and self._at(low) != self._at(high):
            middle = (low + high) / 2
            try:
                value = self.value(middle)
            except NasError as error:  # a gap: between two sizes that work there may be one that does not
                self.end_reason = f"phi {middle:g}: {error}"
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
        while abs(phi) < MAX_PHI:
            last, phi = phi, phi + step
            try:
                value = self.value(phi)
            except NasError as error:  # as small, or as large, as this family gets
                self.end_reason = f"phi {phi:g}: {error}"
                break
            if (value > target) == (start <= target):
                return sorted([last, phi])
        return [last]

    def step(self, phi: float) -> Candidate:
        """Return the network at `phi` with the shortest `phi` that gives it, near that of its best proportions."""
        deviation, value = self.deviation(self.rule.at(phi)), self.value(phi)
        if not self.rule.listed and self._gives(deviation.phi, phi):
            phi = deviation.phi
        phi = shortest(phi, lambda shorter: self._gives(shorter, phi))
        return Candidate(phi, self.rule.at(phi), value, deviation)

    def _gives(self, phi: float, other: float) -> bool:
        try:
            return self._at(phi) == self._at(other)
        except NasError:
            return False

    def _at(self, phi: float) -> Architecture:
        return self.network(self.rule.at(phi))


def shortest(value: float, same: Callable[[float], bool]) -> float:
    """Return a value rounded to the fewest decimals with which `same` holds; the value itself where it never does."""
    return next((rounded for rounded in (round(value, digits) for digits in range(12)) if same(rounded)), value)


def number_text(value: float) -> str:
    """Return the shortest text that is read as the very same number, such as 2, 0.434 or 1.000001."""
    return repr(float(value)).removesuffix(".0")
