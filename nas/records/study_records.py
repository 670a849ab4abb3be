"""A study in MLflow whose errors never end it: what all kinds of studies but a search, which writes beside, share."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from nas.records.retry import INTERRUPTED_SECONDS, LAST_SECONDS, Retry
from nas.records.server import ServerAwayError, lacks_last, no_answer, not_written, record_facts
from nas.records.store import Store, open_store
from nas.records.study_run import StudyRun
from nas.records.values import GOES_ON
from nas.run_folder import shown
from nas.to_type import to_type


class StudyRecords:
    """Writes the trainings of a study as they end, and its results; keeps the first error.

    What a server that is away did not take waits until it is asked again, which is when something else is written, and
    a few times more at the end.
    """

    experiment: ClassVar[str]
    """Its name in MLflow."""
    parts: ClassVar[str] = "trainings"
    """What the study is made of, in words."""

    def __init__(
        self,
        root: Path,
        folder: Path,
        study_id: str,
        name: str,
        settings: Mapping[str, Any],
        *,
        server: str | None = None,
        again: str = "",
    ) -> None:
        """Open the database; `trouble` says why it cannot be opened.

        Args:
            root: the folder of the database.
            folder: of the study, by which its page is found.
            study_id: of the study; a resumed study has the same.
            name: of the study, for people.
            settings: of the study, nested or flat.
            server: address of an MLflow server that takes the place of the database.
            again: the command that goes on with the study, and so writes what is missing; empty: there is none.
        """
        self.error: Exception | None = None
        """The first one."""
        self._root, self._folder, self._server, self._again = root, folder, server, again
        self._make: Callable[[Store], StudyRun] = lambda store: StudyRun(
            store, self.experiment, study_id, name=name, settings=settings
        )
        self._retry: Retry | None = None
        """None where nothing can be written."""
        self._study: StudyRun | None = None
        self._waiting: deque[Callable[[StudyRun], None]] = deque()
        """What is not written yet, in its order."""
        try:
            self._retry = Retry(open_store(root, server))
        except Exception as error:  # records are of less worth than the study, which is whole in its folder
            self.error = error
        else:
            self._attempt(self._retry, self._retry.attempt)

    @property
    def trouble(self) -> str:
        """What is not in MLflow, in words; empty where all is."""
        if isinstance(self.error, ServerAwayError):
            return lacks_last(self.error)
        if self.error is not None:
            return not_written(self.error)
        if self._study is not None and self._study.lacking:
            key, reason = next(iter(self._study.lacking.items()))
            return f"MLflow lacks {len(self._study.lacking)} {self.parts}: {key}: {reason}"
        return ""

    @property
    def browse(self) -> str:
        """How to look at it in MLflow, or what is not there."""
        if self.trouble:
            missing = f", and {self._again} writes what is missing" if self._again else ""
            return f"{self.trouble}; the folder has all of it{missing}"
        return f"Browse: {to_type('browse', shown(self._folder))}"

    @property
    def facts(self) -> dict[str, Any]:
        """Where the records are, as plain values."""
        return record_facts(self._server, self._root, self._folder, self.trouble)

    def end(self, metrics: Mapping[str, float], files: Iterable[Path]) -> None:
        """Write the results of the study and copy its files."""
        copied = list(files)
        self.writing(lambda study: study.log(metrics))
        self.writing(lambda study: study.log_files(copied))
        self._end_as("FINISHED", LAST_SECONDS)

    def interrupted(self) -> None:
        """Record that the study was interrupted, and can be gone on with."""
        if self._server is None:
            self._end_as(GOES_ON, 0.0)
            return
        # In a thread: what asks a server that does not answer cannot be ended.
        writing = threading.Thread(target=self._end_as, args=(GOES_ON, 0.0), daemon=True, name="mlflow")
        writing.start()
        writing.join(INTERRUPTED_SECONDS)
        if writing.is_alive():
            self.error = self.error or no_answer(self._server)

    def writing(self, work: Callable[[StudyRun], None]) -> None:
        """Do a piece of the writing, which may be done again; nothing is tried where MLflow could not be opened."""
        retry = self._retry
        if retry is not None:
            self._waiting.append(work)
            if retry.is_due:
                self._attempt(retry, retry.attempt)

    def _end_as(self, status: str, seconds: float) -> None:
        """Write how the study ended, and ask a server that is away for so many seconds."""
        retry = self._retry
        if retry is not None:
            self._waiting.append(lambda study: study.end(status))
            self._attempt(retry, partial(retry.last_attempts, seconds=seconds))

    def _attempt(self, retry: Retry, attempt: Callable[[Callable[[], None]], None]) -> None:
        """Write what waits; what goes wrong with a piece does not keep those after it."""
        while self._retry is not None:
            try:
                attempt(partial(self._write_waiting, retry))
                return
            except ServerAwayError as error:
                self.error = self.error or error
                return
            except Exception as error:  # records are of less worth than the study, which is whole in its folder
                self.error = self.error or error
                if self._study is None:
                    self._retry = None
                else:
                    self._waiting.popleft()

    def _write_waiting(self, retry: Retry) -> None:
        if self._study is None:
            self._study = self._make(retry.store)
        elif retry.wait is not None:
            self._study.read_children()
        while self._waiting:
            self._waiting[0](self._study)
            self._waiting.popleft()
