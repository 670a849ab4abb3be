"""A finish in MLflow, as a kind of run of its own, whose errors never end the finish.

Its trainings are written as they end; what came of it is written from its folder, by the finish and by `nas records`
alike, so that both give the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from nas.finishing.bench import FinishTrial, Measure
from nas.finishing.config import check_register
from nas.finishing.folder import RECOMMENDED, REPORT_JSON, REPORT_MD, recorded_settings
from nas.finishing.history import line_from
from nas.finishing.models import ReportedModel, models_of
from nas.finishing.pool_bench import TRIALS
from nas.line_log import LineLog
from nas.records.study_records import StudyRecords
from nas.records.study_run import StudyRun
from nas.records.values import Record, milliseconds, mlflow_text, values_of
from nas.run_folder import FINISH, read_inside, read_json, shown
from nas.search.study import Study
from nas.to_type import to_type

_FILES = (REPORT_JSON, REPORT_MD, RECOMMENDED)
"""That are copied to MLflow."""


class FinishRecords(StudyRecords):
    """Writes trainings as they end, and what was found."""

    experiment = "finish"

    def __init__(self, home: Path, study: Study, settings: Mapping[str, Any], server: str | None) -> None:
        """Open the database; `trouble` says why it cannot be opened.

        Args:
            home: folder of the finish, in that of its search.
            study: of the search.
            settings: of the finish.
            server: address of an MLflow server that takes the place of the database.
        """
        self._home, self._search = home, study
        settings = {**settings, "search_study_id": study.study_id}
        root, known_by = home.parent.parent, f"{study.study_id}-{FINISH}"
        again = to_type("records", shown(home.parent))
        super().__init__(root, home, known_by, study.name, settings, server=server, again=again)
        self.registered = ""
        """The version of the registered model, in words; empty where none was asked for, or made."""

    def write(self, trials: Iterable[FinishTrial]) -> None:
        """Write those of some trials that are not written yet."""
        records = [_record(trial) for trial in trials]
        self.writing(lambda study: study.write(records))

    def report(self, register: str | None) -> None:
        """Write what the report in the folder says, its files and its networks.

        Args:
            register: name of the registered model of which what is recommended becomes a version; None: none.
        """
        try:
            pieces, metrics, files = self._pieces(register)
        except Exception as error:  # what is in the folder was changed; the finish itself is whole
            self.error = self.error or error
            return
        for piece in pieces:
            self.writing(piece)
        self.end(metrics, files)

    def _pieces(self, register: str | None) -> tuple[list[Callable[[StudyRun], None]], dict[str, float], list[Path]]:
        """Return what is written of the report: its words and networks, its metrics, and its files."""
        home = self._home
        report = read_json(home / REPORT_JSON, "the report of a finish", dict)
        text = read_inside(home / REPORT_MD).decode(errors="replace")
        recommended = report["recommended"] or "winner, not compared yet"
        description = _described(text, str(report["sentence"]))
        pieces: list[Callable[[StudyRun], None]] = [
            lambda study: study.set_tag("recommended", recommended),
            lambda study: study.describe(description),
        ]
        models = models_of(home, report, self._search)
        pieces += [partial(self._write_model, model=model, register=register) for model in models]
        return pieces, _metrics(report), [home / name for name in _FILES if (home / name).is_file()]

    def _write_model(self, study: StudyRun, model: ReportedModel, register: str | None) -> None:
        """Write a network; what goes wrong with one does not keep the others."""
        from nas.records.models import register_model, write_model  # load MLflow

        written = write_model(study, model.record())
        if register is not None and model.recommended:
            tags = {"run": self._search.name, "network": model.network}
            version = register_model(study, written, register, tags)
            self.registered = f"Registered: {register}, version {version}"

    @property
    def browse(self) -> str:
        """How to look at it in MLflow, or what is not there, and what was registered."""
        return "\n".join(filter(None, (self.registered, super().browse)))


def record_finish(home: Path, study: Study, server: str | None) -> FinishRecords:
    """Write what MLflow lacks of a finish from its folder; again writes nothing twice.

    Args:
        home: the folder, in that of the search, held by the caller.
        study: of the search.
        server: address of an MLflow server that takes the place of the database.

    Raises:
        ConfigError: settings or log of the finish cannot be read.
    """
    settings = recorded_settings(home)
    register = settings.get("register")
    check_register(register)
    records = FinishRecords(home, study, settings, server)
    lines = LineLog(home / TRIALS).read("a trial of a finish", line_from)
    records.write({line.key: line for line in lines if isinstance(line, FinishTrial)}.values())
    if (home / REPORT_JSON).is_file():
        records.report(register)
    else:
        records.interrupted()
    return records


def _described(text: str, sentence: str) -> str:
    """Return the beginning of a report, what is recommended first: MLflow's page shows a few lines until asked."""
    from nas.records.description import as_text

    figures = text.partition("\n## How the winner was chosen")[0].partition("\n")[2]
    # It may hold why trainings failed, which is a text of others.
    return f"**{as_text(sentence)}.**\n\n{figures.replace(f'**{sentence}.**', '', 1).strip()}"


def _metrics(report: Mapping[str, Any]) -> dict[str, float]:
    """Return what MLflow keeps of a report: intervals of what is reported, and of the differences."""
    values = {"search_minus_final": report["search_minus_final"]}
    measure = Measure(report["measure"])
    for kind, final in report["final"].items():
        for name, found in ((measure.name, final["val"]), (measure.on_test.name, final["test"])):
            values |= {f"{kind}/{name}": found["mean"], f"{kind}/{name}_std": found["std"]}
    for kind, comparison in report["comparisons"].items():
        found = comparison["test"]
        values[f"winner_minus_{kind}"] = found["mean"]
        values |= {f"winner_minus_{kind}_{end}": found[end] for end in ("low", "high")}
    return {name: value for name, value in values.items() if value is not None}


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
