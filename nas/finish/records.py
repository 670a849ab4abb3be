"""A finish in MLflow, as a kind of run of its own, whose errors never end the finish."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from nas.finish.bench import FinishTrial
from nas.records.store import database_uri, open_store, places
from nas.records.study_run import StudyRun
from nas.records.values import Record, milliseconds, mlflow_text, values_of

EXPERIMENT = "finish"


class FinishRecords:
    """Writes trainings as they end, and what was found; keeps the first error."""

    def __init__(self, root: Path, study_id: str, name: str, settings: Mapping[str, Any]) -> None:
        """Open the database; `trouble` says why it cannot be opened.

        Args:
            root: the folder of the database.
            study_id: of the search.
            name: of its run folder, for people.
            settings: of the finish.
        """
        self._error: Exception | None = None
        self._root = root
        self._study: StudyRun | None = None
        self._noting_errors(lambda: self._open(f"{study_id}-finish", name, {**settings, "search_study_id": study_id}))

    def _open(self, study_id: str, name: str, settings: Mapping[str, Any]) -> None:
        self._study = StudyRun(open_store(self._root), EXPERIMENT, study_id, name=name, settings=settings)

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

    def write(self, trials: Iterable[FinishTrial]) -> None:
        """Write those of some trials that are not written yet."""
        records = [_record(trial) for trial in trials]
        self._writing(lambda study: study.write(records))

    def end(self, metrics: Mapping[str, float], files: Iterable[Path], recommended: str) -> None:
        """Write what was found and copy its files."""
        self._writing(lambda study: study.log(metrics))
        self._writing(lambda study: study.set_tag("recommended", recommended))
        self._writing(lambda study: study.log_files(files))
        self._writing(lambda study: study.end())

    def interrupted(self) -> None:
        """Record that the finish was interrupted."""
        self._writing(lambda study: study.end("KILLED"))

    def _writing(self, work: Callable[[StudyRun], None]) -> None:
        """Do a piece of the writing; nothing is tried where the database could not be opened."""
        study = self._study
        if study is not None:
            self._noting_errors(lambda: work(study))

    def _noting_errors(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # records are of less worth than the finish, which is whole in its folder
            self._error = self._error or error


def _record(trial: FinishTrial) -> Record:
    now = milliseconds(time.time())
    metrics = {**trial.scores, "params": float(trial.params), "macs": float(trial.macs), "seconds": trial.seconds}
    tags = {"state": "failed" if trial.reason else "completed", "phase": trial.phase}
    if trial.reason:
        tags["reason"] = mlflow_text(trial.reason)
    params = {name: getattr(trial, name) for name in ("phase", "arch_id", "lr", "epochs", "seed")}
    return Record(
        key=trial.key,
        name=mlflow_text(f"{trial.phase}: {trial.name}"),
        tags=tags,
        values=values_of({**params, "network": trial.name}, metrics, (), now),
        status="FAILED" if trial.reason else "FINISHED",
        started=milliseconds(time.time() - trial.seconds) or now,
        ended=now,
    )
