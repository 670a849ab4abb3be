"""Limits on costs: hard ones, over which nothing is built, and soft ones, which lower the score."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import NamedTuple

from nas.cost.cost import Cost
from nas.cost.metrics import (
    AFTER_TRAINING,
    BATCH_OF_ONE,
    FREE_METRICS,
    INT8_ACCURACY,
    LATENCY,
    SEARCH_METRICS,
    Workload,
    value_of,
)
from nas.errors import ConfigError, nearest


@dataclass(frozen=True, slots=True)
class Constraint:
    """Bounds of one metric, both included."""

    metric: str
    """One of `SEARCH_METRICS`."""
    low: float = -math.inf
    """The least value that holds; -inf: none."""
    high: float = math.inf
    """The largest value that holds; inf: none."""
    soft: bool = False
    """Whether a network over it is trained all the same, and judged with a penalty."""

    @property
    def counted(self) -> bool:
        """Whether the metric is counted on the graph."""
        return self.metric in FREE_METRICS

    @property
    def measured(self) -> bool:
        """Whether the metric is measured on a device before training."""
        return self.metric == LATENCY

    @property
    def after_training(self) -> bool:
        """Whether only a trained network shows the metric."""
        return self.metric in AFTER_TRAINING

    def __post_init__(self) -> None:
        if self.metric not in SEARCH_METRICS:
            raise ConfigError(f"constraints: unknown metric {self.metric!r}. {nearest(self.metric, SEARCH_METRICS)}")
        where = f"{'soft' if self.soft else 'constraints'}.{self.metric}"
        if math.isnan(self.low) or math.isnan(self.high) or self.low == math.inf or self.high < 0:
            raise ConfigError(f"{where}: a bound must be a number >= 0, but got [{self.low:g}, {self.high:g}]")
        if self.low > self.high:
            raise ConfigError(f"{where}: the lower bound {self.low:g} is over the upper bound {self.high:g}")
        if self.metric == INT8_ACCURACY:
            self._check_share(where)

    def _check_share(self, where: str) -> None:
        """Raise `ConfigError` for a bound of an accuracy that nobody means."""
        if self.low > 1 or 1 < self.high < math.inf:
            raise ConfigError(f"{where}: an accuracy is a share from 0 to 1, but got [{self.low:g}, {self.high:g}]")
        if self.low == -math.inf and self.high < 1:
            raise ConfigError(
                f"{where}={self.high:g} would be the most accurate that a network may be; at least that is "
                f"{where}=[{self.high:g},null]"
            )

    def __str__(self) -> str:
        low = f"{self.low:,.6g} <= " if self.low > -math.inf else ""
        return f"{low}{self.metric}" + (f" <= {self.high:,.6g}" if self.high < math.inf else "")


@dataclass(frozen=True, slots=True)
class Violation:
    """One constraint checked on one candidate."""

    metric: str
    """One of `SEARCH_METRICS`."""
    value: float
    """What the candidate has."""
    bound: float
    """Of the two bounds the nearer one, or the one that is exceeded more."""
    excess: float
    """Signed distance over the bound as a share of it: <= 0 holds, 0.5 is half over."""
    soft: bool = False
    """Whether the constraint is soft."""
    predicted: bool = False
    """Whether the value was predicted, and the excess is that of its interval."""

    @property
    def rejects(self) -> bool:
        """Whether it rejects the candidate."""
        return self.excess > 0 and not self.soft

    def __str__(self) -> str:
        side = "over" if self.value > self.bound else "under"
        how = " (predicted)" if self.predicted else ""
        return f"{self.metric} {self.value:,.6g}{how} is {side} {self.bound:,.6g}"


def check(cost: Cost, constraints: Iterable[Constraint], workload: Workload = BATCH_OF_ONE) -> tuple[Violation, ...]:
    """Compare a cost with the constraints on counted metrics; others are left out.

    A candidate is accepted when none of them `rejects`.
    """
    return tuple([violation(value_of(cost, limit.metric, workload), limit) for limit in constraints if limit.counted])


class Interval(NamedTuple):
    """A predicted value with its uncertainty."""

    value: float
    """The most likely value."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""


def violation(value: float | Interval, limit: Constraint) -> Violation:
    """Return how far a value is over a limit, or within it; an interval is over it where all of it is."""
    predicted = isinstance(value, Interval)
    value, low, high = value if isinstance(value, Interval) else (value, value, value)
    over = (low - limit.high) / max(abs(limit.high), 1e-12) if limit.high < math.inf else -math.inf
    under = (limit.low - high) / max(abs(limit.low), 1e-12) if limit.low > -math.inf else -math.inf
    bound, excess = (limit.high, over) if over >= under else (limit.low, under)
    return Violation(limit.metric, value, bound, excess, limit.soft, predicted)


def constraints_from(limits: Mapping[str, object], *, soft: bool = False) -> tuple[Constraint, ...]:
    """Read `{metric: upper bound}` or `{metric: (lower, upper)}`; None leaves a side, or a metric, open.

    Raises:
        ConfigError: unknown metric, or a bound that is not a number.
    """
    if not isinstance(limits, Mapping):
        raise ConfigError(f"limits are a mapping such as {{'params': 5e5}}, but got {limits!r:.80}")
    constraints = []
    for metric, bound in limits.items():
        low, high = bound if isinstance(bound, list | tuple) and len(bound) == 2 else (None, bound)
        constraints.append(Constraint(metric, _number(metric, low, -math.inf), _number(metric, high, math.inf), soft))
    return tuple(c for c in constraints if c.low > -math.inf or c.high < math.inf)


def tightest(constraints: Iterable[Constraint]) -> tuple[Constraint, ...]:
    """Return one constraint a metric, as tight as all of them, hard and soft ones apart.

    Raises:
        ConfigError: nothing can hold them.
    """
    merged: dict[tuple[str, bool], Constraint] = {}
    for limit in constraints:
        other = merged.get((limit.metric, limit.soft), limit)
        low, high = max(limit.low, other.low), min(limit.high, other.high)
        merged[limit.metric, limit.soft] = Constraint(limit.metric, low, high, limit.soft)
    return tuple(merged.values())


def _number(metric: str, value: object, missing: float) -> float:
    if value is None:
        return missing
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ConfigError(
            f"constraints.{metric} must be an upper bound or [lower, upper], but got {value!r}. "
            f"Example: constraints.{metric}=5e5"
        )
    try:
        return float(value)
    except OverflowError:
        raise ConfigError(f"constraints.{metric}: a bound of over 1,000 bits is too large") from None
