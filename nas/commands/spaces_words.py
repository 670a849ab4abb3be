"""The words of `python -m nas.spaces` that come before its settings."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from nas.commands.command_line import quoted
from nas.errors import ConfigError, nearest

COMMANDS = ("compare",)
_USAGE = "python -m nas.spaces compare [SPACE SPACE ...] [setting=value ...]; --help says more"


def overrides_from(arguments: Sequence[str]) -> list[str]:
    """Turn the words before the settings into a setting: `compare A B seed=1` into `+spaces=['A','B'] seed=1`.

    Raises:
        ConfigError: no command, an unknown one, or a word among the settings.
    """
    if any(argument in ("--help", "-h", "--hydra-help", "--version") for argument in arguments):
        return [argument for argument in arguments if argument.startswith("-")]
    words = list(takewhile(_is_word, arguments))
    if not words:
        raise ConfigError(f"which command? {_USAGE}")
    command, *spaces = words
    if command not in COMMANDS:
        raise ConfigError(f"unknown command {command!r}. {nearest(command, COMMANDS)} {_USAGE}")
    rest = list(arguments[len(words) :])
    for before, argument in zip(["", *rest], rest, strict=False):
        if _is_word(argument) and not before.startswith("-"):  # `--cfg job` is an option with its value
            raise ConfigError(f"{argument!r} is no setting=value; spaces come before the settings: {_USAGE}")
    return [f"+spaces=[{','.join(map(quoted, spaces))}]", *rest] if spaces else rest


def _is_word(argument: str) -> bool:
    return not argument.startswith("-") and "=" not in argument
