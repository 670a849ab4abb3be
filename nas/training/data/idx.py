"""Any four IDX files, such as those of MNIST, KMNIST or EMNIST. Never loads numpy or torch before they are read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nas.errors import DataError
from nas.run_folder import user_path
from nas.training.data.data_set import DataSet

if TYPE_CHECKING:
    from nas.training.data.config import DataConfig
    from nas.training.data.idx_files import IdxPair
    from nas.training.data.splits import Splits

_SPLITS = {"training": {"train", "training"}, "test": {"test", "testing", "t10k"}}
_HOW = (
    "Give data.root=FOLDER with four files, *-images-idx3-ubyte[.gz] and *-labels-idx1-ubyte[.gz], where * has the "
    "word train, and test or t10k"
)


def load_idx(config: DataConfig) -> Splits:
    """Grey images and classes, in two splits: part of the training images is held out for validation.

    Classes are the numbers that the training labels have, such as 1 to 26 of EMNIST's letters. The images are taken as
    they lie in the file: those of EMNIST lie on their side.

    Raises:
        DataError: files missing or malformed; says which are needed.
    """
    import torch

    from nas.training.data.content import TEST, TRAIN
    from nas.training.data.split_by_content import split_images
    from nas.training.data.splits import MemoryImages

    pairs = _pairs(config)
    train, test = (pair.read("idx", config.memory_mib) for pair in pairs)
    if train.pixels.shape[2:] != test.pixels.shape[2:]:
        sizes = " and ".join(f"{pixels.shape[2]}x{pixels.shape[3]}" for pixels in (train.pixels, test.pixels))
        raise DataError(f"data idx: training and test images must be of one size, but are {sizes}")
    numbers = torch.unique(train.labels)
    unknown = sorted(set(test.labels.tolist()) - set(numbers.tolist()))
    if unknown:
        raise DataError(f"data idx: {pairs[1].labels} has labels that no training image has: {unknown[:5]}")
    given = {
        split: MemoryImages(images.pixels, torch.searchsorted(numbers, images.labels))
        for split, images in ((TRAIN, train), (TEST, test))
    }
    return split_images(config, tuple(map(str, numbers.tolist())), given)


IDX = DataSet(load=load_idx, has_test_split=True)


def _pairs(config: DataConfig) -> list[IdxPair]:
    """Return the files of the training and the test split."""
    from nas.training.data.idx_files import find_pairs, of_split

    if not config.root:
        raise DataError(f"data idx: {_HOW}")
    root = user_path(config.root)
    if not root.is_dir():
        raise DataError(f"data idx: no folder {root}. {_HOW}")
    pairs = find_pairs(root)
    return [pairs[_only(root, split, of_split(pairs, words))] for split, words in _SPLITS.items()]


def _only(root: Path, split: str, prefixes: list[str]) -> str:
    if not prefixes:
        raise DataError(f"data idx: no {split} images with labels in {root}. {_HOW}")
    if len(prefixes) > 1:
        some = ", ".join(sorted(prefixes)[:5])
        raise DataError(
            f"data idx: {root} has several data sets ({some}): put the four files of one into a folder of their own"
        )
    return prefixes[0]
