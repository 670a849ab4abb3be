"""What the commands with settings share: Hydra at the edge, plain values below."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException
from omegaconf import DictConfig, OmegaConf

from nas.commands.command_line import check_single, groups_in, hydra_arguments, with_own_code
from nas.console import guard_streams, say_error
from nas.errors import NasError
from nas.resources import resource_dir
from nas.settings import paths, single_settings
from nas.starting import INTERRUPTED


def hydra_main(
    settings: str,
    work: Callable[[dict[str, Any], list[str]], int],
    config: Callable[[], type],
    *,
    words: Callable[[Sequence[str]], list[str]] = list,
    flags: Collection[str] = (),
) -> None:
    """Read the command line, do a command's work and exit with its code.

    Args:
        settings: the file in `conf/` that has all settings of the command.
        work: takes the settings as plain values, and those that the user typed; returns the exit code.
        config: loads the class of the settings.
        words: makes settings of the words of the command line; raises `ConfigError`.
        flags: those of the command itself, which are taken out already; messages name them.
    """

    @hydra.main(version_base="1.3", config_path=str(resource_dir("conf")), config_name=settings)
    def main(config: DictConfig) -> None:
        values = OmegaConf.to_container(config, resolve=True)
        assert isinstance(values, dict)
        code = work({str(key): value for key, value in values.items()}, list(HydraConfig.get().overrides.task))
        if code:
            sys.exit(code)

    guard_streams()
    try:
        typed = words(sys.argv[1:])
        declarations = [*paths(config())]
        text = {path for path, declared in declarations if declared.typed in ("text", "path", "code")}
        code = {path: declared.typed == "codes" for path, declared in declarations if declared.typed.startswith("code")}
        check_single(typed, single_settings(config()), [path for path, _ in declarations])
        typed = with_own_code(typed, code)
        sys.argv[1:] = hydra_arguments(typed, groups=_groups(typed), text=text, several=_several, flags=flags)
    except NasError as error:
        say_error(f"nas.{settings}", error)
        sys.exit(2)
    try:
        main()
    except KeyboardInterrupt:
        say_error(f"nas.{settings}", "interrupted")
        sys.exit(INTERRUPTED)


def _groups(arguments: Sequence[str]) -> dict[str, list[str]]:
    """Config groups of ours and, where the user has a folder of settings, of theirs."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", "-cd", type=Path)
    folder = parser.parse_known_args(arguments)[0].config_dir
    groups = groups_in(resource_dir("conf"))
    for name, choices in groups_in(folder).items() if folder is not None and folder.is_dir() else ():
        groups[name] = sorted({*groups.get(name, ()), *choices})
    return groups


def _several(setting: str) -> bool | None:
    try:
        (override,) = OverridesParser.create().parse_overrides([setting])
    except OverrideParseException:
        return None
    return override.is_sweep_override()
