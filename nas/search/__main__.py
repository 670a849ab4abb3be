"""`python -m nas.search +space=NAME [setting=value ...]`: Hydra at the edge, plain values below.

Heavy packages are imported when a search starts, so that `--help` answers at once.
"""

from __future__ import annotations

import sys

import hydra
from omegaconf import DictConfig, OmegaConf

from nas.resources import resource_dir
from nas.search.overrides import forgiving


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


if __name__ == "__main__":
    sys.argv[1:] = forgiving(sys.argv[1:])
    main()
