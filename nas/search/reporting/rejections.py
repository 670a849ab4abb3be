"""What rejected candidates, and how near they came to the limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from nas.cost import Violation
from nas.cost.metrics import METRIC_DOCS
from nas.search.study import Study
from nas.search.trial import State, Trial


@dataclass(frozen=True)
class Miss:
    """The candidate that came nearest to a limit without holding it."""

    number: int
    """Of its trial."""
    violation: Violation
    alone: bool
    """Whether it held all other limits."""


@dataclass(frozen=True)
class Rejection:
    """How many candidates a limit rejected."""

    metric: str
    """Of the limit; empty where no valid network could be made or its evaluation ran out of memory."""
    what: str
    count: int
    alone: int
    """How many of them held all other limits."""
    nearest: Miss | None


def rejections(study: Study) -> list[Rejection]:
    """Return what rejected candidates, the limit that rejected most first, each with its nearest miss."""
    by_metric: dict[str, list[Miss]] = {}
    others: Counter[str] = Counter()
    for trial in study.trials:
        if trial.state not in (State.REJECTED, State.OVER_LIMIT):
            continue
        misses = _misses(trial)
        for miss in misses:
            by_metric.setdefault(miss.violation.metric, []).append(miss)
        if not misses:
            others["ran out of memory" if trial.out_of_memory else "no valid network"] += 1
    found = [_rejection(metric, misses) for metric, misses in by_metric.items()]
    found += [Rejection("", what, count, count, None) for what, count in others.items()]
    return sorted(found, key=lambda one: (-one.count, one.metric))


def _misses(trial: Trial) -> list[Miss]:
    over = [violation for violation in trial.violations if violation.rejects]
    return [Miss(trial.number, violation, len(over) == 1) for violation in over]


def _rejection(metric: str, misses: Sequence[Miss]) -> Rejection:
    nearest = min(misses, key=lambda miss: (miss.violation.excess, miss.number))
    return Rejection(metric, METRIC_DOCS.get(metric, metric), len(misses), sum(miss.alone for miss in misses), nearest)


def nearest_misses(study: Study) -> list[str]:
    """Return how near candidates came to each limit that rejected some, where nothing was found; else nothing."""
    if study.best(1):
        return []
    misses = (one.nearest for one in rejections(study))
    return [
        f"Nearest to the limit on {miss.violation.metric}: trial {miss.number}, {miss.violation}"
        + (", and over no other limit" if miss.alone else "")
        for miss in misses
        if miss is not None
    ]
