"""The sizes of one family as they are counted: each network once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

from nas.errors import NasError
from nas.network.architecture import Architecture
from nas.scaling.proportions import Deviation, against, deviation, real_multipliers
from nas.scaling.rounding import Rounding
from nas.scaling.rules import FARTHEST, Multipliers, Rule, scale_by

_FINE = 1e-6


@dataclass(frozen=True)
class Candidate:
    """A network that could be the size that is looked for."""

    phi: float
    multipliers: Multipliers
    value: float
    """What it costs."""
    off: Deviation
    """How far it is from its rule."""
    beside: bool = False
    """Whether no `phi` gives it."""


class Counting:
    """What has been counted of a family so far."""

    def __init__(
        self, base: Architecture, rule: Rule, measure: Callable[[Architecture], float], rounding: Rounding
    ) -> None:
        self.base, self.rule, self.measure, self.rounding = base, rule, measure, rounding
        self._values: dict[Architecture, float] = {}
        self._networks: dict[Multipliers, Architecture] = {}
        self.refused = ""
        """Why the family ends where it was last tried beyond its end, or has a gap."""

    def network(self, by: Multipliers) -> Architecture:
        """The base times some multipliers; raises `NasError` as `nas.scale` does."""
        if by not in self._networks:
            self._networks[by] = scale_by(self.base, by, self.rounding)
        return self._networks[by]

    def cost(self, by: Multipliers) -> float:
        """What the base times some multipliers costs."""
        arch = self.network(by)
        if arch not in self._values:
            self._values[arch] = self.measure(arch)
        return self._values[arch]

    def value(self, phi: float) -> float:
        """What the family costs at `phi`."""
        return self.cost(self.rule.at(phi))

    def off(self, by: Multipliers) -> Deviation:
        """How far from the rule multipliers are after rounding; infinitely where they bring the opposite in cost."""
        found = deviation(real_multipliers(self.base, by, self.rounding), self.rule)
        reason = against(self.base, by, self.network(by))
        return replace(found, share=inf, text=reason) if reason else found

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
        while high - low > _FINE and self._at(low) != self._at(high):
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
        while abs(phi) < FARTHEST:
            last, phi = phi, phi + step
            try:
                value = self.value(phi)
            except NasError as error:  # as small, or as large, as this family gets
                self.refused = f"phi {phi:g}: {error}"
                break
            if (value > target) == (start <= target):
                return sorted([last, phi])
        return [last]

    def step(self, phi: float) -> Candidate:
        """The network at `phi`, by a short `phi` that gives it: where its proportions are best if that gives it too."""
        off, value = self.off(self.rule.at(phi)), self.value(phi)
        if not self.rule.listed and self._gives(off.phi, phi):
            phi = off.phi
        phi = shortest(phi, lambda one: self._gives(one, phi))
        return Candidate(phi, self.rule.at(phi), value, off)

    def _gives(self, phi: float, other: float) -> bool:
        try:
            return self._at(phi) == self._at(other)
        except NasError:
            return False

    def _at(self, phi: float) -> Architecture:
        return self.network(self.rule.at(phi))


def shortest(value: float, same: Callable[[float], bool]) -> float:
    """Return the shortest decimal number near a value that does the same; the value itself where none does."""
    return next((one for one in (round(value, digits) for digits in range(12)) if same(one)), value)


def number_text(value: float) -> str:
    """Return the shortest text that is read as the very same number, such as 2, 0.434 or 1.000001."""
    return repr(float(value)).removesuffix(".0")
