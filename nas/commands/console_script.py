"""The console script `nas`: the commands as its subcommands."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from nas import __version__
from nas.commands.registry import COMMANDS, HELP, run_command
from nas.console import guard_streams, say_error
from nas.errors import nearest
from nas.json_output import FLAG, FLAG_HELP, json_document
from nas.starting import end_at_once

COMPLETE = "--complete"
"""Followed by a command line up to the cursor: asks for what may stand there. For the scripts of `nas completion`."""
FLAGS = ("--help", "--version")
"""What stands in the place of a command."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what a command line says and return the exit code: 2 where it has no command, or an unknown one.

    Args:
        arguments: the words after `nas`; None takes those of this process.
    """
    end_at_once("nas")
    guard_streams()
    words = sys.argv[1:] if arguments is None else list(arguments)
    if not words:
        print(help_text(), file=sys.stderr)
        return 2
    name, *rest = words
    if name in COMMANDS:
        end_at_once(f"nas.{name}")
        sys.argv[1:] = rest
        return run_command(name)
    if name == COMPLETE:
        from nas.commands.candidates import candidates

        print("".join(f"{candidate}\n" for candidate in candidates(" ".join(rest))), end="")
    elif name in HELP:
        print(help_text())
    elif name == "--version":
        print(f"nas {__version__}")
    else:
        what, known = ("option", FLAGS) if name.startswith("-") else ("command", COMMANDS)
        with json_document(FLAG in rest):
            say_error("nas", f"unknown {what} {name!r}. {nearest(name, known)} nas --help lists the commands")
        return 2
    return 0


def help_text() -> str:
    """Return what `nas --help` prints: the commands with a line each."""
    width = max(map(len, COMMANDS))
    return "\n".join(
        [
            "usage: nas COMMAND [ARGUMENT ...]",
            "",
            "Neural architecture search: the most accurate network under hard limits.",
            "",
            "commands",
            *(f"  {name:<{width}}  {command.line}" for name, command in COMMANDS.items()),
            "",
            "options",
            f"  {'--help':<{width}}  show this; after a command: explain it, with examples",
            f"  {FLAG:<{width}}  after a command: {FLAG_HELP}",
            f"  {'--version':<{width}}  show the version",
        ]
    )
