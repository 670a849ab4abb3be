"""A finish in MLflow, as a kind of run of its own, whose errors never end the finish."""

from __future__ import annotations

import time
from collections.abc import Iterable

from nas.finishing.bench import FinishTrial
from nas.records.study_records import StudyRecords
from nas.records.values import Record, milliseconds, mlflow_text, values_of


class FinishRecords(StudyRecords):
    """Writes trainings as they end, and what was found."""

    experiment = "finish"

    def write(self, trials: Iterable[FinishTrial]) -> None:
        """Write those of some trials that are not written yet."""
        records = [_record(trial) for trial in trials]
        self.writing(lambda study: study.write(records))

    def recommend(self, recommended: str) -> None:
        """Write what is recommended."""
        self.writing(lambda study: study.set_tag("recommended", recommended))


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
