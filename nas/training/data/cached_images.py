"""A folder of pictures from its cache (`nas.training.data.cache`)."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nas.run_folder import write_whole
from nas.training.data.cache.entry import Entry, Names
from nas.training.data.cache.pixels import PixelFile
from nas.training.data.config import DataConfig
from nas.training.data.content import TEST, TRAIN, VAL, first_part
from nas.training.data.splits import Images, Splits, Statistics, splits_of, statistics_of


@dataclass(frozen=True, eq=False)
class CachedImages:
    """Images whose pixels are in a file, which is mapped while they are read."""

    labels: Tensor
    pixels: PixelFile
    rows: NDArray[np.int64]
    """Of each image in the file."""
    files: Names
    """That they were read from, one each."""

    def read(self, indices: Tensor) -> Tensor:
        """Return those images as uint8 of shape `(len(indices), channels, height, width)`."""
        return torch.from_numpy(self.pixels.read(self.rows[indices.numpy()]))


def load_cached(entry: Entry, config: DataConfig) -> Splits:
    """Return what the entry was made from, as `split_by_content` does without a cache.

    Raises:
        DataError: an empty split, or a class without training images. OSError: the entry is gone.
    """
    places = dict(entry.places)
    if config.train_fraction < 1:
        places[TRAIN] = places[TRAIN][first_part(entry.labels[places[TRAIN]], config.train_fraction)]
        fingerprint = entry.division.fingerprint(config.train_fraction, entry.reading.shape)
    else:
        fingerprint = entry.fingerprint
    searched = entry.pixels(TRAIN)

    def images(split: str, pixels: PixelFile) -> CachedImages:
        own = places[split]
        return CachedImages(torch.from_numpy(entry.labels[own]), pixels, entry.rows[own], entry.names(own))

    return splits_of(
        config,
        entry.classes,
        entry.reading.shape,
        train=images(TRAIN, searched),
        val=images(VAL, searched),
        test_labels=torch.from_numpy(entry.labels[places[TEST]]),
        test=lambda: images(TEST, entry.pixels(TEST)),
        fingerprint=fingerprint,
        notes=entry.notes,
        reading=entry.reading,
        statistics=lambda train: _statistics(train, entry.folder),
        divide=lambda count: entry.division.folds(count, config.split_seed),
    )


def _statistics(train: Images, folder: Path) -> Statistics:
    """Return mean and standard deviation of training images.

    Of those of the training split the first process that asks takes note.
    """
    if not isinstance(train, CachedImages):
        return statistics_of(train)
    file = folder / f"statistics-{len(train.labels)}.json"
    with suppress(OSError, ValueError, TypeError, KeyError):
        known = json.loads(file.read_bytes())
        mean, std = tuple(map(float, known["mean"])), tuple(map(float, known["std"]))
        if len(mean) == len(std):
            return mean, std
    mean, std = statistics_of(train)
    with suppress(OSError):  # the cache may be another user's
        write_whole(file, json.dumps({"mean": mean, "std": std}))
    return mean, std
