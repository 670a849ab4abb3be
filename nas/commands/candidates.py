"""What may stand at the cursor of a command line: the answers of tab completion."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from nas.commands.command import OptionsCommand, SettingsCommand
from nas.commands.command_line import FLAGS, FLAGS_WITH_VALUE, groups_in
from nas.commands.conf_files import settings_of
from nas.commands.options import known_values
from nas.commands.registry import COMMANDS
from nas.json_output import FLAG as JSON
from nas.resources import resource_dir, space_names

_SPACES = ("space", "table_space")
"""Settings that name a space."""
_SHOWN = {"--cfg": ("job", "hydra", "all"), "-c": ("job", "hydra", "all")}
"""Values of flags of Hydra."""
_WORD = re.compile(r"(?P<sign>[+~]{0,2})(?P<path>[^=]*)(?P<equals>=?)(?P<value>.*)", re.DOTALL)


def candidates(line: str) -> list[str]:
    """Return the words that the last word of a command line may become.

    Args:
        line: from the name of the program to the cursor.

    Returns:
        Whole words end with a space, those that go on (`data=`, `search.`) do not. Empty where nothing is known, as of
        paths: a shell then completes names of files.
    """
    try:
        words = shlex.split(f"{line}x")  # so that there is a last word, also behind a space
    except ValueError:  # a quote is open
        return []
    last = words.pop()[:-1]
    programs = [place for place, word in enumerate(words) if PurePath(word).name == "nas"]
    if not programs:
        return []
    words = words[programs[0] + 1 :]
    if not words:
        return _whole([*COMMANDS, "--help", "--version"] if last.startswith("-") else COMMANDS, last)
    command = COMMANDS.get(words[0])
    if isinstance(command, SettingsCommand):
        return _of_settings(words[0], command, words[1:], last)
    return _of_options(command, words[1:], last) if command is not None else []


def _whole(words: Iterable[str], start: str) -> list[str]:
    return [f"{word} " for word in words if word.startswith(start)]


# Options


def _of_options(command: OptionsCommand, before: Sequence[str], last: str) -> list[str]:
    actions = command.parser()._actions  # argparse has no public list of them
    options = {option: action for action in actions for option in action.option_strings}
    if before and _takes_value(options.get(before[-1])):
        return _whole(known_values(options[before[-1]]), last)
    option, equals, _ = last.partition("=")
    if equals and _takes_value(options.get(option)):
        return _whole((f"{option}={value}" for value in known_values(options[option])), last)
    places = [action for action in actions if not action.option_strings]
    values = (_takes_value(options.get(word)) for word in ("", *before))
    taken = sum(not word.startswith("-") and not value for word, value in zip(before, values, strict=False))
    if last.startswith("-") or taken >= len(places):
        return _whole(sorted(options), last)
    return _whole(known_values(places[taken]), last)


def _takes_value(action: argparse.Action | None) -> bool:
    return action is not None and action.nargs != 0


# Settings


def _of_settings(name: str, command: SettingsCommand, before: Sequence[str], last: str) -> list[str]:
    if before and before[-1] in FLAGS_WITH_VALUE:
        return _whole(_SHOWN.get(before[-1], ()), last)
    if last.startswith("-"):
        return _whole(sorted({*FLAGS, *FLAGS_WITH_VALUE, JSON, *command.flags}), last)
    leading = _leading(command, before, last)
    return leading if command.first and not before else leading + _setting(name, command, before, last)


_SEVERAL = "networks"
"""The setting that is given as several words."""


def _leading(command: SettingsCommand, before: Sequence[str], last: str) -> list[str]:
    """Return words that come before the settings of a command: what it is to do, and with which spaces."""
    if not before:
        return _whole(space_names() if command.argument in ("network", _SEVERAL) else command.first, last)
    if not (command.first or command.argument == _SEVERAL) or any("=" in word for word in before):
        return []
    return _whole((space for space in space_names() if space not in before), last)


def _setting(name: str, command: SettingsCommand, before: Sequence[str], last: str) -> list[str]:
    choices = groups_in(resource_dir("conf"))
    given = (word.lstrip("+").partition("=") for word in before)
    chosen = {group: value for group, _, value in given if value in choices.get(group, ())}
    settings, groups = settings_of(name, chosen)
    match = _WORD.fullmatch(last)
    assert match is not None
    sign, path = match["sign"], match["path"]
    choices = {group: choices[group] for group in {*groups, *command.added} if group in choices}
    if match["equals"]:
        values = choices[path] if path in choices else _values(settings, command, path)
        return _whole((f"{sign}{path}={value}" for value in values), last)
    names = [*(f"{group}=" for group in groups), *_names(settings, path)]
    plus = "" if last else "+"  # shown where nothing is typed; without it they are understood too
    names += [f"{plus}{added}=" for added in command.added]
    return sorted({f"{sign}{name}" for name in names if f"{sign}{name}".startswith(last)})


def _names(settings: Mapping[str, Any], path: str) -> list[str]:
    """Return the settings beside the one that is being typed; those that hold others end with a dot."""
    parent, dot, _ = path.rpartition(".")
    found = _at(settings, parent) if dot else settings
    if not isinstance(found, Mapping):
        return []
    return [f"{parent}{dot}{key}{'.' if isinstance(value, Mapping) and value else '='}" for key, value in found.items()]


def _values(settings: Mapping[str, Any], command: SettingsCommand, path: str) -> Sequence[str]:
    """Return what a setting may be: names, the two values of a switch, or as a start its default."""
    if path in _SPACES and (path in settings or path in command.added):
        return space_names()
    default = _at(settings, path)
    if isinstance(default, bool):
        return ("true", "false")
    if isinstance(default, list):
        return [f"[{','.join(map(str, default))}]"]
    return [str(default)] if isinstance(default, str | int | float) else []


def _at(settings: Mapping[str, Any], path: str) -> object:
    found: object = settings
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
