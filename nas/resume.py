"""The folder and the settings of a study: a new one, or one that is gone on with."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from nas.errors import ConfigError, nearest
from nas.run_folder import Held, claim, first_free, hold, read_json, shown, user_path
from nas.settings import as_recorded, changeable, paths, setting, settings_from


@dataclass(frozen=True, kw_only=True)
class RecordSettings:
    """Where records go."""

    dir: str = setting("runs", "holds a folder a run, and mlflow.db", typed="text")
    mlflow: bool = setting(True, "record in MLflow too", may_change=True)
    uri: str | None = setting(
        None, "http://... of an MLflow server; null: MLFLOW_TRACKING_URI, or if that is unset mlflow.db in records.dir",
        may_change=True, typed="text",
    )  # fmt: skip


def read_settings(path: Path, what: str) -> dict[str, Any]:
    """Return the settings that a run was begun with; raises `ConfigError` where there is no such run."""
    if not path.is_file():
        raise ConfigError(f"resume: no {what} in {path.parent} (it has no {path.name})")
    return read_json(path, f"resume: the {what}", dict)


@contextmanager
def begun_with(path: Path) -> Iterator[None]:
    """Check the settings that a run goes on with, of which most are in a file and some were typed now.

    Raises:
        ConfigError: one does not hold; the file is named, too.
    """
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{error}. What was not typed now is as it stands in {shown(path)}") from None


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


def with_absolute_paths(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with absolute paths of what is read, so that the run can be gone on with from anywhere.

    Args:
        kind: the dataclass of the settings.
        values: as plain values.
    """
    settings = copy.deepcopy(dict(values))
    for path, declared in paths(kind):
        if declared.typed not in ("path", "paths"):
            continue
        *groups, name = path.split(".")
        group: Any = settings
        for outer in groups:
            group = group.get(outer) if isinstance(group, dict) else None
        value = group.get(name) if isinstance(group, dict) else None
        if isinstance(value, list):
            group[name] = [_absolute_path(str(one)) for one in value]
        elif value is not None and value not in declared.words:
            group[name] = _absolute_path(value)
    return settings


def _absolute_path(path: str) -> str:
    return str(Path(path).expanduser().absolute())


def check_typed(kind: type, typed: Iterable[str]) -> None:
    """Make sure that what a user types to go on with a run are settings.

    Args:
        kind: the dataclass of the settings.
        typed: their paths.

    Raises:
        ConfigError: there is no such setting (the nearest are given), or it stands for many.
    """
    known = dict(paths(kind))
    groups = {".".join(path.split(".")[:depth]) for path in known for depth in range(1, path.count(".") + 1)}
    for path in typed:
        if path == "experiment":
            raise ConfigError("resume: an experiment sets many settings of a new run; give single ones to go on")
        if path not in known and path not in groups and not any(path.startswith(f"{name}.") for name in known):
            raise ConfigError(f"resume: unknown setting {path!r}. {nearest(path, known)}")


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
        ConfigError: there is no such study or no such setting, or one was typed with another value that may not change.
    """
    name = values.get("name")
    if values.get("resume") is not True or not isinstance(name, str):
        return values
    typed = list(typed)
    check_typed(kind, typed)
    folder = user_path(str(values.get("records", {}).get("dir", RecordSettings().dir))) / name
    begun = {key: value for key, value in read_settings(folder / file, what).items() if key not in own}
    settings = resumed(as_recorded(kind, begun), values, typed, list(changeable(kind, inside=False)), folder)
    with begun_with(folder / file):
        settings_from(kind, settings)
    return settings


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
