"""Loading a data set by its config."""

from __future__ import annotations

from functools import lru_cache

from nas.training.data.config import DataConfig
from nas.training.data.registry import DATA_SETS
from nas.training.data.splits import ImageData


@lru_cache(maxsize=2)
def load_data(config: DataConfig) -> ImageData:
    """Load and split a data set; a process loads the same one once.

    Raises:
        DataError: missing or malformed files; says how to get them.
    """
    return DATA_SETS[config.name].load(config)
