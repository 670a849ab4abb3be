"""When a search is to end, changed while it runs: lines in its run folder, which its driver looks for."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from nas.errors import ConfigError, nearest
from nas.line_log import LineLog, append_in_turn
from nas.run_folder import in_use
from nas.search.budgets.halving import Halving
from nas.search.log import read_study
from nas.search.settings import SearchSettings
from nas.search.stop_reason import StopReason
from nas.search.study import Study

STEERING = "steering.jsonl"
"""The file in a run folder: a line for each change, with the settings that it gives."""
STEERED = ("trials", "minutes", "patience", "max_rejections")
"""Settings of `search` that say when it ends, and that its driver takes at any time."""
_LINE = "a change of a search"
_BY_SETTINGS = (StopReason.TRIALS_DONE, StopReason.NO_GAIN_EXPECTED, StopReason.PROPOSALS_REJECTED)
"""Ends that these settings decide, so that other values put them off."""
_LOG = logging.getLogger(__name__)


def checked(settings: SearchSettings, changes: Mapping[str, Any]) -> SearchSettings:
    """Return settings with other values of some that may be changed as the search runs.

    Raises:
        ConfigError: a setting that may not, or a value that it cannot have.
    """
    for name in changes:
        if name in STEERED:
            continue
        known = {member.name for member in fields(SearchSettings)}
        why = "cannot be changed while it runs" if name in known else "is no setting of a search"
        raise ConfigError(f"{name} {why}: {', '.join(STEERED)} can. {nearest(name, STEERED)}")
    found = replace(settings, **changes)
    if {"trials", "minutes"} & changes.keys() and found.trials is None and found.minutes is None:
        raise ConfigError("trials and minutes are both null, but one of them must end the search")
    return found


def steer(run: Path, changes: Mapping[str, Any]) -> None:
    """Have a search that runs take other settings of when it ends.

    Args:
        run: its run folder.
        changes: names of `STEERED` with their new values.

    Raises:
        ConfigError: no search runs there, or a change that cannot be made.
    """
    settings = current(run)
    changed = checked(settings or SearchSettings(), changes)
    if not in_use(run):
        words = " ".join(f"search.{name}={'null' if value is None else value}" for name, value in changes.items())
        raise ConfigError(f"no search runs in {run}; `nas search resume={run} {words}` goes on with it")
    append_in_turn(run / STEERING, _LINE, _change, {name: getattr(changed, name) for name in changes})


def current(run: Path) -> SearchSettings | None:
    """Return the settings that a search goes by; None where its record does not say, as of one begun from Python.

    Raises:
        ConfigError: there is no study, or its records cannot be read.
    """
    begun = read_study(run)["notes"].get("config", {}).get("search")
    if not isinstance(begun, dict):
        return None
    values = {name: begun[name] for name in STEERED if name in begun}
    return checked(SearchSettings(), values | steered(run))


def steered(run: Path) -> dict[str, Any]:
    """Return the settings that were changed while a search ran, with their latest values.

    Raises:
        ConfigError: a line cannot be read, was edited, or holds no such change.
    """
    found: dict[str, Any] = {}
    for line in _lines(run):
        found |= line
    return found


def _lines(run: Path) -> Sequence[Mapping[str, Any]]:
    return LineLog(run / STEERING).read(_LINE, _change)


def _change(values: Any) -> dict[str, Any]:
    """Return what a line says, which may come from a stranger."""
    if not isinstance(values, dict):
        raise ValueError("it is no mapping")
    try:
        checked(SearchSettings(trials=1, minutes=1.0), values)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return values


class Steering:
    """What a driver looks at now and then: the changes since it began."""

    def __init__(self, run: Path | None) -> None:
        """Look at a run folder; a study without one cannot be steered. Changes of earlier sessions do not count."""
        self._run = run
        self._seen = 0 if run is None else len(_lines(run))
        self._size = self._bytes()

    def _bytes(self) -> int:
        file = None if self._run is None else self._run / STEERING
        try:
            return 0 if file is None else file.stat(follow_symlinks=False).st_size
        except FileNotFoundError:
            return 0

    def taken(self, settings: SearchSettings, study: Study, halving: Halving | None) -> SearchSettings:
        """Return the settings that a search goes by from now on; what cannot be read does not end it."""
        try:
            changes = self.since()
            changed = checked(settings, changes)
        except (ConfigError, OSError) as error:
            _LOG.warning("the search goes on as it was: %s", error)
            return settings
        if changes:
            study.steered |= changes
            if halving is not None and "trials" in changes:
                halving.let_begin(changed.most_trials)
            if study.stop is not None and study.stop.reason in _BY_SETTINGS:
                study.stop = None  # whether an end is reached by what holds now is seen anew
        return changed

    def since(self) -> dict[str, Any]:
        """Return the settings that were changed since the last look, with their values; empty where none was.

        Raises:
            ConfigError: a line cannot be read.
        """
        size = self._bytes()
        if self._run is None or size == self._size:
            return {}
        lines = _lines(self._run)
        found = {name: value for line in lines[self._seen :] for name, value in line.items()}
        self._seen, self._size = len(lines), size
        return found
