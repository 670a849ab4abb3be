"""Loading a data set by its config, as a search has it: the training and the validation split."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from nas.training.data.config import MOST_FOLDS, DataConfig
from nas.training.data.registry import DATA_SETS, telling_of_root
from nas.training.data.splits import ImageData

_LOG = logging.getLogger(__name__)


@lru_cache(maxsize=2)
def load_data(config: DataConfig) -> ImageData:
    """Load and split a data set; a process loads the same one once.

    What a user should know of the splits is logged as warnings.

    Raises:
        DataError: missing or malformed files; says how to get them.
    """
    with telling_of_root(config):
        data = DATA_SETS[config.name].load(config).data
    for note in data.notes:
        _LOG.warning("data %s: %s", config.name, note)
    return data


@contextmanager
def notes_elsewhere() -> Iterator[None]:
    """Load data without logging what a user should know of them: it has been said, or is said behind."""
    before, _LOG.disabled = _LOG.disabled, True
    try:
        yield
    finally:
        _LOG.disabled = before


@lru_cache(maxsize=MOST_FOLDS)
def load_fold(config: DataConfig, number: int) -> ImageData:
    """Return the data of one training of k-fold validation, as `ImageData.in_fold`; fold 0 is `load_data`.

    Raises:
        DataError: as `load_data`.
    """
    data = load_data(config)
    return data.in_fold(number, config.folds) if number else data


def load_learned(config: DataConfig) -> ImageData:
    """Return the data that a network learns whose weights are kept: those without the first fold, or of training.

    Raises:
        DataError: as `load_data`.
    """
    return load_fold(config, 1 if config.folds else 0)
