"""`python -m nas.spaces compare A B [more] [setting=value ...]`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from nas.console import run
from nas.errors import ConfigError, nearest
from nas.search.command_line import quoted
from nas.search.hydra_main import hydra_main

COMMANDS = ("compare",)
_USAGE = "python -m nas.spaces compare SPACE SPACE [setting=value ...]; --help says more"


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


def _compare(values: dict[str, Any], _: list[str]) -> int:
    from nas.spaces.command import compare

    return compare(values)


def _main() -> None:
    taken: list[str] = []
    code = run("nas.spaces", lambda: taken.extend(overrides_from(sys.argv[1:])))
    if code:
        sys.exit(code)
    sys.argv[1:] = taken
    hydra_main("spaces", _compare)


if __name__ == "__main__":
    _main()
