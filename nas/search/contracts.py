"""What a search works with: what is told of trials, and when it ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from nas.search.study import Study
from nas.search.trial import Trial

MAX_EQUAL_FAILURES = 5
"""Evaluations in a row that fail alike, after which a search ends."""


class Recorder(Protocol):
    """Is told what happens, from the driver's thread; it must not keep the driver waiting."""

    def begin(self, study: Study) -> None:
        """The search starts or goes on; `study` has the trials so far."""

    def proposed(self, study: Study, running: int) -> None:
        """A proposal was sent to be evaluated, or time passed; `running` are being evaluated."""

    def paused(self, study: Study, trial: Trial) -> None:
        """A trial has had a small budget and may get more; it is on disk."""

    def ended(self, study: Study, trial: Trial) -> None:
        """A trial ended, and is on disk."""

    def end(self, study: Study) -> None:
        """The search is over; `study.stop_reason` says why."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When a search ends."""

    trials: int
    """Accepted candidates that are evaluated; rejected ones and duplicates do not count."""
    minutes: float | None = None
    """The search ends after this time, with the evaluations that run then; a resumed search runs those again."""
    max_rejections: int = 1000
    """Proposals in a row that are not evaluated: rejected, or duplicates."""
    baseline_fraction: float = 0.0
    """Share of the proposals that are random, to compare the others with."""
    max_equal_failures: int | None = MAX_EQUAL_FAILURES
    """Evaluations in a row that fail alike; None: any number of them."""
    usual_time: bool = True
    """Whether an evaluation ends as failed that takes far longer than others, see `nas.search.stopping.Watch`."""

    def reached(self, study: Study, *, trained: int, tried: int, fruitless: int) -> str:
        """Return which limit a search has reached, in words; empty while there is none.

        Args:
            study: with its trials.
            trained: trials that were evaluated.
            tried: genotypes that were proposed.
            fruitless: proposals since one was last evaluated.
        """
        if trained >= self.trials:
            return f"{trained} trials done"
        if tried >= study.space.size():
            return f"every genotype of the space ({study.space.size()}) has been tried"
        if fruitless < self.max_rejections:
            return ""
        causes = ", ".join(f"{name} {count}" for name, count in study.rejections().items()) or "none"
        return (
            f"{fruitless} proposals in a row were over a limit or known already (rejected so far, by limit: {causes})"
        )
