"""The trainings of one network in MLflow, whose errors never end a training."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from nas.evaluation import Evaluation
from nas.records.store import database_uri, open_store, places
from nas.records.study_run import StudyRun
from nas.records.values import Record, milliseconds, values_of

EXPERIMENT = "training"
"""The experiment that they are in."""


class TrainingRecords:
    """Writes the training with each seed as it ends, and what came out; keeps the first error."""

    def __init__(self, root: Path, run_id: str, name: str, settings: Mapping[str, Any]) -> None:
        """Open the database; `trouble` says why it cannot be opened.

        Args:
            root: the folder of the database.
            run_id: of the run; one that is gone on with has the same.
            name: of the run, for people.
            settings: of the run, nested or flat.
        """
        self._error: Exception | None = None
        self._root = root
        self._study: StudyRun | None = None
        self._noting_errors(lambda: self._open(run_id, name, settings))

    def _open(self, run_id: str, name: str, settings: Mapping[str, Any]) -> None:
        self._study = StudyRun(open_store(self._root), EXPERIMENT, run_id, name=name, settings=settings)

    @property
    def uri(self) -> str:
        """The address of the database, for `mlflow ui`."""
        return database_uri(places(self._root)[0])

    @property
    def trouble(self) -> str:
        """What is not in MLflow, in words; empty where all is."""
        if self._error is not None:
            return f"MLflow was not written: {type(self._error).__name__}: {self._error}"
        if self._study is not None and self._study.lacking:
            key, reason = next(iter(self._study.lacking.items()))
            return f"MLflow lacks {len(self._study.lacking)} trainings: {key}: {reason}"
        return ""

    def write(self, seed: int, evaluation: Evaluation) -> None:
        """Write the training with a seed, with its curves; again does nothing."""
        ended = milliseconds(time.time())
        seconds = float(evaluation.seconds.get("evaluation", 0.0))
        metrics = {**evaluation.scores, "seconds": seconds}
        record = Record(
            key=str(seed),
            name=f"seed {seed}",
            tags={"state": "completed"},
            values=values_of({"seed": seed}, metrics, evaluation.history, ended),
            status="FINISHED",
            started=milliseconds(time.time() - seconds) or ended,
            ended=ended,
        )
        self._writing(lambda study: study.write([record]))

    def end(self, metrics: Mapping[str, float], files: Iterable[Path]) -> None:
        """Write what came out, and copy files."""
        self._writing(lambda study: study.log(metrics))
        self._writing(lambda study: study.log_files(files))
        self._writing(lambda study: study.end())

    def interrupted(self) -> None:
        """Record that the run was interrupted."""
        self._writing(lambda study: study.end("KILLED"))

    def _writing(self, work: Callable[[StudyRun], None]) -> None:
        """Do a piece of the writing; nothing is tried where the database could not be opened."""
        study = self._study
        if study is not None:
            self._noting_errors(lambda: work(study))

    def _noting_errors(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # records are of less worth than the run, which is whole in its folder
            self._error = self._error or error
