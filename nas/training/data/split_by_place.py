"""Splits of scheme 1: by the place of an image among the others, as in studies from before splits by content.

One more image moves others from split to split. It is kept so that such studies go on with the splits that they have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from nas.exporting.reading import Reading
from nas.network.ops import Shape
from nas.training.data.config import DataConfig
from nas.training.data.content import TEST, TRAIN, VAL
from nas.training.data.splits import Images, Indices, Splits, part_of, some_of, splits_of


def split_indices(labels: Indices, fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Split indices into `(rest, held out)` by seed, with `fraction` of every class held out (at least one image
    of each class that has two), both in random order.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    held_out = []
    for label in np.unique(labels):
        members = order[labels[order] == label]
        count = min(max(1, round(fraction * len(members))), len(members) - 1)
        held_out.append(members[:count])
    out = rng.permutation(np.concatenate(held_out))
    rest = order[~np.isin(order, out)]
    return rest, out


def split_images_by_place(
    config: DataConfig,
    classes: tuple[str, ...],
    given: Mapping[str, Images],
    *,
    keep: bool = True,
    notes: Sequence[str] = (),
) -> Splits:
    """Split images as the config says, as far as they have no splits of their own: first the test, then validation.

    Args: those of `nas.training.data.split_by_content.split_images`.
    """
    train, parts, seed = given[TRAIN], dict(given), config.split_seed
    rest = np.arange(len(train.labels))
    for split, fraction in ((TEST, config.test_fraction), (VAL, config.val_fraction)):
        if split not in given:
            kept, out = split_indices(train.labels.numpy()[rest], fraction, seed)
            parts[split] = part_of(train, torch.from_numpy(rest[out]), keep=keep)
            rest, seed = rest[kept], seed + 1
    parts[TRAIN] = part_of(train, torch.from_numpy(rest), keep=keep)
    shape = tuple(parts[TRAIN].read(torch.arange(1)).shape[1:])
    return splits_by_place(config, classes, shape, train=parts[TRAIN], val=parts[VAL], test=parts[TEST], notes=notes)


def splits_by_place(
    config: DataConfig,
    classes: tuple[str, ...],
    input_shape: Shape,
    *,
    train: Images,
    val: Images,
    test: Images,
    notes: Sequence[str] = (),
    reading: Reading | None = None,
) -> Splits:
    """Put a data set together whose splits are made: as much of the training split as the config says.

    How files are read is `reading`, None where images are no files.

    Raises:
        DataError: an empty split, or a class without training images.
    """
    train = some_of(train, config.train_fraction)
    return splits_of(
        config,
        classes,
        input_shape,
        train=train,
        val=val,
        test_labels=test.labels,
        test=lambda: test,
        fingerprint=_fingerprint(train, val, test),
        notes=notes,
        reading=reading,
    )


def _fingerprint(*splits: Images) -> str:
    digest = hashlib.sha256()
    for split in splits:
        digest.update(len(split.labels).to_bytes(8, "little") + split.labels.numpy().tobytes())
        # Labels alone would not tell two splits of balanced classes apart; some pixels do.
        probe = torch.linspace(0, len(split.labels) - 1, steps=min(32, len(split.labels))).long()
        digest.update(split.read(probe).contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
