"""The user's own series: UCR and UEA files, or NumPy's. Never loads torch or NumPy before they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.training.data.data_set import DataSet

if TYPE_CHECKING:
    from nas.training.data.config import DataConfig
    from nas.training.data.splits import Splits


def _load(config: DataConfig) -> Splits:
    from nas.training.data.series_source import find_series
    from nas.training.data.series_splits import split_series

    return split_series(config, find_series(config))


def _check(config: DataConfig) -> object:
    from nas.training.data.series_source import find_series

    return find_series(config)


SERIES = DataSet(load=_load, check=_check, series=True)
