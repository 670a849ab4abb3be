"""Writes Fashion-MNIST with classes of uneven size, 100 : 1, as arrays: for trying out what helps rare classes.

    python -m benchmarks.uneven_fashion FILE.npz [--seed 0]

The seed puts the ten classes in an order. Training images of them are 2,000, then fewer by the same factor, down to 20,
and validation images about half as many, all from the 60,000 official training images, none twice; the test split is
the official 10,000, 1,000 of each class. Reads the four files that Debian's package dataset-fashion-mnist brings.
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_FILES = Path("/usr/share/datasets/fashion-mnist")
_CLASSES, _MOST, _FACTOR = 10, 2000, 100
_IMAGES_HEAD, _LABELS_HEAD = 16, 8
"""Bytes before the values of an IDX file of images, and of one of labels."""
Bytes = NDArray[np.uint8]


def sizes(most: int) -> list[int]:
    """Return the numbers of images of the classes, the largest first: `most` down to a hundredth, by one factor."""
    return [round(most * _FACTOR ** (-place / (_CLASSES - 1))) for place in range(_CLASSES)]


def split(labels: Bytes, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices of the training and of the validation images.

    Args:
        labels: `(n,)`, classes from 0 on, of which each has 3,000 images or more.
        seed: of the order of classes and of what images of each are taken.
    """
    rng = np.random.default_rng(seed)
    train, val = [], []
    for name, many, few in zip(rng.permutation(_CLASSES), sizes(_MOST), sizes(_MOST // 2), strict=True):
        own = rng.permutation(np.flatnonzero(labels == name))
        train.append(own[:many])
        val.append(own[many : many + few])
    return np.concatenate(train), np.concatenate(val)


def write(path: Path, seed: int, files: Path = _FILES) -> None:
    """Write the arrays; the file is there when it is whole."""
    x, y = _read(files, "train")
    train, val = split(y, seed)
    x_test, y_test = _read(files, "t10k")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.partial")
    with unfinished.open("wb") as file:
        np.savez(file, x_train=x[train], y_train=y[train], x_val=x[val], y_val=y[val], x_test=x_test, y_test=y_test)
    unfinished.rename(path)


def _read(files: Path, which: str) -> tuple[Bytes, Bytes]:
    images, labels = (
        np.frombuffer(gzip.decompress((files / f"{which}-{kind}-ubyte.gz").read_bytes()), np.uint8, offset=head)
        for kind, head in (("images-idx3", _IMAGES_HEAD), ("labels-idx1", _LABELS_HEAD))
    )
    return images.reshape(len(labels), 28, 28), labels


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="that takes the arrays, .npz")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    write(options.file, options.seed)


if __name__ == "__main__":
    main()
