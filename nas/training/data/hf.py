"""Images as Hugging Face's `datasets` saves them (extra `hf`). Never loads torch or that before they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.training.data.data_set import DataSet

if TYPE_CHECKING:
    from nas.training.data.config import DataConfig
    from nas.training.data.splits import Splits


def _load(config: DataConfig) -> Splits:
    from nas.training.data.hf_folder import load_hf

    return load_hf(config)


HF = DataSet(load=_load, resizes=True)
