"""scikit-learn's digits, the data set that is always there. Never loads torch before they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.training.data.data_set import DataSet

if TYPE_CHECKING:
    from nas.training.data.config import DataConfig
    from nas.training.data.splits import Splits


def load_digits(config: DataConfig) -> Splits:
    """1,797 grey 8x8 images of ten digits (UCI "Optical recognition of handwritten digits", test set)."""
    import numpy as np
    import torch
    from sklearn.datasets import load_digits as sklearn_digits

    from nas.training.data.content import TRAIN
    from nas.training.data.split_by_content import split_images
    from nas.training.data.splits import MemoryImages

    bunch = sklearn_digits()
    # Grey levels are 0..16.
    pixels = torch.from_numpy((bunch.images * (255 / 16)).round().astype(np.uint8)).unsqueeze(1)
    images = MemoryImages(pixels, torch.from_numpy(bunch.target.astype(np.int64)))
    classes = tuple(str(name) for name in bunch.target_names)
    return split_images(config, classes, {TRAIN: images})


DIGITS = DataSet(load=load_digits, has_files=False, shape=lambda config: ((1, 8, 8), 10), images=1_797)
