"""`python -m nas.search +space=NAME [setting=value ...]`: Hydra at the edge, plain values below.

Heavy packages are imported when a search starts, so that `--help` answers at once.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

import hydra
from omegaconf import DictConfig, OmegaConf

from nas.resources import resource_dir


@hydra.main(version_base="1.3", config_path=str(resource_dir("conf")), config_name="search")
def main(config: DictConfig) -> None:
    """Run one search and exit with its code."""
    from hydra.core.hydra_config import HydraConfig

    from nas.search.command import search

    values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)
    code = search({str(key): value for key, value in values.items()}, list(HydraConfig.get().overrides.task))
    if code:
        sys.exit(code)


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


if __name__ == "__main__":
    sys.argv[1:] = forgiving(sys.argv[1:])
    main()
