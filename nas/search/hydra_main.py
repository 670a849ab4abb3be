"""What the commands with settings share: Hydra at the edge, plain values below."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from nas.console import interruptible, steady
from nas.resources import resource_dir


def hydra_main(settings: str, work: Callable[[dict[str, Any], list[str]], int]) -> None:
    """Read the command line, do a command's work and exit with its code.

    Args:
        settings: the file in `conf/` that has all settings of the command.
        work: takes the settings as plain values, and those that the user typed; returns the exit code.
    """

    @hydra.main(version_base="1.3", config_path=str(resource_dir("conf")), config_name=settings)
    def main(config: DictConfig) -> None:
        values = OmegaConf.to_container(config, resolve=True)
        assert isinstance(values, dict)
        code = work({str(key): value for key, value in values.items()}, list(HydraConfig.get().overrides.task))
        if code:
            sys.exit(code)

    steady()
    interruptible()
    sys.argv[1:] = _forgiving(sys.argv[1:])
    main()


def _forgiving(arguments: Sequence[str]) -> list[str]:
    """Let settings that Hydra does not know through, so that the message names the nearest ones.

    `search.trial=3` becomes `++search.trial=3`, which adds what is not there; the names of config groups stay.
    """
    groups = {path.name for path in resource_dir("conf").iterdir() if path.is_dir()}

    def forgive(argument: str) -> str:
        setting = re.match(r"([A-Za-z_]\w*)[\w.]*=", argument)
        known = setting is None or setting[1] == "hydra" or setting[0][:-1] in groups
        return argument if known else f"++{argument}"

    return [forgive(argument) for argument in arguments]
