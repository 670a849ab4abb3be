"""Writes a scaling study to MLflow: a parent run, and a child for each training run. Repeating a write adds nothing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nas.records.store import database_uri, experiment_id, find_runs, flat, log_values, open_client, places
from nas.records.values import milliseconds, mlflow_text, values_of
from nas.records.view import STUDY_ITSELF, STUDY_TAG, TRIAL_TAG

EXPERIMENT = "scaling"
_DONE, _FAILED = "FINISHED", "FAILED"


@dataclass(frozen=True)
class TrainingRecord:
    """One training run, as it is written."""

    name: str
    """For people."""
    key: str
    """What it is known by within the study."""
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    failed: bool
    reason: str
    seconds: float


class ScalingRecords:
    """The record of one study."""

    def __init__(self, root: Path, study_id: str, name: str, settings: Mapping[str, Any]) -> None:
        """Open the database, and find or make the run that stands for the study.

        Args:
            root: folder of `mlflow.db` and of the artifacts.
            study_id: what the study is known by, wherever it is gone on with.
            name: of the run.
            settings: of the study.
        """
        database, artifacts = places(root)
        self.uri = database_uri(database)
        self._client, self._study = open_client(database), study_id
        self._experiment = experiment_id(self._client, EXPERIMENT, artifacts)
        known = find_runs(self._client, self._experiment, f"tags.`{STUDY_TAG}` = '{study_id}'")
        runs = {run.data.tags[TRIAL_TAG]: run for run in known}
        if STUDY_ITSELF not in runs:
            tags = {STUDY_TAG: study_id, TRIAL_TAG: STUDY_ITSELF, "state": "study"}
            self._run = str(self._client.create_run(self._experiment, tags=tags, run_name=name).info.run_id)
            log_values(self._client, self._run, values_of(flat(settings), {}))
        else:
            self._run = str(runs[STUDY_ITSELF].info.run_id)
        self._known = {key: (str(run.info.run_id), str(run.info.status)) for key, run in runs.items()}

    def write(self, records: Iterable[TrainingRecord]) -> None:
        """Write the training runs that are not written yet; one that failed and was done again is written again.

        Raises:
            Exception: the first of MLflow's, when all the others are written.
        """
        errors = []
        for record in records:
            known, status = self._known.get(record.key, ("", ""))
            if status != _DONE and not (status == _FAILED and record.failed):
                try:
                    self._write(record, known, status)
                except Exception as error:  # one run does not stop the records of another
                    errors.append(error)
        if errors:
            raise errors[0]

    def _write(self, record: TrainingRecord, known: str, status: str) -> None:
        now = milliseconds(time.time())
        tags = {
            "mlflow.parentRunId": self._run,
            STUDY_TAG: self._study,
            TRIAL_TAG: record.key,
            "state": "failed" if record.failed else "completed",
            **({"reason": mlflow_text(record.reason)} if record.reason else {}),
        }
        run_id = known or str(
            self._client.create_run(
                self._experiment,
                start_time=milliseconds(time.time() - record.seconds) or now,
                tags=tags,
                run_name=mlflow_text(record.name),
            ).info.run_id
        )
        values = values_of(record.params, record.metrics, timestamp=now)
        if known:  # what was written before it was cut off, or failed, stays
            written = self._client.get_run(known).data.params
            values = replace(values, params=[param for param in values.params if param.key not in written])
        log_values(self._client, run_id, values)
        if status == _FAILED:
            self._client.set_tag(run_id, "state", tags["state"])
            self._client.delete_tag(run_id, "reason")
        status = _FAILED if record.failed else _DONE
        self._client.set_terminated(run_id, status=status, end_time=now)
        self._known[record.key] = run_id, status

    def freeze(self, digest: str, forecast: Mapping[str, Any]) -> None:
        """Write a forecast, before the network that it is about is trained."""
        self._client.set_tag(self._run, "forecast_sha256", digest)
        self._client.log_dict(self._run, dict(forecast), "forecast.json")

    def interrupted(self) -> None:
        """Mark the study as one that was not brought to its end."""
        self._client.set_terminated(self._run, status="KILLED")

    def end(self, metrics: Mapping[str, float], files: Iterable[Path]) -> None:
        """Write what the study found, and its files."""
        log_values(self._client, self._run, values_of({}, metrics, timestamp=milliseconds(time.time())))
        for file in files:
            self._client.log_artifact(self._run, str(file))
        self._client.set_terminated(self._run)
