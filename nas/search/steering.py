"""What is asked of a search while it runs: lines in its run folder, which its driver looks for.

These say when it ends, how many workers it has, and which failed trials are to be run again.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.errors import ConfigError, nearest
from nas.line_log import LineLog, append_in_turn
from nas.run_folder import in_use
from nas.search.budgets.halving import Halving
from nas.search.log import read_study, read_trials
from nas.search.settings import SearchSettings
from nas.search.stop_reason import StopReason
from nas.search.study import Study
from nas.search.trial import State, Trial
from nas.settings import Range
from nas.workers.process import check_worker_count

if TYPE_CHECKING:
    from nas.search.proposing import Pace
    from nas.workers.pool import Pool

STEERING = "steering.jsonl"
"""The file in a run folder: a line for each change, with the settings that it gives."""
STEERED = ("trials", "minutes", "patience", "max_rejections")
"""Settings of `search` that say when it ends, and that its driver takes at any time."""
WORKERS, RERUN = "workers", "rerun"
"""What else can be asked: a number of workers, and numbers of failed trials."""
FAILED = "failed"
"""In place of numbers: all trials that have failed by now, and are not run again already."""
_WORKERS = Range(1, 100_000, whole=True)
_LINE = "a change of a search"
_BY_SETTINGS = (StopReason.TRIALS_DONE, StopReason.NO_GAIN_EXPECTED, StopReason.PROPOSALS_REJECTED)
"""Ends that these settings decide, so that other values put them off."""
_LOG = logging.getLogger(__name__)


def setting_of(name: str) -> str:
    """Return what is changed by a name as a setting of the command, such as `search.trials`."""
    return f"search.{name}" if name in STEERED else name


def change_text(value: Any) -> str:
    """Return a value of a change as it is typed."""
    if value is None:
        return "null"
    return ",".join(map(str, value)) if isinstance(value, list) else f"{value:g}"


def checked(settings: SearchSettings, changes: Mapping[str, Any]) -> SearchSettings:
    """Return settings with other values of some that may be changed as the search runs.

    Raises:
        ConfigError: a setting that may not, or a value that it cannot have, also of `WORKERS` and `RERUN`.
    """
    can = (*STEERED, WORKERS, RERUN)
    for name in changes:
        if name in can:
            continue
        known = {member.name for member in fields(SearchSettings)}
        why = "cannot be changed while it runs" if name in known else "is no setting of a search"
        raise ConfigError(f"{name} {why}: {', '.join(can)} can. {nearest(name, can)}")
    if WORKERS in changes:
        _WORKERS.checked(WORKERS, changes[WORKERS])
    numbers = changes.get(RERUN, [])
    if not isinstance(numbers, list) or any(type(number) is not int or number < 0 for number in numbers):
        raise ConfigError(f"{RERUN} must be {FAILED} or numbers of trials, such as 12,15, but got {numbers!r:.80}")
    found = replace(settings, **{name: value for name, value in changes.items() if name in STEERED})
    if {"trials", "minutes"} & changes.keys() and found.trials is None and found.minutes is None:
        raise ConfigError("trials and minutes are both null, but one of them must end the search")
    return found


def steer(run: Path, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Have a search that runs take other settings of when it ends, other workers, or run failed trials again.

    Failed trials can also be asked for where no search runs: one that is gone on with takes them.

    Args:
        run: its run folder.
        changes: names of `STEERED` or `WORKERS` with their new values, and `RERUN` with numbers of trials, or `FAILED`.

    Returns:
        The changes, with the numbers of the trials that are run again.

    Raises:
        ConfigError: no search runs there, or a change that cannot be made.
    """
    changes, settings = dict(changes), current(run)
    if changes.get(RERUN) == FAILED:
        changes[RERUN] = _failed(run)
    changed = checked(settings or SearchSettings(), changes)
    if WORKERS in changes and _config(run).get("executor", {"name": ""}).get("name") == "local":
        check_worker_count(changes[WORKERS])
    _check_can_rerun(run, changes.get(RERUN, ()))
    others = {name: value for name, value in changes.items() if name != RERUN}
    if others and not in_use(run):
        words = " ".join(f"{setting_of(name)}={change_text(value)}" for name, value in others.items())
        raise ConfigError(f"no search runs in {run}; `nas search resume={run} {words}` goes on with it")
    changes |= {name: getattr(changed, name) for name in others if name in STEERED}
    append_in_turn(run / STEERING, _LINE, _change, changes)
    return changes


def _config(run: Path) -> Mapping[str, Any]:
    """Return the settings that a search was begun with by its command; empty where it was begun from Python."""
    found: Mapping[str, Any] = read_study(run)["notes"].get("config", {})
    return found


def current(run: Path) -> SearchSettings | None:
    """Return the settings that a search goes by; None where its record does not say, as of one begun from Python.

    Raises:
        ConfigError: there is no study, or its records cannot be read.
    """
    begun = _config(run).get("search")
    if not isinstance(begun, dict):
        return None
    values = {name: begun[name] for name in STEERED if name in begun}
    return checked(SearchSettings(), values | steered(run))


def current_workers(run: Path) -> int | None:
    """Return how many workers a search has; None where its record does not say, as where it counts them itself.

    Raises:
        ConfigError: there is no study, or its records cannot be read.
    """
    found = steered_workers(run) or _config(run).get("workers")
    return found if isinstance(found, int) else None


def steered(run: Path) -> dict[str, Any]:
    """Return the settings of `STEERED` that were changed while a search ran, with their latest values.

    Raises:
        ConfigError: a line cannot be read, was edited, or holds no such change.
    """
    return {name: value for name, value in _merged(_lines(run)).items() if name in STEERED}


