"""A scaling study's records in MLflow, whose errors never end the study."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from nas.records.scaling import ScalingRecords, TrainingRecord
from nas.scaling.study.training_runs import Run


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
        self._store: ScalingRecords | None = None
        self._try(lambda: self._open(root, study_id, name, settings))

    def _open(self, root: Path, study_id: str, name: str, settings: Mapping[str, Any]) -> None:
        self._store = ScalingRecords(root, study_id, name, settings)

    @property
    def store(self) -> ScalingRecords:
        """The open database."""
        assert self._store is not None
        return self._store

    @property
    def uri(self) -> str:
        """The address of the database, for `mlflow ui`."""
        return self.store.uri

    def write_runs(self, runs: Iterable[Run]) -> None:
        """Write those of some training runs that are not written yet."""
        self._try(lambda: self.store.write(map(_record, list(runs))))

    def write_forecast(self, digest: str, path: Path) -> None:
        """Write a forecast before its network is trained.

        Args:
            digest: its SHA-256.
            path: its file.
        """
        self._try(lambda: self.store.freeze(digest, json.loads(path.read_text())))

    def end(self, metrics: Mapping[str, float], files: Iterable[Path]) -> None:
        """Write the results of the study and copy its files."""
        self._try(lambda: self.store.end(metrics, files))

    def interrupted(self) -> None:
        """Record that the study was interrupted."""
        if self._store is not None:
            self._try(self._store.interrupted)

    def _try(self, work: Callable[[], None]) -> None:
        """Do a piece of the writing and keep its error; nothing is tried where the database could not be opened."""
        if self.error is None or self._store is not None:
            try:
                work()
            except Exception as error:  # records are of less worth than the study, which is whole in its folder
                self.error = self.error or error


def _record(run: Run) -> TrainingRecord:
    return TrainingRecord(
        key=run.key,
        name=f"{run.macs} MACs, run {run.replicate}",
        params={name: getattr(run, name) for name in ("arch_id", "lr", "epochs", "replicate", "seed")},
        metrics={**run.scores, "params": float(run.params), "macs": float(run.macs), "seconds": run.seconds},
        failed=bool(run.reason),
        reason=run.reason,
        seconds=run.seconds,
    )
