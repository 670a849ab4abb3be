"""Hard limits on costs, checked before anything is built."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nas.cost.cost import METRICS, Cost
from nas.errors import ConfigError, nearest


@dataclass(frozen=True, slots=True)
class Constraint:
    """Bounds of one metric, both included."""

    metric: str
    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise ConfigError(f"constraints: unknown metric {self.metric!r}. {nearest(self.metric, METRICS)}")
        bounds_hold = -math.inf <= self.low <= self.high and self.high >= 0 and self.low < math.inf
        if not bounds_hold:
            raise ConfigError(
                f"constraints.{self.metric}: `0 <= high` and `low <= high` must hold, "
                f"but got (low={self.low:g}, high={self.high:g})"
            )


@dataclass(frozen=True, slots=True)
class Violation:
    """One constraint checked on one candidate."""

    metric: str
    value: float
    bound: float
    """The bound that is nearest to being broken, or broken most."""
    excess: float
    """Signed distance over the bound as a share of it: <= 0 holds, 0.5 is half over."""

    def __str__(self) -> str:
        side = "over" if self.value > self.bound else "under"
        return f"{self.metric} {self.value:,.6g} is {side} {self.bound:,.6g}"


def check(cost: Cost, constraints: Iterable[Constraint]) -> tuple[Violation, ...]:
    """Measure a cost against constraints; a candidate is accepted when every `excess` is <= 0."""
    return tuple(_measure(float(getattr(cost, limit.metric)), limit) for limit in constraints)


def _measure(value: float, limit: Constraint) -> Violation:
    over = (value - limit.high) / max(abs(limit.high), 1e-12) if limit.high < math.inf else -math.inf
    under = (limit.low - value) / max(abs(limit.low), 1e-12) if limit.low > -math.inf else -math.inf
    if over >= under:
        return Violation(limit.metric, value, limit.high, over)
    return Violation(limit.metric, value, limit.low, under)


def constraints_from(limits: Mapping[str, object]) -> tuple[Constraint, ...]:
    """Read `{metric: upper bound}` or `{metric: (lower, upper)}`; None leaves a side, or a metric, open.

    Raises:
        ConfigError: unknown metric, or a bound that is not a number.
    """
    found = []
    for metric, bound in limits.items():
        low, high = bound if isinstance(bound, list | tuple) and len(bound) == 2 else (None, bound)
        found.append(Constraint(metric, _number(metric, low, -math.inf), _number(metric, high, math.inf)))
    return tuple(c for c in found if c.low > -math.inf or c.high < math.inf)


def tightest(constraints: Iterable[Constraint]) -> tuple[Constraint, ...]:
    """Return one constraint a metric, as tight as all of them; raises `ConfigError` where nothing can hold them."""
    found: dict[str, Constraint] = {}
    for limit in constraints:
        other = found.get(limit.metric, limit)
        found[limit.metric] = Constraint(limit.metric, max(limit.low, other.low), min(limit.high, other.high))
    return tuple(found.values())


def _number(metric: str, value: object, missing: float) -> float:
    if value is None:
        return missing
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(
            f"constraints.{metric} must be an upper bound or [lower, upper], but got {value!r}. "
            f"Example: constraints.{metric}=5e5"
        )
    try:
        return float(value)
    except OverflowError:
        raise ConfigError(f"constraints.{metric}: a bound of {int(value).bit_length()} bits is too large") from None
