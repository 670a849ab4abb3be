"""The files in `conf/`, read without Hydra: its import alone takes longer than help or a completion may."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from nas.resources import resource_dir


def help_text(name: str) -> str | None:
    """Return the help of the command whose settings are `conf/NAME.yaml`, as Hydra's own `--help` prints it.

    None where Hydra has to make it: there is none in the file itself, or it has something to be filled in.
    """
    template = _read(name).get("hydra", {}).get("help", {}).get("template")
    return template if isinstance(template, str) and "$" not in template else None


def settings_of(name: str, chosen: Mapping[str, str]) -> tuple[dict[str, Any], set[str]]:
    """Return the settings of `conf/NAME.yaml` with those of its defaults list, and the config groups in that.

    Args:
        name: of the file, without its ending.
        chosen: config files in place of those of the defaults list, by the name of the group.

    Returns:
        Settings by name, those of a group under the name of the group, each with its default; and the groups. A group
        that is set to something that there is not has no settings.
    """
    own = _read(name)
    settings: dict[str, Any] = {}
    groups: set[str] = set()
    for entry in own.pop("defaults", []):
        if isinstance(entry, str) and entry != "_self_":
            inherited, more = settings_of(entry, chosen)
            settings, groups = _merged(settings, inherited), groups | more
        elif isinstance(entry, dict):
            # `override hydra/...` is of Hydra's own settings.
            for group, default in ((key, value) for key, value in entry.items() if " " not in key):
                groups.add(group)
                settings = _merged(settings, _of_group(group, chosen.get(group, default)))
    own.pop("hydra", None)
    return _merged(settings, own), groups


_PACKAGE = re.compile(r"^# @package (\w+)$", re.MULTILINE)
"""In a file of a group: what its settings are named under, where that is not the group."""


def _of_group(group: str, choice: str | None) -> dict[str, Any]:
    """Return the settings of a file of a group under the name that they have; none where nothing is chosen."""
    path = resource_dir("conf") / group / f"{choice}.yaml"
    if choice is None or not path.is_file():
        return {group: {}} if choice is not None else {}
    text = path.read_text()
    package = _PACKAGE.search(text)
    own = yaml.safe_load(text) or {}
    settings: dict[str, Any] = {}
    for entry in own.pop("defaults", []):
        for other, inner in entry.items():  # such as `/recipe@_here_: sgd`
            settings |= _read(f"{other.strip('/').partition('@')[0]}/{inner}")
    return {package[1] if package else group: settings | own}


def _read(name: str) -> dict[str, Any]:
    path = resource_dir("conf") / f"{name}.yaml"
    return yaml.safe_load(path.read_text()) if path.is_file() else {}


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return both together; where both have a value, that of the second."""
    both = {key: _merged(first[key], second[key]) for key in first if _is_mapping(first[key], second.get(key))}
    return {**first, **second, **both}


def _is_mapping(*values: object) -> bool:
    return all(isinstance(value, Mapping) for value in values)
