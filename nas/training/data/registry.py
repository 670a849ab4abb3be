"""Data sets by name. One more is a file here, a row below, and a file in `conf/data/`. Never loads torch."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nas.errors import ConfigError, DataError, of_system
from nas.own_code import check_own
from nas.run_folder import user_path
from nas.training.data.arrays import ARRAYS
from nas.training.data.cells import CELLS
from nas.training.data.cifar import CIFAR10, CIFAR100
from nas.training.data.data_set import DataSet
from nas.training.data.digits import DIGITS
from nas.training.data.fashion_mnist import FASHION_MNIST
from nas.training.data.hf import HF
from nas.training.data.idx import IDX
from nas.training.data.image_folder import IMAGE_FOLDER
from nas.training.data.mask_folder import MASK_FOLDER
from nas.training.data.mnist1d import MNIST1D
from nas.training.data.own import OWN
from nas.training.data.series import SERIES
from nas.training.data.synthetic import SYNTHETIC
from nas.training.tasks.registry import DEFAULT

if TYPE_CHECKING:
    from nas.training.data.config import DataConfig
    from nas.training.recipe import Recipe
    from nas.training.tasks.task import Task

MOVED = "Where the data were moved, data.root=FOLDER says where they are now"
"""Behind an error of data whose folder is gone."""
_REFUSED = {errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR}
"""What is wrong with paths that a user gave, in the system's words."""
DATA_SETS: Mapping[str, DataSet] = {
    "arrays": ARRAYS,
    "cells": CELLS,
    "cifar10": CIFAR10,
    "cifar100": CIFAR100,
    "digits": DIGITS,
    "fashion_mnist": FASHION_MNIST,
    "hf": HF,
    "idx": IDX,
    "image_folder": IMAGE_FOLDER,
    "mask_folder": MASK_FOLDER,
    "mnist1d": MNIST1D,
    "own": OWN,
    "series": SERIES,
    "synthetic": SYNTHETIC,
}


@contextmanager
def telling_of_root(config: DataConfig) -> Iterator[None]:
    """Read data; where their folder is gone it is said how to name another, since a run may have brought the name.

    Raises:
        DataError: as what is done inside; or something may not be read, or its path is none that the system can follow.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        raise DataError(f"data {config.name}: {of_system(error)}") from None
    except DataError as error:
        if config.root is None or os.path.lexists(user_path(config.root)):
            raise
        raise DataError(f"{str(error).removesuffix('.')}. {MOVED}") from None


def check_files(config: DataConfig) -> None:
    """Look at the files of a data set as far as that needs no torch; those that are cached are decoded for it.

    Raises:
        DataError: something is wrong with them; says all of it at once.
        ConfigError: `data.root` names some, where the data set has none: what was meant is another one.
    """
    if config.root is not None and not DATA_SETS[config.name].has_files:
        raise ConfigError(
            f"data.root={config.root!r:.300} would not be read, since {config.name} has no files. Pictures in folders "
            "of their class are data=image_folder; nas search --help lists the others. For "
            f"{config.name} leave data.root out (data.root=null)"
        )
    with telling_of_root(config):
        DATA_SETS[config.name].check(config)


def check_recipe(config: DataConfig, recipe: Recipe) -> None:
    """Raise `ConfigError` where training by a recipe would do something that has no meaning for the data.

    Files of the user's own that both name must be there as they were named; they are not run.
    """
    for where, text in (*config.own_code, *recipe.own_code):
        check_own(text, where)
    config.task.check_training(cutmix=recipe.cutmix, balance=config.balance)
    check_pixels(config, recipe)
    if recipe.teacher is not None:
        check_taught(config.name, config.task)
        if config.folds:
            raise ConfigError(
                f"train.teacher with data.folds={config.folds}: what it teaches it has learned of images of each fold, "
                "on which networks would be scored; set one of the two to null or 0"
            )


def check_taught(name: str, task: Task) -> None:
    """Raise `ConfigError` where a network that learns some data can have no teacher (`train.teacher`).

    Args:
        name: of the data set.
        task: of the data.
    """
    series = name in DATA_SETS and DATA_SETS[name].series
    if task != DEFAULT or series:
        of = "series" if series else task.name
        raise ConfigError(f"train.teacher is for one class an image, but data {name} are of {of}; set it to null")


def check_pixels(config: DataConfig, recipe: Recipe) -> None:
    """Raise `ConfigError` where a recipe changes pixels, and the data have none.

    Series are moved, erased and mixed along time. `train.flip` is for data that say that a mirror image shows the same,
    which series do not.
    """
    if DATA_SETS[config.name].series and recipe.changes_pixels:
        raise ConfigError(
            "train: crops, rotation, colours and policies (flip_vertical to trivial_augment) are for images, but "
            f"data={config.name} has series; of these shift, erase, mixup and cutmix have a meaning, along time"
        )


def may_mirror(name: str) -> bool:
    """Whether a mirror image shows the same in a data set; of folders of images `data.augment` says that instead."""
    return name in DATA_SETS and DATA_SETS[name].mirrors
