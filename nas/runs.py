"""What commands that evaluate networks share: how many they evaluate at a time, and the settings of earlier runs."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from nas.errors import ConfigError
from nas.names import name_problem
from nas.run_folder import Held, claim, first_free, hold, read_inside
from nas.settings import setting

_MOST_WORKERS = 1024
"""Processes on one machine."""

_ACCELERATORS = ("auto", "cpu", "gpu")


@dataclass(frozen=True, kw_only=True)
class RecordSettings:
    """Where records go."""

    dir: str = setting("runs", "holds a folder a run, and mlflow.db", typed="text")
    mlflow: bool = setting(True, "record in MLflow too", may_change=True)


def check_workers(value: int | str) -> None:
    """Raise `ConfigError` where a setting of workers is neither `auto` nor a whole number from 1 to 1,024."""
    if value != "auto" and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST_WORKERS):
        raise ConfigError(f"workers must be auto or a whole number from 1 to {_MOST_WORKERS:,}, but got {value!r}")


def check_accelerator(name: str) -> None:
    """Raise `ConfigError` for an unknown kind of device to train on."""
    if name not in _ACCELERATORS:
        raise ConfigError(f"accelerator must be one of {_ACCELERATORS}, but got {name!r}")


def check_name(name: str | None) -> None:
    """Raise `ConfigError` where the name of a run, which is that of a folder in `records.dir`, breaks the rule."""
    problem = name_problem(name) if name is not None else ""
    if problem:
        raise ConfigError(f"name: {problem}")


def cores() -> int:
    """Return how many cores this process may use; all of the machine's where the system does not say, as on macOS."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cores_or(workers: int | str) -> int:
    """Return a number of workers; `auto` is one a core."""
    return workers if isinstance(workers, int) else cores()


def earlier_settings(path: Path, settings: Mapping[str, Any], free: Collection[str], what: str) -> dict[str, Any]:
    """Return the settings that a run was begun with, and make sure that it is gone on with as it was.

    Args:
        path: of the file that keeps them, in the folder of the run.
        settings: those of now, as JSON gives them back.
        free: names of those that may change.
        what: the run is, for messages.

    Raises:
        ConfigError: there is no such run, or a setting changed that may not.
    """
    earlier = read_settings(path, what)
    for key in settings:
        changed = _changed(key, earlier.get(key), settings[key]) if key not in free else None
        if changed:
            name, was, now = changed
            raise ConfigError(
                f"resume: {name} was {was!r} in {path.parent}, but is now {now!r}; {', '.join(free)} may change"
            )
    return earlier


def read_settings(path: Path, what: str) -> dict[str, Any]:
    """Return the settings that a run was begun with; raises `ConfigError` where there is no such run."""
    try:
        return dict(json.loads(read_inside(path)))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ConfigError(f"resume: no {what} in {path.parent}: {error}") from None


def _changed(name: str, was: Any, now: Any) -> tuple[str, Any, Any] | None:
    """The first setting that differs, by its path, with what it was and is; None where all are alike."""
    if isinstance(was, dict) and isinstance(now, dict):
        inner = (_changed(f"{name}.{key}", was.get(key), now.get(key)) for key in {**was, **now})
        return next((one for one in inner if one), None)
    return None if was == now else (name, was, now)


def gone_on_with(earlier: Mapping[str, Any], values: Mapping[str, Any], typed: Iterable[str]) -> dict[str, Any]:
    """Return the settings of an earlier run with those that the user typed now, by paths such as `train.epochs`."""
    found: dict[str, Any] = copy.deepcopy(dict(earlier))
    for path in typed:
        *outer, last = path.split(".")
        into, source = found, values
        for name in outer:
            into, source = into.setdefault(name, {}), source[name]
        both = isinstance(into.get(last), dict) and isinstance(source.get(last), Mapping)
        into[last] = {**into[last], **source[last]} if both else source.get(last)
    return found


def study_folder(root: Path, name: str | None, *, resume: bool, settings: str, stem: str, what: str) -> Held:
    """Hold the folder of a study's results: that of an earlier one, or a new one.

    Args:
        root: holds a folder a study.
        name: of the folder; None makes one from `stem` and the time.
        resume: go on with the study of that name.
        settings: the file in it that keeps its settings.
        stem: what a name that is made begins with.
        what: the study is, for messages.

    Raises:
        ConfigError: there is no such study, or its folder is taken or cannot be written.
    """
    if resume:
        read_settings(root / str(name) / settings, what)
        return hold(root / str(name), what)
    make = partial(claim, what=what, way_out="give another name, or resume=true to go on")
    if name is not None:
        return make(root / name)
    return first_free(root, f"{stem}-{datetime.now(UTC):%Y%m%d-%H%M%S}", make)