def steered_workers(run: Path) -> int | None:
    """Return the number of workers that a search was last told to have as it ran; None where it was not.

    Raises:
        ConfigError: as `steered`.
    """
    return _merged(_lines(run)).get(WORKERS)


def _failed(run: Path) -> list[int]:
    """Return the numbers of trials that have failed and are not run again already; raises `ConfigError` for none."""
    trials = read_trials(run)
    again = _run_again(run, trials)
    found = sorted(trial.number for trial in trials if trial.state is State.FAILED and trial.number not in again)
    if not found:
        others = " that is not run again already" if again else ""
        raise ConfigError(f"{RERUN}={FAILED}: no trial in {run} has failed{others}")
    return found


def _check_can_rerun(run: Path, numbers: Sequence[int]) -> None:
    """Raise `ConfigError` where a trial has not failed, or is run again already."""
    if not numbers:
        return
    trials = {trial.number: trial for trial in read_trials(run)}
    again = _run_again(run, trials.values())
    for number in numbers:
        if number not in trials or trials[number].state is not State.FAILED:
            state = f"is {trials[number].state}" if number in trials else "is not on record"
            failed = [str(one.number) for one in trials.values() if one.state is State.FAILED]
            known = f"trials {', '.join(failed[:20])} have" if failed else "none has"
            raise ConfigError(f"{RERUN}: trial {number} {state}, but only what has failed is run again: {known}")
        if number in again:
            name = f", as trial {again[number]}" if again[number] is not None else ""
            raise ConfigError(
                f"{RERUN}: trial {number} is run again already{name}; where that fails, too, give its own number"
            )


def _run_again(run: Path, trials: Iterable[Trial]) -> dict[int, int | None]:
    """Return the numbers of trials that are run again, with those of their new trials where these are on record."""
    asked: dict[int, int | None] = dict.fromkeys(_merged(_lines(run)).get(RERUN, ()))
    return asked | {trial.rerun_of: trial.number for trial in trials if trial.rerun_of is not None}


def _lines(run: Path) -> Sequence[Mapping[str, Any]]:
    return LineLog(run / STEERING).read(_LINE, _change)


def _merged(lines: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what lines give together: the latest value of a setting, and all trials that are to be run again."""
    found: dict[str, Any] = {}
    for line in lines:
        numbers = [*found.get(RERUN, ()), *line.get(RERUN, ())]
        found |= line
        if numbers:
            found[RERUN] = list(dict.fromkeys(numbers))
    return found


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
    """What a driver looks at now and then: the changes since it began, and failed trials that are to be run again."""

    def __init__(self, study: Study, pool: Pool, pace: Pace) -> None:
        """Look at the run folder of a study; one without cannot be steered.

        Settings of earlier sessions do not count, but trials that they had to run again and have not.

        Args:
            study: with its trials of earlier sessions.
            pool: whose workers are changed.
            pace: is told of their number.
        """
        self._study, self._run, self._pool, self._pace = study, study.folder, pool, pace
        self._size = self._bytes()
        lines = [] if self._run is None else _lines(self._run)
        self._seen = len(lines)
        self._reruns: deque[Trial] = deque()
        self._asked = {trial.rerun_of for trial in study.trials}
        """Numbers of the failed trials that are in `_reruns`, or have been."""
        self._ask(_merged(lines).get(RERUN, ()))

    def _bytes(self) -> int:
        file = None if self._run is None else self._run / STEERING
        try:
            return 0 if file is None else file.stat(follow_symlinks=False).st_size
        except FileNotFoundError:
            return 0

    def next_rerun(self) -> Trial | None:
        """Return a failed trial that is to be run again now, each once; None where none is."""
        return self._reruns.popleft() if self._reruns else None

    def taken(self, settings: SearchSettings, study: Study, halving: Halving | None) -> SearchSettings:
        """Return the settings that a search goes by from now on; what cannot be read does not end it."""
        try:
            changes = self.since()
            changed = checked(settings, changes)
        except (ConfigError, OSError) as error:
            _LOG.warning("the search goes on as it was: %s", error)
            return settings
        if WORKERS in changes and not self._resized(changes[WORKERS]):
            del changes[WORKERS]
        self._ask(changes.get(RERUN, ()))
        if changes:
            study.steered |= changes
            if halving is not None and "trials" in changes:
                halving.let_begin(changed.most_trials)
            if study.stop is not None and study.stop.reason in _BY_SETTINGS:
                study.stop = None  # whether an end is reached by what holds now is seen anew
        return changed

    def since(self) -> dict[str, Any]:
        """Return what was changed since the last look, by name with its value; empty where nothing was.

        Raises:
            ConfigError: a line cannot be read.
        """
        size = self._bytes()
        if self._run is None or size == self._size:
            return {}
        lines = _lines(self._run)
        found = _merged(lines[self._seen :])
        self._seen, self._size = len(lines), size
        return found

    def _resized(self, workers: int) -> bool:
        """Have so many workers, and return whether that can be."""
        try:
            self._pool.resize(workers)
        except ConfigError as error:
            _LOG.warning("the search goes on with the workers that it has: %s", error)
            return False
        self._pace.resize(workers)
        return True

    def _ask(self, numbers: Iterable[int]) -> None:
        """Keep trials that are to be run again; one that was asked for before is run once."""
        new = [number for number in numbers if number not in self._asked]
        if not new:
            return
        failed = {trial.number: trial for trial in self._study.trials if trial.state is State.FAILED}
        for number in new:
            self._asked.add(number)
            if number in failed:
                self._reruns.append(failed[number])
            else:
                _LOG.warning("trial %d is not run again: it has not failed", number)
