"""Records a search: in its run folder first, then with its recorders."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from nas.search.log import RunFolder
from nas.search.study import Study
from nas.search.trial import Trial


class Recorder(Protocol):
    """Follows a search. It is called in the driver's thread, and must not keep it waiting."""

    def begin(self, study: Study) -> None:
        """Note that the search starts or is resumed; `study` has the trials so far."""

    def proposed(self, study: Study, running: int) -> None:
        """Note that a proposal was submitted, or time passed; `running` evaluations run."""

    def paused(self, study: Study, trial: Trial) -> None:
        """Note that a trial has had a small budget and may get more; it is on disk."""

    def ended(self, study: Study, trial: Trial) -> None:
        """Note that a trial ended; it is on disk."""

    def end(self, study: Study) -> None:
        """Note that the search is over; `study.stop` says why."""


class Recording:
    """The record of one study, on disk and with its recorders."""

    def __init__(self, study: Study, folder: RunFolder | None, recorders: Sequence[Recorder]) -> None:
        """Record a study in a run folder, where there is one, and with recorders."""
        self._study, self._folder, self._recorders = study, folder, recorders

    def begin(self) -> None:
        """Note that the search starts or is resumed."""
        if self._folder is not None:
            self._folder.remove_end()
        for recorder in self._recorders:
            recorder.begin(self._study)

    def proposed(self, running: int) -> None:
        """Note that time passed; `running` evaluations run."""
        for recorder in self._recorders:
            recorder.proposed(self._study, running)

    def keep(self, trial: Trial, *, durable: bool) -> None:
        """Write a trial to the run folder, where there is one; `durable` waits until it is on the disk."""
        if self._folder is not None:
            self._folder.append(trial, durable=durable)

    def paused(self, trial: Trial) -> None:
        """Write a trial that has had a small budget and may get more, and pass it on to the recorders."""
        self.keep(trial, durable=True)
        for recorder in self._recorders:
            recorder.paused(self._study, trial)

    def ended(self, trial: Trial) -> None:
        """Pass a trial that ended, and is on disk, on to the recorders."""
        for recorder in self._recorders:
            recorder.ended(self._study, trial)

    def end(self) -> None:
        """Note that the search is over; `study.stop` says why."""
        if self._folder is not None and self._study.stop is not None:
            with suppress(OSError):  # a full disk, of which the log of trials has said so
                self._folder.write_end(self._study.stop, can_go_on=self._study.can_go_on)
        for recorder in self._recorders:
            recorder.end(self._study)
