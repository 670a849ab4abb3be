"""What hears of the trials of a search."""

from __future__ import annotations

from typing import Protocol

from nas.search.study import Study
from nas.search.trial import Trial


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
