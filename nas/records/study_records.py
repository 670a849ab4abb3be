"""A study in MLflow whose errors never end it: what all kinds of studies but a search, which writes beside, share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from nas.records.server import not_written, record_facts
from nas.records.store import open_store
from nas.records.study_run import StudyRun
from nas.records.values import GOES_ON
from nas.run_folder import shown
from nas.to_type import to_type


class StudyRecords:
    """Writes the trainings of a study as they end, and its results; keeps the first error."""

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
    ) -> None:
        """Open the database; `trouble` says why it cannot be opened.

        Args:
            root: the folder of the database.
            folder: of the study, by which its page is found.
            study_id: of the study; a resumed study has the same.
            name: of the study, for people.
            settings: of the study, nested or flat.
            server: address of an MLflow server that takes the place of the database.
        """
        self.error: Exception | None = None
        """The first one."""
        self._root, self._folder, self._server = root, folder, server
        self._study: StudyRun | None = None
        self._noting_errors(lambda: self._open(study_id, name, settings))

    def _open(self, study_id: str, name: str, settings: Mapping[str, Any]) -> None:
        self._study = StudyRun(
            open_store(self._root, self._server), self.experiment, study_id, name=name, settings=settings
        )

    @property
    def trouble(self) -> str:
        """What is not in MLflow, in words; empty where all is."""
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
            return f"{self.trouble}; the folder has all of it"
        return f"Browse: {to_type('browse', shown(self._folder))}"

    @property
    def facts(self) -> dict[str, Any]:
        """Where the records are, as plain values."""
        return record_facts(self._server, self._root, self._folder, self.trouble)

    def end(self, metrics: Mapping[str, float], files: Iterable[Path]) -> None:
        """Write the results of the study and copy its files."""
        self.writing(lambda study: study.log(metrics))
        self.writing(lambda study: study.log_files(files))
        self.writing(lambda study: study.end())

    def interrupted(self) -> None:
        """Record that the study was interrupted, and can be gone on with."""
        self.writing(lambda study: study.end(GOES_ON))

    def writing(self, work: Callable[[StudyRun], None]) -> None:
        """Do a piece of the writing; nothing is tried where the database could not be opened."""
        study = self._study
        if study is not None:
            self._noting_errors(lambda: work(study))

    def _noting_errors(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # records are of less worth than the study, which is whole in its folder
            self.error = self.error or error
