"""The run folder: what a study is, and a line for each trial that is on disk before the search proceeds."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from nas.errors import ConfigError, nearest
from nas.line_log import LineLog
from nas.run_folder import claim, hold, is_run_id, read_json, write_whole
from nas.search.stop_reason import Stop
from nas.search.trial import State, Trial

STUDY_FORMAT = "nas.study/1"
_STUDY_KEYS = {"study_id", "space", "input_shape", "num_classes", "objective", "direction", "seed", "notes"}
TRIALS, STUDY, END = "trials.jsonl", "study.json", "end.json"


class RunFolder:
    """A study on disk. Only one process at a time may hold it open; others are refused."""

    def __init__(self, path: Path, *, resume: bool = False, empty: bool = False) -> None:
        """Open or make a run folder, and hold it until it is closed.

        Args:
            path: of the folder.
            resume: whether the study that is in it is continued.
            empty: whether a new one may hold nothing else either.

        Raises:
            FolderTakenError: the folder is in use, or holds a study where none should be.
            ConfigError: there is no study to resume, or the folder cannot be written or holds a link.
        """
        if resume:
            if not (path / STUDY).is_file():
                raise no_study(path, "resume: ")
            self._held = hold(path, "search")
        else:
            way_out = f"continue it with resume={path}, or give another name"
            self._held = claim(path, "search", way_out, records=None if empty else (STUDY, TRIALS))
        self._log = LineLog(self.path / TRIALS)

    @property
    def path(self) -> Path:
        """The absolute path of the folder."""
        return self._held.path

    def write_study(self, values: dict[str, Any]) -> None:
        """Write what the study is; called once, before its first trial.

        Raises:
            ConfigError: the values are not plain.
        """
        try:
            text = json.dumps(values, indent=2)
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigError(f"notes of a study must be plain values, as JSON has them: {error}") from None
        self.write_text(STUDY, text)

    def write_text(self, name: str, text: str) -> Path:
        """Write a small file whole or not at all; return its path."""
        return write_whole(self.path / name, text)

    def write_end(self, stop: Stop, *, can_go_on: bool) -> None:
        """Write why the search ended; where that is not there, it runs or was killed."""
        values = {"reason": stop.reason.name.lower(), "text": stop.text, "can_go_on": can_go_on, "time": time.time()}
        self.write_text(END, json.dumps(values, indent=1) + "\n")

    def remove_end(self) -> None:
        """Note that the search runs."""
        (self.path / END).unlink(missing_ok=True)

    def read_trials(self) -> list[Trial]:
        """Return the recorded trials, as `read_trials` does."""
        return _last_of_each(self._log.read("a trial", _trial_reader()))

    def append(self, trial: Trial, *, durable: bool) -> None:
        """Add a trial, or nothing where that fails (`LineLog.append`).

        `durable` returns only when it is on the disk; without, it survives the death of this process but not that of
        the machine (a rejected candidate is cheap to propose again).
        """
        self._log.append(trial.to_dict(), durable=durable)

    def close(self) -> None:
        """Close the log and let others open the folder; one in which no study was begun is removed again."""
        self._log.close()
        if (self.path / STUDY).exists():
            self._held.release()
        else:
            self._held.discard()


def no_study(path: Path, purpose: str = "") -> ConfigError:
    """Return the error for a path that is no run folder of a search; where nothing is there, with names that are near.

    Args:
        path: that was given.
        purpose: begins the message.
    """
    if path.is_dir():
        return ConfigError(f"{purpose}no study in {path} (it has no {STUDY})")
    runs = sorted(file.parent.name for file in path.parent.glob(f"*/{STUDY}"))
    near = f". {nearest(path.name, runs)}" if runs else ""
    return ConfigError(f"{purpose}no study in {path} (there is no such folder){near}")


def read_study(path: Path, purpose: str = "") -> dict[str, Any]:
    """Return what `write_study` wrote.

    Args:
        path: of the run folder.
        purpose: begins the message where there is no study.

    Raises:
        ConfigError: there is no study, or the file cannot be read.
    """
    file = path / STUDY
    if not file.is_file():
        raise no_study(path, purpose)
    return read_json(file, "study", partial(_study, file))


def _study(file: Path, values: Any) -> dict[str, Any]:
    if not isinstance(values, dict) or values.get("format") != STUDY_FORMAT or not values.keys() >= _STUDY_KEYS:
        raise ConfigError(f"{file} does not describe a study")
    study_id = values["study_id"]
    if not is_run_id(study_id):
        raise ConfigError(f"{file} does not describe a study: its study_id is {study_id!r:.80}")
    notes = values["notes"]
    if not isinstance(notes, dict) or any(not isinstance(notes.get(name, {}), dict) for name in ("config", "data")):
        raise ConfigError(f"{file} does not describe a study: its notes are no mappings")
    return values


def read_trials(path: Path) -> list[Trial]:
    """Return the trials in a run folder; a last line that was cut off is left out.

    A trial that was paused or interrupted has a line for each time, of which the last one counts.

    Raises:
        ConfigError: a line before the last cannot be read, or is not as it was written.
    """
    return _last_of_each(LineLog(path / TRIALS).read("a trial", _trial_reader()))


def _last_of_each(trials: list[Trial]) -> list[Trial]:
    return list({trial.number: trial for trial in trials}.values())


_GOES_ON = (State.PAUSED, State.INTERRUPTED)
"""States behind which a trial has another line, when it is gone on with."""


def _trial_reader() -> Callable[[Any], Trial]:
    """Return a reader of the lines of one log in their order; it raises `ValueError` for what no search writes."""
    states: dict[int, State] = {}
    run_again: dict[int, int] = {}

    def read(values: Any) -> Trial:
        trial = Trial.from_dict(values)
        problem = _implausible_number(trial)
        if states.get(trial.number, State.PAUSED) not in _GOES_ON:
            problem = f"trial {trial.number} has ended on a line before"
        elif trial.duplicate_of is not None and trial.duplicate_of not in states:
            problem = f"it repeats trial {trial.duplicate_of}, which no line before is of"
        elif trial.rerun_of is not None and states.get(trial.rerun_of) is not State.FAILED:
            problem = f"it runs trial {trial.rerun_of} again, which failed on no line before"
        elif trial.rerun_of is not None and run_again.setdefault(trial.rerun_of, trial.number) != trial.number:
            problem = f"trial {trial.rerun_of} was run again before, as trial {run_again[trial.rerun_of]}"
        if problem:
            raise ValueError(problem)
        states[trial.number] = trial.state
        return trial

    return read


_MAX_COUNT = 2.0**31
"""Above any number of candidates or steps."""
_MAX_SECONDS = 1e11
"""Some 3,000 years."""


def _implausible_number(trial: Trial) -> str:
    """Return which number no search writes; empty where there is none. Lines of old logs have no checksum."""
    cost = trial.cost.to_dict() if trial.cost is not None else {}
    bounds = {
        "number": (trial.number, _MAX_COUNT),
        "guided": (trial.guided, _MAX_COUNT),
        "seed": (trial.seed, 2.0**32),
        "first_rung": (trial.first_rung or 0, _MAX_COUNT),
        "finished": (trial.finished, _MAX_SECONDS),
        "elapsed": (trial.elapsed, _MAX_SECONDS),
        **{f"cost.{name}": (value, 2.0**63) for name, value in cost.items() if isinstance(value, int | float)},
        **{f"steps.{index}": (step, _MAX_COUNT) for index, (step, _) in enumerate(trial.steps)},
    }
    wrong = ((name, value) for name, (value, bound) in bounds.items() if not 0 <= value < bound)
    return next((f"{name} is {value!r:.40}" for name, value in wrong), "")
