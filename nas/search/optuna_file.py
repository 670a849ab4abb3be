"""A study as a file that Optuna and its dashboard open."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from math import isfinite
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import FrozenTrial, TrialState

from nas.cost import value_of
from nas.errors import ConfigError
from nas.run_folder import understood, write_whole
from nas.search.optuna_study import directions_of, distributions_of, optuna_result
from nas.search.study import Study
from nas.search.trial import State, Trial

_CONSTRAINTS = "constraints"
"""The system attribute in which Optuna 3 and 4 and the dashboard have them, a list; Optuna 5 reads it too."""


ENDINGS = (".journal", ".log")
"""What the name of the file may end with."""


class _Lines(BaseJournalBackend):
    """Keeps what Optuna's file of the same kind appends line by line, waiting for the disk each time."""

    def __init__(self) -> None:
        self.logs: list[dict[str, Any]] = []

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        """Return what came from a number on."""
        return self.logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Keep what came."""
        self.logs += logs

    def text(self) -> str:
        """Return the lines of a `JournalFileBackend`."""
        return "".join(f"{json.dumps(log, separators=(',', ':'))}\n" for log in self.logs)


def write_optuna(study: Study, path: Path) -> None:
    """Write a study as a journal of Optuna's: all trials by number, with values, curves, constraints and costs.

    Rejected trials are pruned, and break a constraint; so are those that wait for more budget, which break none.
    A trial's network, costs, other scores, state and reason are its user attributes.
    `optuna.storages.JournalStorage(JournalFileBackend(FILE))` reads it, and so does `optuna-dashboard FILE`.

    Args:
        study: with trials that have ended.
        path: of the file, which must not be there; ends with `.journal` or `.log`.

    Raises:
        ConfigError: the file is there, ends with something else, or cannot be written; or a trial of a record that was
            edited is none of its space.
    """
    if path.suffix not in ENDINGS:
        raise ConfigError(f"Optuna's journal must end with {' or '.join(ENDINGS)}, but got {path.name!r}")
    if path.exists() or path.is_symlink():
        raise ConfigError(f"{path} is there already; name another file, or remove it")
    lines = _Lines()
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with understood("a trial of the study in", study.folder or Path(study.name)):
            _write(study, JournalStorage(lines))
    finally:
        optuna.logging.set_verbosity(level)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lines.text())
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None


def _write(study: Study, storage: BaseStorage) -> None:
    written = optuna.create_study(storage=storage, study_name=study.name, directions=directions_of(study))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # it has been one since Optuna 3.2
        written.set_metric_names([objective.name for objective in study.objectives])
    written.set_user_attr("nas.study_id", study.study_id)
    written.add_trials(trials_of(study))


def trials_of(study: Study) -> Iterator[FrozenTrial]:
    """Yield the trials of a study as Optuna has them, by number; see `write_optuna`."""
    for trial in sorted(study.trials, key=lambda one: one.number):
        state, values, constraints = optuna_result(trial, study)
        if trial.state in (State.PAUSED, State.INTERRUPTED):
            state, values = TrialState.PRUNED if trial.steps else TrialState.FAIL, None
        frozen = optuna.trial.create_trial(
            state=state,
            values=values,
            params=trial.decisions,
            distributions=distributions_of(trial, study),
            # Optuna has these of one objective alone.
            intermediate_values={step: at[0] for step, at in trial.steps} if len(study.objectives) == 1 else {},
            user_attrs=_attributes(trial, study, constraints),
            system_attrs={_CONSTRAINTS: list(constraints.values())} if constraints else {},
        )
        if trial.finished:
            spent = trial.seconds.get("evaluation", 0.0)
            frozen.datetime_complete = datetime.fromtimestamp(trial.finished)
            frozen.datetime_start = frozen.datetime_complete - timedelta(
                seconds=spent if 0 <= spent <= trial.finished else 0  # of a record that somebody edited
            )
        yield frozen


def _attributes(trial: Trial, study: Study, constraints: Mapping[str, float]) -> dict[str, Any]:
    found: dict[str, Any] = {"nas.number": trial.number, "nas.state": trial.state.value}
    named = {"arch_id": trial.arch_id, "reason": trial.reason, "design": trial.design}
    found |= {name: text for name, text in named.items() if text}
    if trial.cost is not None:
        found |= {name: value_of(trial.cost, name) for name in ("params", "macs")}
    if trial.latency is not None:
        found["latency_ms"] = trial.latency.ms
    objectives = {objective.name for objective in study.objectives}
    # JSON has no infinite numbers, and the dashboard shows nothing of a study that has some.
    found |= {name: score for name, score in trial.scores.items() if name not in objectives and isfinite(score)}
    return found | ({"constraints": dict(constraints)} if constraints else {})
