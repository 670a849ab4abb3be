"""Images with classes from a Python class of the user's own (`data.module`). Never loads torch before they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.errors import DataError
from nas.own_code import check_own
from nas.training.data.data_set import DataSet

if TYPE_CHECKING:
    from nas.training.data.config import DataConfig
    from nas.training.data.splits import Splits


def _check(config: DataConfig) -> None:
    if config.module is None:
        raise DataError("data own: give data.module=FILE.py:NAME, see docs/your-own.md")
    check_own(config.module, "data.module")


def load_own_data(config: DataConfig) -> Splits:
    """What an object of the user's gives, see `nas.training.data.own_images`."""
    _check(config)
    from nas.training.data.own_images import load_own_images

    return load_own_images(config)


OWN = DataSet(load=load_own_data, check=_check)
