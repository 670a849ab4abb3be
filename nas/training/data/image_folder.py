"""The user's own images, in folders or with a table of their classes. Never loads torch before they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.training.data.data_set import DataSet
from nas.training.tasks.task import Task

if TYPE_CHECKING:
    from nas.training.data.config import DataConfig
    from nas.training.data.splits import Splits


def _load(config: DataConfig) -> Splits:
    from nas.training.data.image_files import load_image_folder

    return load_image_folder(config)


def _check(config: DataConfig) -> object:
    from nas.training.data.cache.cached import cached
    from nas.training.data.folders.usable import usable_pictures

    return cached(config) or usable_pictures(config)  # what is in a cache was looked at


def _task(config: DataConfig) -> Task:
    from nas.training.data.folders.usable import task_of

    return task_of(config)


IMAGE_FOLDER = DataSet(load=_load, check=_check, task=_task, resizes=True, files=True)
