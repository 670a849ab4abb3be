"""What commands that evaluate networks share: how many they evaluate at a time, and the settings of earlier runs."""

from __future__ import annotations

import copy
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from nas.errors import ConfigError
from nas.names import name_problem
from nas.run_folder import Held, claim, first_free, hold, read_json, shown
from nas.settings import changeable, setting

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


def read_settings(path: Path, what: str) -> dict[str, Any]:
    """Return the settings that a run was begun with; raises `ConfigError` where there is no such run."""
    if not path.is_file():
        raise ConfigError(f"resume: no {what} in {path.parent} (it has no {path.name})")
    return read_json(path, f"resume: the {what}", dict)


def resumed(
    earlier: Mapping[str, Any], values: Mapping[str, Any], typed: Iterable[str], free: Collection[str], folder: Path
) -> dict[str, Any]:
    """Return the settings of a run that is gone on with: those that it was begun with, and what the user typed now.

    Args:
        earlier: settings that the run was begun with.
        values: settings of this command line, defaults included.
        typed: paths of those that the user gave, such as `train.epochs`; a group may be given as a whole.
        free: paths of settings and groups that may change; others decide what the run is.
        folder: of the run, for messages.

    Raises:
        ConfigError: a setting was typed with another value that may not change.
    """
    settings: dict[str, Any] = copy.deepcopy(dict(earlier))
    for path in typed:
        *outer, last = path.split(".")
        into, source = settings, values
        for name in outer:
            into, source = into.setdefault(name, {}), source.get(name, {})
            if not isinstance(into, dict) or not isinstance(source, Mapping):
                raise ConfigError(f"resume: {path}: {name} is no group of settings in {shown(folder)}")
        both = isinstance(into.get(last), dict) and isinstance(source.get(last), Mapping)
        into[last] = {**into[last], **source[last]} if both else source.get(last)
    for path, was, now in _changes("", earlier, settings):
        if not any(path == name or path.startswith(f"{name}.") for name in free):
            raise ConfigError(
                f"resume: {path} was {was!r} in {shown(folder)}, but is now {now!r}; {', '.join(free)} may change"
            )
    return settings


def settings_to_go_on(
    values: Mapping[str, Any], typed: Iterable[str], kind: type, *, file: str, what: str, own: Collection[str] = ()
) -> Mapping[str, Any]:
    """Return the settings of a command whose study has its folder by `name`: where `resume` is set, as `resumed` does.

    Args:
        values: settings of this command line, defaults included.
        typed: paths of those that the user gave.
        kind: the dataclass of the settings, which says what may change.
        file: in the folder of the study, that keeps its settings.
        what: the study is, for messages.
        own: what that file keeps beside settings.

    Raises:
        ConfigError: there is no such study, or a setting was typed with another value that may not change.
    """
    name = values.get("name")
    if values.get("resume") is not True or not isinstance(name, str):
        return values
    folder = Path(str(values.get("records", {}).get("dir", RecordSettings().dir))).expanduser() / name
    begun = {key: value for key, value in read_settings(folder / file, what).items() if key not in own}
    return resumed(begun, values, typed, list(changeable(kind, inside=False)), folder)


def _changes(path: str, was: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield the settings that differ, by their paths, with what they were and are."""
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        for key in {**was, **now}:
            yield from _changes(f"{path}.{key}".lstrip("."), was.get(key), now.get(key))
    elif was != now:
        yield path, was, now


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
