"""A study in MLflow, of any kind: a run for the study, and under it one for each of its trials or training runs.

Repeating a write makes no second run, so that a study that is gone on with writes what is missing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.records.server import ServerAwayError, told
from nas.records.store import Store, experiment_id, find_runs, flat, log_values
from nas.records.values import GOES_ON, Record, Values, milliseconds, mlflow_name, mlflow_text, values_of
from nas.records.view import STUDY_ITSELF, STUDY_TAG, TRIAL_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_MOST_FAILURES = 10
"""Runs in a row that cannot be written, after which the database is taken for broken."""
DESCRIPTION = "mlflow.note.content"
"""MLflow's tag for a text in Markdown."""
_UNENDED = ("RUNNING", GOES_ON)


@dataclass(frozen=True, slots=True)
class ChildRun:
    """A run that the database has."""

    run_id: str
    status: str
    """MLflow's: RUNNING where it was cut off while it was written."""
    tags: Mapping[str, str]


class StudyRun:
    """The runs of one study."""

    def __init__(
        self,
        store: Store,
        experiment: str,
        study_id: str,
        *,
        name: str,
        settings: Mapping[str, Any],
        files: Mapping[str, Any] | None = None,
    ) -> None:
        """Find the run that stands for the study, or make it.

        Args:
            store: the open database.
            experiment: name of the experiment, which is made where there is none.
            study_id: what the study is known by, wherever it is gone on with.
            name: of the study, for people.
            settings: of the study, nested or flat.
            files: JSON files by name.
        """
        self._store, self._client = store, store.client
        self.study_id = study_id
        self.experiment = experiment_id(self._client, mlflow_text(experiment), store.artifacts)
        """Its id."""
        self.children: dict[str, ChildRun] = {}
        """What is in the database, by key."""
        earlier = self.read_children()
        self.lacking: dict[str, str] = {}
        """Why those that could not be written are not there, by key."""
        self._failures = 0
        """In a row."""
        self._ended: int | None = None
        """When it ended, in milliseconds since 1970, as long as nothing is written that came later."""
        if earlier is not None:
            self._ended = earlier.info.end_time if earlier.info.status not in _UNENDED else None
            self._client.update_run(str(earlier.info.run_id), status="RUNNING")
        else:
            tags = {STUDY_TAG: study_id, TRIAL_TAG: STUDY_ITSELF, "state": "study"}
            earlier = self._client.create_run(self.experiment, tags=tags, run_name=mlflow_text(name))
        self.run_id = str(earlier.info.run_id)
        self._write_lacking(earlier, settings, files or {})

    def _write_lacking(self, own: Run, settings: Mapping[str, Any], files: Mapping[str, Any]) -> None:
        """Write the settings and files that the study's own run has not: its making may have been cut off."""
        values = values_of(flat(settings), {})
        params = [param for param in values.params if param.key not in own.data.params]
        log_values(self._client, self.run_id, replace(values, params=params))
        written = {file.path for file in self._client.list_artifacts(self.run_id)} if files else set()
        for name, content in files.items():
            if name not in written:
                self.log_json(name, content)

    def read_children(self) -> Run | None:
        """Read what the database has of the study; returns the study's own run.

        A server that was away may have made a run whose answer did not come.
        """
        known = find_runs(self._client, self.experiment, f"tags.`{STUDY_TAG}` = '{self.study_id}'")
        runs = {run.data.tags[TRIAL_TAG]: run for run in known}
        own = runs.pop(STUDY_ITSELF, None)
        self.children = {
            key: ChildRun(str(run.info.run_id), str(run.info.status), run.data.tags) for key, run in runs.items()
        }
        return own

    @property
    def client(self) -> MlflowClient:
        """Of the store."""
        return self._client

    # The study's own run

    def log(self, metrics: Mapping[str, Any], curve: Sequence[Mapping[str, Any]] = ()) -> None:
        """Write results of the study, and a curve: a row of values for each `epoch`."""
        log_values(self._client, self.run_id, values_of({}, metrics, curve, milliseconds(time.time()), prefix=""))

    def log_points(self, name: str, points: Iterable[tuple[int, float, float]]) -> None:
        """Write points of one metric: step, value, and when it was reached, in seconds since 1970."""
        from mlflow.entities import Metric

        metrics = [Metric(mlflow_name(name), value, milliseconds(reached), step) for step, value, reached in points]
        if metrics:
            self._client.log_batch(self.run_id, metrics=metrics)

    def set_tag(self, name: str, value: object) -> None:
        """Write a tag."""
        self._client.set_tag(self.run_id, name, mlflow_text(str(value)))

    def log_json(self, name: str, content: Any) -> None:
        """Write an artifact of plain values."""
        self._client.log_dict(self.run_id, content, name)

    def log_text(self, name: str, content: str) -> None:
        """Write an artifact of text."""
        self._client.log_text(self.run_id, content, name)

    def describe(self, markdown: str) -> None:
        """Write what MLflow's page of the study says in words."""
        self._client.set_tag(self.run_id, DESCRIPTION, mlflow_text(markdown))

    def log_files(self, files: Iterable[Path]) -> None:
        """Copy files to the artifacts."""
        for file in files:
            self._client.log_artifact(self.run_id, str(file))

    def end(self, status: str = "FINISHED") -> None:
        """Say how the study ended: MLflow's FINISHED or FAILED, or `GOES_ON`."""
        self._client.set_terminated(self.run_id, status=status, end_time=self._ended)

    # The runs under it

    def has_ended(self, key: str) -> bool:
        """Whether the database has a run as it was at its end."""
        return key in self.children and self.children[key].status not in _UNENDED

    def write(self, records: Sequence[Record]) -> None:
        """Write runs, new ones in one transaction; where that fails each alone, so that none stops another.

        One that was cut off is completed, one that failed and was done again written again, others left as they are.

        Raises:
            ServerAwayError: the server does not answer; what was to be written can be written again.
            Exception: of MLflow, when none of many can be written any more; `lacking` has the reason of each.
        """
        waiting = [record for record in records if not self._is_written(record)]
        self._ended = None if waiting else self._ended
        new = [self._tagged(record) for record in waiting if record.key not in self.children]
        try:
            batches = self._store.batches
            ids = batches.write(self.experiment, new) if new and batches is not None else []
        except Exception:  # whatever it is, one of them has it, and the others do not
            ids = []
        if ids:
            self._failures = 0
            self.children |= {
                record.key: ChildRun(run_id, record.status, record.tags)
                for record, run_id in zip(new, ids, strict=True)
            }
        for record in waiting:
            if not self._is_written(record):
                self._write_alone(self._tagged(record))

    def lack(self, key: str, error: Exception) -> None:
        """Note a run that cannot be written.

        Raises:
            Exception: `error`, when none of many can be written any more.
        """
        self.lacking[key] = mlflow_text(told(error), 500)
        self._failures += 1
        if self._failures >= _MOST_FAILURES:
            raise error

    def tag_child(self, key: str, name: str, value: str | None) -> None:
        """Give a run a tag, or take it away."""
        child = self.children[key]
        if value is not None:
            self._client.set_tag(child.run_id, name, value)
        elif name in child.tags:
            self._client.delete_tag(child.run_id, name)

    def _is_written(self, record: Record) -> bool:
        known = self.children.get(record.key)
        return known is not None and known.status not in _UNENDED and known.status in ("FINISHED", record.status)

    def _tagged(self, record: Record) -> Record:
        """Return a record with the tags that say whose run it is."""
        whose = {"mlflow.parentRunId": self.run_id, STUDY_TAG: self.study_id, TRIAL_TAG: record.key}
        return replace(record, tags={**whose, **record.tags})

    def _write_alone(self, record: Record) -> None:
        """Write one run with calls of its own, or bring one that is there to its end."""
        try:
            known = self.children.get(record.key)
            run_id = known.run_id if known is not None else self._create(record)
            self.children.setdefault(record.key, ChildRun(run_id, "RUNNING", record.tags))
            values = record.values
            if known is not None:
                self._bring_tags(known, record)
                values = self._lacking(run_id, values)
            log_values(self._client, run_id, values)
            self._client.set_terminated(run_id, status=record.status, end_time=record.ended)
        except Exception as error:  # the others can be written; the study is worth more than any
            if self._store.is_away(error, of_record=True):
                raise ServerAwayError(told(error)) from error
            self.lack(record.key, error)
        else:
            self.children[record.key] = ChildRun(run_id, record.status, record.tags)
            self.lacking.pop(record.key, None)
            self._failures = 0

    def _lacking(self, run_id: str, values: Values) -> Values:
        """Return what a run has not: parameters can be written once, and a point of a curve that comes again is two."""
        written = self._client.get_run(run_id).data
        params = [param for param in values.params if param.key not in written.params]
        curves = {metric.key for metric in values.metrics if metric.step and metric.key in written.metrics}
        points = {(key, point.step) for key in curves for point in self._client.get_metric_history(run_id, key)}
        return replace(values, params=params, metrics=[m for m in values.metrics if (m.key, m.step) not in points])

    def _create(self, record: Record) -> str:
        run = self._client.create_run(
            self.experiment, start_time=record.started, tags=dict(record.tags), run_name=record.name
        )
        return str(run.info.run_id)

    def _bring_tags(self, known: ChildRun, record: Record) -> None:
        for name, value in record.tags.items():
            if known.tags.get(name) != value:
                self._client.set_tag(known.run_id, name, value)
        if "reason" in known.tags and "reason" not in record.tags:  # it failed once, and does not any more
            self._client.delete_tag(known.run_id, "reason")
