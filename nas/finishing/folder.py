"""The folder of a finish, in that of its search: its files, and the settings that it goes on with."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

from nas.errors import ConfigError
from nas.finishing.config import FinishConfig
from nas.finishing.searched import Searched
from nas.resume import begun_with, check_typed, read_settings, resumed, with_absolute_paths
from nas.run_folder import shown, write_whole
from nas.settings import as_recorded, changeable, settings_from
from nas.training.used_files import check_same_files

SETTINGS, REPORT_JSON, REPORT_MD = "settings.json", "report.json", "report.md"
"""In the folder of a finish: settings, and what was found, for programs and for people."""
CANDIDATES = "candidates.json"
"""In that too: what there was to choose the baselines from."""
RECOMMENDED, MODEL = "recommended.json", "model"
"""Beside these the network that is recommended: its architecture, and the folder that ships."""
_OF_SEARCH = ("study_id", "finalists")
"""In the file of the settings, beside these: of which search, and of which of its networks they are."""
_FILES = "files"
"""In that too: what trainings read beside the data (`used_files`)."""
_OWN = (*_OF_SEARCH, _FILES)


def settings_of(values: Mapping[str, Any], typed: Collection[str], home: Path) -> FinishConfig:
    """Return the settings of a finish: for one that was begun those of then, and what the user typed now.

    Args:
        values: settings as plain values, defaults included.
        typed: paths of those that the user gave.
        home: folder of the finish.

    Raises:
        ConfigError: a setting that there is not, or another value of one that may not change.
    """
    values = with_absolute_paths(FinishConfig, values)
    if not (home / SETTINGS).exists():
        return settings_from(FinishConfig, values)
    check_typed(FinishConfig, typed)
    saved = read_settings(home / SETTINGS, "finish")
    missing = [name for name in (*_OF_SEARCH, "finish", "train") if name not in saved]
    if missing:
        raise ConfigError(
            f"{shown(home / SETTINGS)} has no {missing[0]!r}, which every finish writes. Take the file from a copy, or "
            f"remove or rename {shown(home)} to finish the search anew"
        )
    begun = {key: value for key, value in saved.items() if key not in _OWN}
    begun = with_absolute_paths(FinishConfig, as_recorded(FinishConfig, begun))
    settings = resumed(begun, values, [*typed, "run"], [*changeable(FinishConfig)], home)
    with begun_with(home / SETTINGS):
        return settings_from(FinishConfig, settings)


def recorded_settings(home: Path) -> dict[str, Any]:
    """Return the settings that a finish was begun with, as plain values; raises `ConfigError` where there are none."""
    return {key: value for key, value in read_settings(home / SETTINGS, "finish").items() if key not in _OWN}


def check_same(config: FinishConfig, searched: Searched, files: Mapping[str, Any], home: Path) -> None:
    """Make sure that an earlier finish in the folder is of the same networks, and reads the same files.

    Args:
        config: settings of the finish.
        searched: the search.
        files: what its trainings read beside the data (`used_files`).
        home: folder of the finish.

    Raises:
        ConfigError: it is of others, since the search has gone on, or a file was changed.
    """
    if not (home / SETTINGS).exists():
        return
    earlier = read_settings(home / SETTINGS, "finish")
    check_same_files(
        earlier.get(_FILES, {}), files, home, f"remove or rename {shown(home)} to finish the search anew with it"
    )
    for name, value in known_of(config, searched).items():
        if earlier.get(name) != value:
            raise ConfigError(
                f"{shown(home)} is a finish of other networks: the search has gone on since. Remove or rename that "
                "folder to finish the search anew"
            )


def known_of(config: FinishConfig, searched: Searched) -> dict[str, Any]:
    """Return of which search settings are, and of which of its networks."""
    finalists = [trial.trained_id for trial, _ in searched.finalists(config.finish.top_k)]
    return dict(zip(_OF_SEARCH, (searched.study.study_id, finalists), strict=True))


def write_settings(config: FinishConfig, searched: Searched, files: Mapping[str, Any], home: Path) -> None:
    """Write the settings that the finish goes on with, and what its trainings read beside the data (`used_files`)."""
    known = {**known_of(config, searched), _FILES: files}
    settings = json.loads(json.dumps({**asdict(config), **known}))
    write_whole(home / SETTINGS, json.dumps(settings, indent=1) + "\n")


def seconds_by_name(values: Any) -> dict[str, float]:
    """Read seconds by a name each; raises `ValueError` or `TypeError` for what is no time, such as NaN or -1."""
    for name, seconds in values.items():
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise TypeError(f"{name} must be a number of seconds, but is {seconds!r:.80}")
        if not (isfinite(seconds) and seconds >= 0):
            raise ValueError(f"{name} must be a finite number of seconds >= 0, but is {seconds!r}")
    return {str(name): float(seconds) for name, seconds in values.items()}
