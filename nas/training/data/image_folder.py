"""The user's own images, in folders: one folder a class. Never loads torch before they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.training.data.data_set import DataSet

if TYPE_CHECKING:
    from nas.training.data.config import DataConfig
    from nas.training.data.splits import Splits


def _load(config: DataConfig) -> Splits:
    from nas.training.data.image_files import load_image_folder

    return load_image_folder(config)


IMAGE_FOLDER = DataSet(load=_load, resizes=True, files=True)
