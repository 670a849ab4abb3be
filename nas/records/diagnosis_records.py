"""A diagnosis of networks in MLflow, whose errors never end it."""

from __future__ import annotations

import time
from collections.abc import Mapping

from nas.records.study_records import StudyRecords
from nas.records.values import Record, milliseconds, values_of


class DiagnosisRecords(StudyRecords):
    """Writes a run for each network, with the numbers that sum it up."""

    experiment = "diagnosis"
    parts = "networks"

    def write(self, name: str, params: Mapping[str, object], metrics: Mapping[str, float]) -> None:
        """Write what was measured of a network; again does nothing.

        Args:
            name: of the network, which it is known by.
            params: what it is.
            metrics: what was measured.
        """
        ended = milliseconds(time.time())
        record = Record(
            key=name,
            name=name,
            tags={"state": "completed"},
            values=values_of(params, metrics, (), ended),
            status="FINISHED",
            started=ended,
            ended=ended,
        )
        self.writing(lambda study: study.write([record]))
