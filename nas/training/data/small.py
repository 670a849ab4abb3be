"""Data sets that need no files: scikit-learn's digits, and synthetic images."""

from __future__ import annotations

import numpy as np
import torch

from nas.training.data.config import SYNTHETIC_RESOLUTION, DataConfig
from nas.training.data.splits import ImageData, MemoryImages, split_memory


def load_digits(config: DataConfig) -> ImageData:
    """1,797 grey 8x8 images of ten digits (UCI "Optical recognition of handwritten digits", test set)."""
    from sklearn.datasets import load_digits as sklearn_digits

    bunch = sklearn_digits()
    # Grey levels are 0..16.
    pixels = torch.from_numpy((bunch.images * (255 / 16)).round().astype(np.uint8)).unsqueeze(1)
    images = MemoryImages(pixels, torch.from_numpy(bunch.target.astype(np.int64)))
    classes = tuple(str(name) for name in bunch.target_names)
    return split_memory(classes, images, config)


def load_synthetic(config: DataConfig) -> ImageData:
    """Noise around one random pattern a class, for tests and for trying things out; made from `split_seed`."""
    rng = np.random.default_rng(config.split_seed)
    size = config.resolution or SYNTHETIC_RESOLUTION
    patterns = rng.uniform(0, 255, (config.num_classes, config.channels, size, size))
    labels = np.arange(config.samples) % config.num_classes
    noise = rng.normal(0, 64, (config.samples, config.channels, size, size))
    pixels = np.clip(patterns[labels] + noise, 0, 255).astype(np.uint8)
    images = MemoryImages(torch.from_numpy(pixels), torch.from_numpy(labels.astype(np.int64)))
    classes = tuple(str(i) for i in range(config.num_classes))
    return split_memory(classes, images, config)
