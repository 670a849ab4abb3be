"""What commands that evaluate networks share: how many they evaluate at a time, and where results go."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

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
