"""What the commands with settings do to a command line before Hydra reads it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from nas.resources import resource_dir


def forgiving(arguments: Sequence[str]) -> list[str]:
    """Let settings that Hydra does not know through, so that the message names the nearest ones.

    `search.trial=3` becomes `++search.trial=3`, which adds what is not there; the names of config groups stay.
    """
    groups = {path.name for path in resource_dir("conf").iterdir() if path.is_dir()}

    def forgive(argument: str) -> str:
        setting = re.match(r"([A-Za-z_]\w*)[\w.]*=", argument)
        known = setting is None or setting[1] == "hydra" or setting[0][:-1] in groups
        return argument if known else f"++{argument}"

    return [forgive(argument) for argument in arguments]
