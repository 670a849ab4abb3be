"""Folders of Hugging Face's datasets: what is read against the pictures that were saved, and what is refused."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nas.errors import DataError
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.data.splits import Images, MemoryImages
from nas.training.data.test_split import Ledger, read_test_split

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (48, 6, 7, 3), dtype=np.uint8)
LABELS = [place % 3 for place in range(48)]
CLASSES = ("cat", "cow", "dog")


def _config(root: Path, **changes: Any) -> DataConfig:
    return DataConfig(name="hf", root=str(root), **changes)


def _data_set(part: slice = slice(None), **changes: Any) -> Any:
    datasets = pytest.importorskip("datasets")
    columns = {"picture": [Image.fromarray(one) for one in PIXELS[part]], "kind": LABELS[part], "note": LABELS[part]}
    kinds = {"picture": datasets.Image(), "kind": datasets.ClassLabel(names=list(CLASSES))}
    return datasets.Dataset.from_dict(
        columns, features=datasets.Features({**kinds, "note": datasets.Value("int64"), **changes})
    )


def _pictures(images: Images) -> list[tuple[bytes, int]]:
    pixels = images.read(torch.arange(len(images.labels))).numpy().transpose(0, 2, 3, 1)
    return [(one.tobytes(), label) for one, label in zip(pixels, images.labels.tolist(), strict=True)]


def _wanted(part: slice) -> list[tuple[bytes, int]]:
    return sorted((one.tobytes(), label) for one, label in zip(PIXELS[part], LABELS[part], strict=True))


@pytest.mark.parametrize("memory_mib", [0, 1])
@pytest.mark.parametrize("scheme", [1, 2])
def test_pictures_are_those_that_were_saved(scheme: int, memory_mib: int, tmp_path: Path) -> None:
    _data_set().save_to_disk(tmp_path / "one")
    config = _config(tmp_path / "one", split_scheme=scheme, memory_mib=memory_mib)
    data = load_data(config)
    test = read_test_split(config, Ledger(tmp_path), arch_id="none", seed=0, purpose="a look")
    assert data.classes == CLASSES
    assert sorted(_pictures(data.train) + _pictures(data.val) + _pictures(test)) == _wanted(slice(None))
    assert isinstance(data.train, MemoryImages) == (memory_mib == 1)


def test_what_is_not_kept_stays_on_the_disk(tmp_path: Path) -> None:
    """Arrow counts what it has allocated, which what it has mapped is no part of."""
    datasets = pytest.importorskip("datasets")
    arrow = pytest.importorskip("pyarrow")
    noise = RNG.integers(0, 256, (100, 128, 128, 3), dtype=np.uint8)  # whose PNGs are as large
    kinds = {"picture": datasets.Image(), "kind": datasets.ClassLabel(names=list(CLASSES))}
    columns = {"picture": [Image.fromarray(one) for one in noise], "kind": [place % 3 for place in range(100)]}
    datasets.Dataset.from_dict(columns, features=datasets.Features(kinds)).save_to_disk(tmp_path / "large")
    del columns
    gc.collect()
    before = arrow.total_allocated_bytes()
    data = load_data(_config(tmp_path / "large", memory_mib=0))
    read = [data.train.read(part) for part in torch.split(torch.arange(len(data.train.labels)), 8)]
    assert sum(part.nbytes for part in read) > 2**21
    assert arrow.total_allocated_bytes() - before < 2**18
    again = datasets.load_from_disk(tmp_path / "large", keep_in_memory=True)
    assert arrow.total_allocated_bytes() - before > 2**22, "else it does not count what is in memory"
    del again


def test_splits_keep_their_names_and_a_resolution_scales(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    parts = {"train": slice(0, 24), "validation": slice(24, 36), "test": slice(36, 48)}
    datasets.DatasetDict({name: _data_set(part) for name, part in parts.items()}).save_to_disk(tmp_path / "three")
    data = load_data(_config(tmp_path / "three"))
    assert sorted(_pictures(data.train)) == _wanted(parts["train"])
    assert sorted(_pictures(data.val)) == _wanted(parts["validation"])
    assert data.test_by_class == (4, 4, 4)
    grey = load_data(_config(tmp_path / "three", resolution=3, channels=1))
    assert grey.input_shape == (1, 3, 3)
    datasets.DatasetDict({"test": _data_set()}).save_to_disk(tmp_path / "test")
    with pytest.raises(DataError, match="has the splits test, of which none is train"):
        load_data(_config(tmp_path / "test"))


def _two_kinds(root: Path) -> Any:
    datasets = pytest.importorskip("datasets")
    return _data_set(note=datasets.ClassLabel(num_classes=3))


def _no_kinds(root: Path) -> Any:
    datasets = pytest.importorskip("datasets")
    return _data_set(kind=datasets.Value("int64"))


def _unlabelled(root: Path) -> Any:
    return _data_set().map(lambda row: {"kind": -1 if row["note"] == 1 else row["kind"]})


def _other_size(root: Path) -> Any:
    small = Image.new("RGB", (3, 3))
    return _data_set().map(lambda row, place: {"picture": small} if place == 5 else {}, with_indices=True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_two_kinds, r"one column of classes \(ClassLabel\) is needed, but there are 2 \(picture: Image, kind: Class"),
        (_no_kinds, r"one column of classes \(ClassLabel\) is needed, but there are 0"),
        (_unlabelled, "train has labels that are none of the 3 classes, such as -1"),
        (_other_size, r"train image 5 has 3x3 pixels, others 6x7; give data\.resolution=64"),
    ],
)
def test_data_sets_that_are_not_right(make: Callable[[Path], Any], message: str, tmp_path: Path) -> None:
    make(tmp_path).save_to_disk(tmp_path / "saved")
    with pytest.raises(DataError, match=f"data hf: {message}"):
        load_data(_config(tmp_path / "saved"))


def test_a_picture_elsewhere_is_not_opened(tmp_path: Path) -> None:
    """A data set may name any file of the user's, or an address, where it should have a picture."""
    datasets = pytest.importorskip("datasets")
    Image.fromarray(PIXELS[0]).save(tmp_path / "secret.png")
    plain = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    features = datasets.Features({"picture": plain, "kind": datasets.ClassLabel(names=list(CLASSES))})
    rows = [{"bytes": None, "path": str(tmp_path / "secret.png")}] * 48
    datasets.Dataset.from_dict({"picture": rows, "kind": LABELS}, features=features).save_to_disk(tmp_path / "saved")
    info = tmp_path / "saved" / "dataset_info.json"
    found = json.loads(info.read_text())
    found["features"]["picture"] = {"_type": "Image"}
    info.write_text(json.dumps(found))
    # The package itself would open it.
    assert np.array_equal(np.asarray(datasets.load_from_disk(tmp_path / "saved")[0]["picture"]), PIXELS[0])
    with pytest.raises(DataError, match="train image 0 is not in the data set, which has its path at most"):
        load_data(_config(tmp_path / "saved"))


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "datasets", None)
        with pytest.raises(
            DataError, match=r"needs the package datasets, which is not installed: pip install datasets"
        ):
            load_data(_config(tmp_path))
    pytest.importorskip("datasets")
    with pytest.raises(DataError, match=r"data hf: no folder .*nothing"):
        load_data(_config(tmp_path / "nothing"))
    with pytest.raises(DataError, match=r"cannot be read: .* Give data\.root=FOLDER that save_to_disk"):
        load_data(_config(tmp_path))
