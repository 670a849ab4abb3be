"""IDX files of any set: what is read against bytes taken apart by hand, and folders that are not right."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.errors import DataError
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.data.splits import Images
from nas.training.data.test_split import Ledger, read_test_split
from tests.training.data_files import idx_folder, write_idx


def _config(root: Path, **changes: int) -> DataConfig:
    return DataConfig(name="idx", root=str(root), **changes)  # type: ignore[arg-type]


def _pictures(images: Images, classes: tuple[str, ...]) -> list[tuple[bytes, str]]:
    pixels = images.read(torch.arange(len(images.labels)))
    return [(one.numpy().tobytes(), classes[label]) for one, label in zip(pixels, images.labels.tolist(), strict=True)]


def _by_hand(root: Path, prefix: str) -> list[tuple[bytes, str]]:
    pixels = gzip.decompress((root / f"{prefix}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((root / f"{prefix}-labels-idx1-ubyte.gz").read_bytes())[8:]
    return [(pixels[16 + 784 * place : 16 + 784 * (place + 1)], str(label)) for place, label in enumerate(labels)]


@pytest.mark.parametrize("scheme", [1, 2])
def test_every_image_has_its_bytes_and_its_label(scheme: int, tmp_path: Path) -> None:
    idx_folder(tmp_path, before="emnist-letters-")
    # Letters are numbered from 1, and the rows of a picture are as many as the file says.
    for prefix in ("train", "t10k"):
        write_idx(tmp_path / f"emnist-letters-{prefix}-labels-idx1-ubyte.gz", (np.arange(60) % 10 + 1).astype(np.uint8))
    data = load_data(_config(tmp_path, split_scheme=scheme))
    assert data.classes == tuple(map(str, range(1, 11)))
    assert data.input_shape == (1, 28, 28)
    ours = _pictures(data.train, data.classes) + _pictures(data.val, data.classes)
    assert sorted(ours) == sorted(_by_hand(tmp_path, "emnist-letters-train"))
    test = read_test_split(
        _config(tmp_path, split_scheme=scheme), Ledger(tmp_path), arch_id="none", seed=0, purpose="a look"
    )
    assert sorted(_pictures(test, data.classes)) == sorted(_by_hand(tmp_path, "emnist-letters-t10k"))


def _wider(root: Path) -> None:
    write_idx(root / "t10k-images-idx3-ubyte.gz", np.zeros((60, 28, 29), np.uint8))


def _unknown(root: Path) -> None:
    write_idx(root / "t10k-labels-idx1-ubyte.gz", np.full(60, 77, np.uint8))


def _huge(root: Path) -> None:
    head = bytes((0, 0, 8, 3)) + b"\xff" * 12
    (root / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(head))


def _flat(root: Path) -> None:
    for prefix in ("train", "t10k"):
        write_idx(root / f"{prefix}-images-idx3-ubyte.gz", np.zeros((60, 28, 0), np.uint8))


def _more(root: Path) -> None:
    path = root / "train-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + b"\0"))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_wider, "must be of one size, but are 28x28 and 28x29"),
        (_unknown, r"has labels that no training image has: \[77\]"),
        (_huge, "holds 79,228,162,458,924,105,385,300,197,375 bytes, more than data.memory_mib=4096"),
        (_flat, r"there are 60 training images of shape \(1, 28, 0\)"),
        (_more, "should hold 60 bytes, has more"),
        (lambda root: idx_folder(root, before="kmnist-"), r"several data sets \(kmnist-train, train\): put the four"),
        (lambda root: (root / "t10k-labels-idx1-ubyte.gz").unlink(), "no test images with labels in"),
    ],
)
def test_folders_that_are_not_right(tmp_path: Path, spoil: Callable[[Path], object], message: str) -> None:
    spoil(idx_folder(tmp_path))
    with pytest.raises(DataError, match=message):
        load_data(_config(tmp_path))


def test_a_folder_that_is_not_there_or_not_given_is_said() -> None:
    with pytest.raises(DataError, match=r"data idx: no folder /nowhere\. Give data\.root=FOLDER with four files"):
        load_data(_config(Path("/nowhere")))
    with pytest.raises(DataError, match=r"data idx: Give data\.root=FOLDER with four files"):
        load_data(DataConfig(name="idx"))
