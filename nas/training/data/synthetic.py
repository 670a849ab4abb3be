"""Synthetic images, for trying things out. Never loads torch before they are made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.training.data.data_set import DataSet

if TYPE_CHECKING:
    from nas.training.data.config import DataConfig
    from nas.training.data.splits import Splits

_RESOLUTION = 16
"""Where `data.resolution` says nothing."""


def _shape(config: DataConfig) -> tuple[tuple[int, ...], int]:
    size = config.resolution or _RESOLUTION
    return (config.channels, size, size), config.num_classes


def load_synthetic(config: DataConfig) -> Splits:
    """Noise around one random pattern a class, made from `split_seed`."""
    import numpy as np
    import torch

    from nas.training.data.content import TRAIN
    from nas.training.data.split_by_content import split_images
    from nas.training.data.splits import MemoryImages

    shape, count = _shape(config)
    rng = np.random.default_rng(config.split_seed)
    patterns = rng.uniform(0, 255, (count, *shape))
    labels = np.arange(config.samples) % count
    noise = rng.normal(0, 64, (config.samples, *shape))
    pixels = np.clip(patterns[labels] + noise, 0, 255).astype(np.uint8)
    images = MemoryImages(torch.from_numpy(pixels), torch.from_numpy(labels.astype(np.int64)))
    return split_images(config, tuple(str(i) for i in range(count)), {TRAIN: images})


SYNTHETIC = DataSet(load=load_synthetic, has_files=False, shape=_shape, resizes=True)
