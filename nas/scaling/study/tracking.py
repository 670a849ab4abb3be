"""A scaling study's records in MLflow, whose errors never end the study."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path

from nas.records.study_records import StudyRecords
from nas.records.values import Record, milliseconds, mlflow_text, values_of
from nas.scaling.study.training_runs import Run


class ScalingRecords(StudyRecords):
    """Writes training runs as they end, forecasts, and the results of the study."""

    experiment = "scaling"
    parts = "training runs"

    def write_runs(self, runs: Iterable[Run]) -> None:
        """Write those of some training runs that are not written yet."""
        self.writing(lambda study: study.write([_record(run) for run in runs]))

    def write_forecast(self, digest: str, path: Path) -> None:
        """Write a forecast before its network is trained.

        Args:
            digest: its SHA-256.
            path: its file.
        """
        self.writing(lambda study: study.set_tag("forecast_sha256", digest))
        self.writing(lambda study: study.log_json("forecast.json", json.loads(path.read_text())))


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
