"""When evaluations are given up: one that hangs, and all where they fail alike."""

from __future__ import annotations

import re

from nas.cost import Cost
from nas.errors import EvaluationError, plain
from nas.evaluation import Budget
from nas.workers.evaluating import Outcome
from nas.workers.pool import Pool

MAX_EQUAL_FAILURES = 5
"""Evaluations in a row that fail alike, after which no other is tried."""

# An evaluation hangs where it takes so many times what the longest of the others took, but not before so many seconds,
# and not before so many others have ended.
_TIMES = 10
_MIN_SECONDS = 60.0
_MIN_ENDED = 3

_VARYING = tuple(
    (re.compile(pattern, re.IGNORECASE), mark)
    for pattern, mark in (
        (r"(?<![\w.])(?:~|\.{1,2})?/[^\s'\",;:()<>]+", "/"),  # paths
        (r"\b0x[0-9a-f]+\b", "#"),  # addresses
        (r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "#"),  # UUIDs
        (r"(?<![\w.])(?=[0-9]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{8,}(?![\w.+-])", "#"),  # digests
        (r"[-+]?(?:\d+(?:[.,]\d+)*(?:e[-+]?\d+)?|\b(?:nan|inf)\b)", "#"),
        (r"#(?:\s*[,x:\u00d7-]\s*#?)+", "#"),  # shapes, times, lists
    )
)


def kind_of(reason: str) -> str:
    """Return the reason of a failure without what differs between trials: numbers, addresses, shapes, paths."""
    for pattern, mark in _VARYING:
        reason = pattern.sub(mark, reason)
    return reason


class EqualFailures:
    """Counts evaluations in a row that fail alike."""

    def __init__(self, most: int | None = MAX_EQUAL_FAILURES) -> None:
        """Start at 0; `most` of them end a search, or with None any number does not."""
        self._most = most
        self._kind = ""
        self._count = 0
        self._networks: set[str | None] = set()

    def succeeded(self) -> None:
        """Note that an evaluation gave scores: the count begins anew."""
        self._kind = ""

    def failed(self, reason: str, network: str | None = None) -> str:
        """Count an evaluation that failed.

        Args:
            reason: of the failure.
            network: an id; with one it counts once, however often it fails.

        Returns:
            Why no other is to be tried; empty where another is.
        """
        kind = kind_of(reason)
        if kind != self._kind:
            self._kind, self._count = kind, 0
            self._networks.clear()
        if network is None or network not in self._networks:
            self._count += 1
        self._networks.add(network)
        if self._most is None or self._count < self._most:
            return ""
        return f"the last {self._count} evaluations failed alike, the last one with: {plain(reason, 500)}"

    def count(self, outcome: Outcome, network: str | None = None) -> None:
        """Count how an evaluation ended; `network`, an id, is needed where networks are evaluated repeatedly.

        Raises:
            EvaluationError: so many have failed alike that no other is to be tried.
        """
        if outcome.evaluation is not None:
            self.succeeded()
        elif why := self.failed(outcome.reason, network):
            raise EvaluationError(why)


def work_of(cost: Cost, budget: Budget) -> float:
    """Return what the time of an evaluation is about proportional to.

    That is multiply-adds times epochs times the share of the data, and the square of that of the resolution.
    """
    share = budget.data_fraction * budget.resolution_fraction**2
    return float(cost.macs * (budget.epochs or 1) * share)


class Watch:
    """Ends evaluations that hang, which is judged by what the others take.

    The limit is ten times what the longest that ended took, more in proportion where more is to be done (multiply-adds
    times epochs) than in the largest of them, and at least a minute; there is none before three have ended.
    """

    def __init__(self, pool: Pool) -> None:
        """Watch the evaluations of a pool that are passed to `began`."""
        self._pool = pool
        self._work: dict[int, float] = {}
        """Of the evaluations that run, by number, see `work_of`."""
        self._ended, self._longest, self._most_work = 0, 0.0, 1.0

    def began(self, number: int, work: float) -> None:
        """Watch an evaluation that was given to the pool; `work` is as `work_of` returns it."""
        self._work[number] = work

    def ended(self, outcome: Outcome) -> None:
        """Stop watching an evaluation, and learn from the time that it took."""
        work = self._work.pop(outcome.number)
        if outcome.evaluation is not None:
            self._ended += 1
            self._longest = max(self._longest, outcome.evaluation.seconds.get("evaluation", 0.0))
            self._most_work = max(self._most_work, work)

    def limit(self, work: float) -> float:
        """Return the seconds after which an evaluation hangs; infinite before three others have ended."""
        if self._ended < _MIN_ENDED:
            return float("inf")
        return max(_MIN_SECONDS, _TIMES * self._longest * max(1.0, work / self._most_work))

    def late(self) -> list[Outcome]:
        """End the evaluations that hang; return them as failed."""
        ended = []
        for number, seconds in self._pool.running().items():
            limit = self.limit(self._work[number])
            if seconds > limit:
                self._pool.end(number)
                reason = f"took longer than {limit:,.0f} s: {_TIMES} times what the longest of the others took"
                ended.append(Outcome(number, None, f"{reason}, for its size"))
        return ended
