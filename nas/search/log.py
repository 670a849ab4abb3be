"""The run folder: what a study is, and every trial as a line that is on disk before the search goes on."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import IO, Any

from nas.errors import ConfigError
from nas.runs import hold, whole_lines, write_whole
from nas.search.trial import Trial

STUDY_FORMAT = "nas.study/1"
_STUDY_KEYS = {"study_id", "space", "input_shape", "num_classes", "objective", "direction", "seed", "notes"}
_TRIALS, _STUDY = "trials.jsonl", "study.json"


class RunFolder:
    """One study on disk. Only one process at a time may hold it open; others are refused."""

    def __init__(self, path: Path, *, resume: bool = False) -> None:
        """Open or make a run folder.

        Raises:
            ConfigError: resume without a study, a study where none should be, or a folder in use.
        """
        self.path = path
        if resume and not (path / _STUDY).is_file():
            raise ConfigError(f"resume: no study in {path} (it has no {_STUDY})")
        if not resume and (path / _TRIALS).exists():
            raise ConfigError(f"{path} holds a study already; continue it with resume={path}, or give another name")
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error}") from None
        self._lock = hold(path, "search")
        self._log: IO[bytes] | None = None

    def write_study(self, values: dict[str, Any]) -> None:
        """Write what the study is; done once, before its first trial."""
        self.write_text(_STUDY, json.dumps(values, indent=2))

    def write_text(self, name: str, text: str) -> Path:
        """Write a small file whole or not at all."""
        return write_whole(self.path / name, text)

    def read_trials(self) -> list[Trial]:
        """Return the recorded trials, and cut off a last line that a crash left unfinished.

        Raises:
            ConfigError: a line inside the log cannot be read.
        """
        whole_lines(self.path / _TRIALS)
        return read_trials(self.path)

    def append(self, trial: Trial, *, durable: bool) -> None:
        """Add a trial. `durable` returns only when it is on the disk; without, it survives the death of this
        process but not that of the machine (a rejected candidate is cheap to propose again).
        """
        if self._log is None:
            self._log = (self.path / _TRIALS).open("ab")
        self._log.write(json.dumps(trial.to_dict(), separators=(",", ":")).encode() + b"\n")
        self._log.flush()
        if durable:
            os.fsync(self._log.fileno())

    def close(self) -> None:
        """Close the log and let others open the folder."""
        if self._log is not None:
            self._log.close()
        self._lock.close()


def read_study(path: Path, purpose: str = "") -> dict[str, Any]:
    """Return what `write_study` wrote; raises `ConfigError`, which begins with the purpose, where there is none."""
    file = path / _STUDY
    try:
        values = json.loads(file.read_text())
    except FileNotFoundError:
        raise ConfigError(f"{purpose}no study in {path} (it has no {_STUDY})") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from None
    if not isinstance(values, dict) or values.get("format") != STUDY_FORMAT or not values.keys() >= _STUDY_KEYS:
        raise ConfigError(f"{file} does not describe a study")
    notes = values["notes"]
    if not isinstance(notes, dict) or any(not isinstance(notes.get(name, {}), dict) for name in ("config", "data")):
        raise ConfigError(f"{file} does not describe a study: its notes are no mappings")
    return values


def read_trials(path: Path) -> list[Trial]:
    """Return the trials in a run folder; a last line that is not finished is left out.

    A trial that was paused has a line for each pause; the last one holds.

    Raises:
        ConfigError: a line inside the log cannot be read.
    """
    file = path / _TRIALS
    if not file.exists():
        return []
    data = file.read_bytes()
    trials = []
    for number, line in enumerate(data[: data.rfind(b"\n") + 1].splitlines(), start=1):
        try:
            trials.append(Trial.from_dict(json.loads(line)))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ConfigError(f"{file}:{number}: not a trial: {error}") from None
    return list({trial.number: trial for trial in trials}.values())
