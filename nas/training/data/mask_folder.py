"""The user's own images with a mask each, of the class of each pixel. Never loads torch before they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.training.data.data_set import DataSet
from nas.training.tasks.segmentation import SEGMENTATION

if TYPE_CHECKING:
    from nas.training.data.config import DataConfig
    from nas.training.data.splits import Splits


def _load(config: DataConfig) -> Splits:
    from nas.training.data.mask_files import load_mask_folder

    return load_mask_folder(config)


def _check(config: DataConfig) -> object:
    from nas.training.data.folders.masks import masked_pictures

    return masked_pictures(config)


MASK_FOLDER = DataSet(load=_load, check=_check, task=lambda config: SEGMENTATION, resizes=True, files=True)
