"""What is written to MLflow of a trial: its name, tags, parameters, metrics and curves."""

from __future__ import annotations

import math
from typing import Any

from nas.records.values import GOES_ON, Record, milliseconds, mlflow_text, values_of
from nas.search.study import Study
from nas.search.trial import State, Trial

_RUN_STATUS = {
    State.COMPLETED: "FINISHED",
    State.OVER_LIMIT: "FINISHED",
    State.PRUNED: "FINISHED",
    State.DUPLICATE: "FINISHED",
    State.REJECTED: "FINISHED",
    State.PAUSED: GOES_ON,
    State.FAILED: "FAILED",
}


def record_of(study: Study, trial: Trial) -> Record:
    """Return what is written of a trial."""
    ended = milliseconds(trial.finished)
    spent = trial.seconds.get("evaluation", 0.0)
    params = {**trial.decisions, "arch_id": trial.arch_id, "seed": trial.seed}
    return Record(
        key=str(trial.number),
        name=f"trial {trial.number:04d}",
        tags=_trial_tags(study, trial),
        values=values_of(params, _metrics(trial), trial.history, ended),
        status=_RUN_STATUS[trial.state],
        started=milliseconds(trial.finished - spent) or ended,
        ended=ended,
    )


def front_tag(study: Study, trial: Trial, knee: Trial | None) -> str:
    """Return the tag of a trial on the Pareto front: whether it is the knee, and its rung where there are several."""
    rung = study.rung_text(trial)
    return ("knee" if trial is knee else "yes") + (f", rung {rung}" if rung else "")


def _trial_tags(study: Study, trial: Trial) -> dict[str, str]:
    tags = {"state": trial.state.value, "study": mlflow_text(study.name)}
    if trial.reason:
        tags["reason"] = mlflow_text(trial.reason)
    if trial.latency is not None:
        tags["runtime"] = mlflow_text(str(trial.latency.deployment))
        tags["device"] = mlflow_text(trial.latency.device.hardware)
    if trial.int8_latency is not None:
        tags["int8_runtime"] = mlflow_text(str(trial.int8_latency.deployment))
        tags["int8_device"] = mlflow_text(trial.int8_latency.device.hardware)
    if trial.design:
        tags["design"] = mlflow_text(trial.design)
    if trial.duplicate_of is not None:
        tags["duplicate_of"] = str(trial.duplicate_of)
    if trial.rerun_of is not None:
        tags["rerun_of"] = str(trial.rerun_of)
    if trial.inherited_from is not None:
        tags["inherited_from"] = str(trial.inherited_from)
    return tags


def _metrics(trial: Trial) -> dict[str, Any]:
    metrics: dict[str, Any] = dict(trial.scores)
    if trial.cost is not None:
        metrics |= {name: v for name, v in trial.cost.to_dict().items() if isinstance(v, int | float)}
    deviations = {f"{name}_sd_of_folds": trial.deviation(name) for name in trial.scores if trial.folds}
    metrics |= {name: value for name, value in deviations.items() if value is not None}
    if trial.inherited_share is not None:
        metrics["inherited_share"] = trial.inherited_share
    # What is limited, as the limits have it.
    metrics |= {violation.metric: violation.value for violation in trial.violations if math.isfinite(violation.value)}
    for name, latency in (("latency", trial.latency), ("int8_latency", trial.int8_latency)):
        if latency is not None:
            figures = {"ms": latency.ms, "median_ms": latency.median_ms, "p95_ms": latency.p95_ms, "cv": latency.cv}
            metrics |= {f"{name}_{figure}": value for figure, value in figures.items()}
    return metrics | {f"seconds/{name}": value for name, value in trial.seconds.items()}
