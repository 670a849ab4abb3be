"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), from their files. Never loads numpy or torch before they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.errors import DataError
from nas.run_folder import user_path
from nas.training.data.data_set import DataSet

if TYPE_CHECKING:
    from nas.training.data.cifar_files import Form
    from nas.training.data.config import DataConfig
    from nas.training.data.splits import Splits


def load_cifar10(config: DataConfig) -> Splits:
    """50,000 training images, of which about `val_fraction` is for validation, and 10,000 test images, 3x32x32.

    Raises:
        DataError: files missing or malformed; says how to get them.
    """
    from nas.training.data.cifar_files import CIFAR10_FORMS

    return _load(config, 10, CIFAR10_FORMS)


def load_cifar100(config: DataConfig) -> Splits:
    """As `load_cifar10`, with the 100 fine classes.

    Raises:
        DataError: files missing or malformed; says how to get them.
    """
    from nas.training.data.cifar_files import CIFAR100_FORMS

    return _load(config, 100, CIFAR100_FORMS)


CIFAR10 = DataSet(
    load=load_cifar10,
    shape=lambda config: ((3, 32, 32), 10),
    images=60_000,
    has_test_split=True,
    mirrors=True,
)
CIFAR100 = DataSet(
    load=load_cifar100,
    shape=lambda config: ((3, 32, 32), 100),
    images=60_000,
    has_test_split=True,
    mirrors=True,
)


def _load(config: DataConfig, num_classes: int, forms: tuple[Form, ...]) -> Splits:
    from nas.training.data.cifar_files import find_files
    from nas.training.data.content import TEST, TRAIN
    from nas.training.data.split_by_content import split_images

    archives = " or ".join(form.archive for form in forms)
    how = f"Get {archives} from https://www.cs.toronto.edu/~kriz/cifar.html, then give data.root= it, or its folder"
    if not config.root:
        raise DataError(f"data {config.name}: {how}")
    root = user_path(config.root)
    files = find_files(root, config.name, num_classes, forms)
    if files is None:
        raise DataError(f"data {config.name}: no {forms[0].test} or {forms[1].test} in {root}. {how}")
    return split_images(config, files.classes(), {TRAIN: files.train(), TEST: files.test()})
