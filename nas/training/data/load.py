"""Loading a data set by its config."""

from __future__ import annotations

from functools import lru_cache

from nas.training.data.config import DataConfig
from nas.training.data.fashion_mnist import load_fashion_mnist
from nas.training.data.image_folder import load_image_folder
from nas.training.data.small import load_digits, load_synthetic
from nas.training.data.splits import ImageData

_LOADERS = {
    "digits": load_digits,
    "fashion_mnist": load_fashion_mnist,
    "image_folder": load_image_folder,
    "synthetic": load_synthetic,
}


@lru_cache(maxsize=2)
def load_data(config: DataConfig) -> ImageData:
    """Load and split a data set; a process loads the same one once.

    Raises:
        DataError: missing or malformed files; says how to get them.
    """
    return _LOADERS[config.name](config)
