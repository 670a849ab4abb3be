"""The trainings of one network in MLflow, whose errors never end a training."""

from __future__ import annotations

import time

from nas.evaluation import Evaluation, fold_deviation
from nas.records.study_records import StudyRecords
from nas.records.values import Record, milliseconds, values_of


class TrainingRecords(StudyRecords):
    """Writes the training with each seed as it ends, and what came out."""

    experiment = "training"

    def write(self, seed: int, evaluation: Evaluation) -> None:
        """Write the training with a seed, with its curves; again does nothing."""
        ended = milliseconds(time.time())
        seconds = float(evaluation.seconds.get("evaluation", 0.0))
        deviations = {name: fold_deviation(evaluation.folds, name) for name in evaluation.scores if evaluation.folds}
        metrics = {**evaluation.scores, "seconds": seconds}
        metrics |= {f"{name}_sd_of_folds": value for name, value in deviations.items() if value is not None}
        record = Record(
            key=str(seed),
            name=f"seed {seed}",
            tags={"state": "completed"},
            values=values_of({"seed": seed}, metrics, evaluation.history, ended),
            status="FINISHED",
            started=milliseconds(time.time() - seconds) or ended,
            ended=ended,
        )
        self.writing(lambda study: study.write([record]))
