"""The data that the run in a folder was made with, as the folder itself says. Never loads torch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from nas.run_folder import read_json
from nas.settings import as_recorded
from nas.training.data.config import DataConfig

_RECORDS = (
    ("study.json", ("notes", "config", "data")),
    ("settings.json", ("data",)),
    ("train.json", ("data_settings",)),  # of a training from Python, which has no settings of a command
)
"""Files of a run folder with settings of data, and where in them these are; the first that has them is taken."""


def recorded_data(folder: Path) -> dict[str, Any] | None:
    """Return the settings of the data of the run in a folder, for `DataConfig`; None where it has no record of them.

    Raises:
        ConfigError: a record cannot be read.
    """
    for file, path in _RECORDS:
        if (folder / file).is_file():
            settings = read_json(folder / file, "the record of the run", partial(_at, path))
            if settings is not None:
                return dict(as_recorded(DataConfig, settings))
    return None


def _at(path: tuple[str, ...], values: Any) -> dict[str, Any] | None:
    found: Any = values
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return dict(found) if isinstance(found, Mapping) else None
