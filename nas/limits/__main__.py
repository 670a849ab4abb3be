"""`python -m nas.limits +space=NAME constraints.params=5e5 ...`: the settings of a search, explained before it."""

from __future__ import annotations

import sys

import hydra
from omegaconf import DictConfig, OmegaConf

from nas.resources import resource_dir
from nas.search.overrides import forgiving


@hydra.main(version_base="1.3", config_path=str(resource_dir("conf")), config_name="limits")
def main(config: DictConfig) -> None:
    """Explain the limits of a search and exit with its code."""
    from nas.limits.command import limits

    values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)
    code = limits({str(key): value for key, value in values.items()})
    if code:
        sys.exit(code)


if __name__ == "__main__":
    sys.argv[1:] = forgiving(sys.argv[1:])
    main()
