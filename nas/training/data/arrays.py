"""The user's own images as NumPy's arrays: an `.npz`, or a folder of `.npy`. Never loads torch before they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.training.data.data_set import DataSet

if TYPE_CHECKING:
    from nas.training.data.config import DataConfig
    from nas.training.data.splits import Splits


def _load(config: DataConfig) -> Splits:
    from nas.training.data.array_images import load_arrays

    return load_arrays(config)


ARRAYS = DataSet(load=_load)
