"""MNIST-1D (Greydanus & Kobak 2024, "Scaling down deep learning with MNIST-1D"), made by the authors' package.

Never loads torch, NumPy or that before it is made.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from nas.errors import DataError
from nas.training.data.data_set import DataSet

if TYPE_CHECKING:
    from nas.training.data.config import DataConfig
    from nas.training.data.splits import Splits

LENGTH, CLASSES = 40, 10


def _check(config: DataConfig) -> object:
    if find_spec("mnist1d") is None:
        raise DataError(
            "data mnist1d: its series are made by the authors' package, which is not installed: pip install mnist1d "
            "(extra mnist1d); nothing is downloaded then"
        )
    return None


def load_mnist1d(config: DataConfig) -> Splits:
    """4,000 training and 1,000 test series of 40 steps: the package's default arguments, with its seed.

    Raises:
        DataError: the package is not installed.
    """
    _check(config)
    import random
    from importlib.metadata import version

    import numpy as np
    from mnist1d.data import get_dataset_args, make_dataset

    from nas.training.data.content import TEST, TRAIN
    from nas.training.data.series_source import Given, Sources
    from nas.training.data.series_splits import split_series

    states = random.getstate(), np.random.get_state()  # it seeds the generators of the whole process
    try:
        made = make_dataset(get_dataset_args())
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
    given = {
        split: Given(
            [*made[f"x{end}"].astype(np.float32)[:, None]],
            made[f"y{end}"].astype(np.int64),
            f"{split} series {{}}".format,
        )
        for split, end in ((TRAIN, ""), (TEST, "_test"))
    }
    note = f"made by the package mnist1d {version('mnist1d')}"
    return split_series(config, Sources(tuple(map(str, range(CLASSES))), given, (note,)))


MNIST1D = DataSet(
    load=load_mnist1d,
    check=_check,
    shape=lambda config: ((1, LENGTH), CLASSES),
    images=5_000,
    has_files=False,
    has_test_split=True,
    series=True,
)
