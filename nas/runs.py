"""What commands that evaluate networks share: how many they evaluate at a time, and where results go."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.errors import ConfigError

_SEEDS = 2**32


@dataclass(frozen=True, kw_only=True)
class RecordSettings:
    """Where records go."""

    dir: str = "runs"
    mlflow: bool = True


def check_workers(value: int | str) -> None:
    """Raise `ConfigError` where a setting of workers is neither `auto` nor a whole number from 1."""
    if value != "auto" and (not isinstance(value, int) or value < 1):
        raise ConfigError(f"workers must be auto or a whole number >= 1, but got {value!r}")


def check_name(name: str | None) -> None:
    """Raise `ConfigError` where the name of a run is no name of a folder."""
    if name is not None and ("/" in name or name in ("", ".", "..")):
        raise ConfigError(f"name is the name of a folder in records.dir, without '/', but got {name!r}")


def check_seed(name: str, value: int) -> None:
    """Raise `ConfigError` where a seed is none that every library takes."""
    if not 0 <= value < _SEEDS:
        raise ConfigError(f"{name} must be from 0 to {_SEEDS - 1:,}, but got {value}")


def cores_or(workers: int | str) -> int:
    """Return a number of workers; `auto` is one a core."""
    return workers if isinstance(workers, int) else len(os.sched_getaffinity(0))


def new_folder(path: Path, way_out: str) -> Path:
    """Make the folder of a run.

    Raises:
        ConfigError: it is there already, and `way_out` says what to do then; or it cannot be made.
    """
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        raise ConfigError(f"{path} is there already; {way_out}") from None
    except OSError as error:
        raise ConfigError(f"the folder {path} cannot be made: {error}") from None
    return path


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
    try:
        earlier = dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ConfigError(f"resume: no {what} in {path.parent}: {error}") from None
    changed = [key for key in settings if key not in free and earlier.get(key) != settings[key]]
    if changed:
        raise ConfigError(
            f"resume: {changed[0]} was {earlier.get(changed[0])!r} in {path.parent}, but is now "
            f"{settings[changed[0]]!r}; {', '.join(free)} may change"
        )
    return earlier
