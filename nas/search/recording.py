"""Where a search keeps what it finds: the run folder first, then whoever else is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from nas.search.log import RunFolder
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


class Recording:
    """The record of one study, on disk and with its recorders."""

    def __init__(self, study: Study, folder: RunFolder | None, recorders: Sequence[Recorder]) -> None:
        self._study, self._folder, self._recorders = study, folder, recorders

    def begin(self) -> None:
        """The search starts or goes on."""
        for recorder in self._recorders:
            recorder.begin(self._study)

    def proposed(self, running: int) -> None:
        """Time passed, and so many trials run."""
        for recorder in self._recorders:
            recorder.proposed(self._study, running)

    def keep(self, trial: Trial, *, durable: bool) -> None:
        """Write a trial to disk, where there is a folder."""
        if self._folder is not None:
            self._folder.append(trial, durable=durable)

    def paused(self, trial: Trial) -> None:
        """A trial has had a small budget and may get more."""
        self.keep(trial, durable=True)
        for recorder in self._recorders:
            recorder.paused(self._study, trial)

    def ended(self, trial: Trial) -> None:
        """A trial ended, and is on disk."""
        for recorder in self._recorders:
            recorder.ended(self._study, trial)

    def end(self) -> None:
        """The search is over; `study.stop_reason` says why."""
        for recorder in self._recorders:
            recorder.end(self._study)
