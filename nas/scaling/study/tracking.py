"""A scaling study's records in MLflow, whose errors never end the study."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from nas.records.store import database_uri, open_store, places
from nas.records.study_run import StudyRun
from nas.records.values import Record, milliseconds, mlflow_text, values_of
from nas.scaling.study.training_runs import Run

EXPERIMENT = "scaling"


class StudyRecords:
    """Writes training runs as they end, forecasts, and the results of the study; keeps the first error."""

    def __init__(self, root: Path, study_id: str, name: str, settings: Mapping[str, Any]) -> None:
        """Open the database; `error` says why it cannot be opened.

        Args:
            root: the folder of the database.
            study_id: of the study; a resumed study has the same.
            name: of the study, for people.
            settings: of the study.
        """
        self.error: Exception | None = None
        self._root = root
        self._study: StudyRun | None = None
        self._noting_errors(lambda: self._open(study_id, name, settings))

    def _open(self, study_id: str, name: str, settings: Mapping[str, Any]) -> None:
        self._study = StudyRun(open_store(self._root), EXPERIMENT, study_id, name=name, settings=settings)

    @property
    def uri(self) -> str:
        """The address of the database, for `mlflow ui`."""
        return database_uri(places(self._root)[0])

    @property
    def trouble(self) -> str:
        """What is not in MLflow, in words; empty where all is."""
        if self.error is not None:
            return f"MLflow was not written: {type(self.error).__name__}: {self.error}"
        if self._study is not None and self._study.lacking:
            key, reason = next(iter(self._study.lacking.items()))
            return f"MLflow lacks {len(self._study.lacking)} training runs: {key}: {reason}"
        return ""

    def write_runs(self, runs: Iterable[Run]) -> None:
        """Write those of some training runs that are not written yet."""
        self._writing(lambda study: study.write([_record(run) for run in runs]))

    def write_forecast(self, digest: str, path: Path) -> None:
        """Write a forecast before its network is trained.

        Args:
            digest: its SHA-256.
            path: its file.
        """
        self._writing(lambda study: study.set_tag("forecast_sha256", digest))
        self._writing(lambda study: study.log_json("forecast.json", json.loads(path.read_text())))

    def end(self, metrics: Mapping[str, float], files: Iterable[Path]) -> None:
        """Write the results of the study and copy its files."""
        self._writing(lambda study: study.log(metrics))
        self._writing(lambda study: study.log_files(files))
        self._writing(lambda study: study.end())

    def interrupted(self) -> None:
        """Record that the study was interrupted."""
        self._writing(lambda study: study.end("KILLED"))

    def _writing(self, work: Callable[[StudyRun], None]) -> None:
        """Do a piece of the writing; nothing is tried where the database could not be opened."""
        study = self._study
        if study is not None:
            self._noting_errors(lambda: work(study))

    def _noting_errors(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # records are of less worth than the study, which is whole in its folder
            self.error = self.error or error


def _record(run: Run) -> Record:
    now = milliseconds(time.time())
    metrics = {**run.scores, "params": float(run.params), "macs": float(run.macs), "seconds": run.seconds}
    tags = {"state": "failed" if run.reason else "completed"}
    if run.reason:
        tags["reason"] = mlflow_text(run.reason)
    return Record(
        key=run.key,
        name=mlflow_text(f"{run.macs} MACs, run {run.replicate}"),
        tags=tags,
        values=values_of(
            {name: getattr(run, name) for name in ("arch_id", "lr", "epochs", "replicate", "seed")}, metrics, (), now
        ),
        status="FAILED" if run.reason else "FINISHED",
        started=milliseconds(time.time() - run.seconds) or now,
        ended=now,
    )
