"""The words of `python -m nas.spaces` that come before its settings."""

from __future__ import annotations

from collections.abc import Sequence

from nas.commands.command_line import asks_for_help, words_to
from nas.errors import ConfigError, nearest

COMMANDS = ("compare",)
_USAGE = "python -m nas.spaces compare [SPACE SPACE ...] [setting=value ...]; --help says more"


def overrides_from(arguments: Sequence[str]) -> list[str]:
    """Turn the words before the settings into a setting: `compare A B seed=1` into `+spaces=['A','B'] seed=1`.

    Raises:
        ConfigError: no command, an unknown one, or a word among the settings.
    """
    if asks_for_help(arguments):
        return words_to("spaces", arguments, _USAGE)
    command, *rest = arguments or [""]
    if not command or command.startswith("-") or "=" in command:
        raise ConfigError(f"which command? {_USAGE}")
    if command not in COMMANDS:
        raise ConfigError(f"unknown command {command!r}. {nearest(command, COMMANDS)} {_USAGE}")
    return words_to("spaces", rest, _USAGE)
