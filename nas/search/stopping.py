"""When evaluations are given up: one that takes far longer than others do, and all where they fail alike."""

from __future__ import annotations

import re

from nas.cost import Cost
from nas.errors import EvaluationError, plain
from nas.evaluation import Budget
from nas.search.settings import MAX_EQUAL_FAILURES, SearchSettings
from nas.search.stop_reason import Stop, StopReason
from nas.search.study import Study
from nas.workers.evaluating import Outcome
from nas.workers.pool import Pool

# An evaluation hangs where it takes so many times what the longest of the others took, but not before so many seconds,
# and not before so many others have ended.
_TIMES = 10
_LEAST_SECONDS = 60.0
_ENOUGH = 3


_DIFFERS = tuple(
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


def limit_reached(settings: SearchSettings, study: Study, *, trained: int, tried: int, fruitless: int) -> Stop | None:
    """Return why a search is to end now; None where it is to go on.

    Args:
        settings: say when it ends.
        study: with its trials.
        trained: trials that were evaluated.
        tried: genotypes that were proposed.
        fruitless: proposals since one was last evaluated.
    """
    if trained >= settings.trials:
        return StopReason.TRIALS_DONE.stop(trained=trained)
    if tried >= study.space.size():
        return StopReason.SPACE_EXHAUSTED.stop(size=study.space.size())
    if fruitless < settings.max_rejections:
        return None
    causes = ", ".join(f"{name} {count}" for name, count in study.rejections().items()) or "none"
    return StopReason.PROPOSALS_REJECTED.stop(fruitless=fruitless, causes=causes)


def kind_of(reason: str) -> str:
    """Return a reason without what differs from one trial to the next: numbers, addresses, shapes, paths."""
    for pattern, mark in _DIFFERS:
        reason = pattern.sub(mark, reason)
    return reason


class EqualFailures:
    """Counts evaluations in a row that fail alike."""

    def __init__(self, most: int | None = MAX_EQUAL_FAILURES) -> None:
        """Take how many end a search; None: none do."""
        self._most = most
        self._kind = ""
        self._count = 0
        self._networks: set[str | None] = set()

    def succeeded(self) -> None:
        """Hear that an evaluation gave scores."""
        self._kind = ""

    def failed(self, reason: str, network: str | None = None) -> str:
        """Hear that an evaluation failed; return why no other is to be tried, or nothing.

        A network that is named counts once, however often it fails.
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

    def end(self, study: Study, reason: str) -> None:
        """Hear that an evaluation of a study failed; end the study where that is enough."""
        if why := self.failed(reason):
            study.stop = StopReason.FAILED_ALIKE.stop(why=why)
            study.failed_alike = study.can_go_on = True

    def hear(self, outcome: Outcome, network: str | None = None) -> None:
        """Hear how an evaluation ended, where it is repeated also of which network.

        Raises:
            EvaluationError: so many have failed alike that no other is to be tried.
        """
        if outcome.evaluation is not None:
            self.succeeded()
        elif why := self.failed(outcome.reason, network):
            raise EvaluationError(why)


def work_of(cost: Cost, budget: Budget) -> float:
    """Return what the time of an evaluation is about proportional to: multiply-adds times epochs, and their shares."""
    share = budget.data_fraction * budget.resolution_fraction**2
    return float(cost.macs * (budget.epochs or 1) * share)


class Watch:
    """Ends evaluations that hang, which is judged by what the others take.

    The limit is ten times what the longest that ended took, more in proportion where more is to be done (multiply-adds
    times epochs) than in the largest of them, and at least a minute; there is none before three have ended.
    """

    def __init__(self, pool: Pool) -> None:
        """Watch what is given to a pool, and named here."""
        self._pool = pool
        self._work: dict[int, float] = {}
        """What the evaluations that run have to do."""
        self._ended, self._longest, self._most = 0, 0.0, 1.0

    def began(self, number: int, work: float) -> None:
        """Hear that an evaluation was given to the pool, and how much is to be done."""
        self._work[number] = work

    def ended(self, outcome: Outcome) -> None:
        """Hear how an evaluation ended."""
        work = self._work.pop(outcome.number)
        if outcome.evaluation is not None:
            self._ended += 1
            self._longest = max(self._longest, outcome.evaluation.seconds.get("evaluation", 0.0))
            self._most = max(self._most, work)

    def limit(self, work: float) -> float:
        """Return the seconds after which an evaluation hangs; infinite where that is not known."""
        if self._ended < _ENOUGH:
            return float("inf")
        return max(_LEAST_SECONDS, _TIMES * self._longest * max(1.0, work / self._most))

    def late(self) -> list[Outcome]:
        """End the evaluations that hang, and return what is to be said of them."""
        found = []
        for number, seconds in self._pool.running().items():
            limit = self.limit(self._work[number])
            if seconds > limit:
                self._pool.end(number)
                reason = f"took longer than {limit:,.0f} s: {_TIMES} times what the longest of the others took"
                found.append(Outcome(number, None, f"{reason}, for its size"))
        return found


def check_ended(study: Study) -> None:
    """See that a search that is part of something else has not been cut off.

    Raises:
        KeyboardInterrupt: the user has interrupted it. EvaluationError: its evaluations failed one like the other.
    """
    if study.interrupted:
        raise KeyboardInterrupt
    if study.failed_alike:
        raise EvaluationError(study.stop_reason)
