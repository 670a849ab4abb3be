"""What a row of the registry says of a command."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class OptionsCommand:
    """A command with options: `nas.commands.NAME` has a function `main(arguments)`, which returns the exit code."""

    line: str
    """What it does, in a line."""
    parser: Callable[[], argparse.ArgumentParser]
    """Reads its options."""


@dataclass(frozen=True, slots=True)
class SettingsCommand:
    """A command with settings, which Hydra reads: `conf/NAME.yaml` has them all."""

    line: str
    """What it does, in a line."""
    work: Callable[[dict[str, Any], list[str]], int]
    """Takes the settings, and those that the user typed; returns the exit code."""
    config: Callable[[], type]
    """Loads the class of its settings."""
    added: tuple[str, ...] = ("space",)
    """Settings and config groups that the file does not have: they are given with a `+`."""
    words: Callable[[Sequence[str]], list[str]] = list
    """Makes settings of what was typed; raises `ConfigError`."""
    first: tuple[str, ...] = ()
    """What its first word may be; names of spaces follow that, then settings. Empty: settings only."""
    argument: str = ""
    """The setting that the first word is taken for, such as `network`; empty where there is none."""
    flags: Mapping[str, Callable[[dict[str, Any], list[str]], int]] = field(default_factory=dict)
    """Flags of its own, each with what is done in place of `work` where it is given."""
