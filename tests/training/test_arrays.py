"""Images in NumPy's files: what is read against the arrays themselves, and what is refused before it is read."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nas.errors import DataError
from nas.training.data import array_files
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.data.splits import Images, MemoryImages
from nas.training.data.test_split import Ledger, read_test_split

Arrays = dict[str, NDArray[Any]]
Pictures = list[tuple[bytes, str]]

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (48, 3, 6, 7), dtype=np.uint8)
"""As training has them: channels, rows, columns."""
NAMES = [("cat", "dog", "cow")[place % 3] for place in range(48)]
NUMBERS = np.array([{"cat": 7, "cow": -1, "dog": 12}[name] for name in NAMES])
WANTED = sorted((one.tobytes(), name) for one, name in zip(PIXELS, NAMES, strict=True))


def _config(root: Path, **changes: Any) -> DataConfig:
    return DataConfig(name="arrays", root=str(root), **changes)


def _npz(root: Path, arrays: Arrays) -> Path:
    np.savez_compressed(root / "mine.npz", **arrays)  # type: ignore[arg-type]
    return root / "mine.npz"


def _npy(root: Path, arrays: Arrays) -> Path:
    for name, array in arrays.items():
        np.save(root / f"{name}.npy", array)
    return root


def _pictures(images: Images, classes: tuple[str, ...]) -> Pictures:
    pixels = images.read(torch.arange(len(images.labels)))
    return [(one.numpy().tobytes(), classes[label]) for one, label in zip(pixels, images.labels.tolist(), strict=True)]


def _all(config: DataConfig, folder: Path) -> dict[str, Pictures]:
    data = load_data(config)
    test = read_test_split(config, Ledger(folder), arch_id="none", seed=0, purpose="a look")
    return {
        split: _pictures(images, data.classes)
        for split, images in {"train": data.train, "val": data.val, "test": test}.items()
    }


NHWC = PIXELS.transpose(0, 2, 3, 1)


@pytest.mark.parametrize("write", [_npz, _npy])
@pytest.mark.parametrize(
    ("images", "said"),
    [
        (PIXELS, "NCHW, uint8"),
        (NHWC, "NHWC, uint8"),
        (np.asfortranarray(NHWC), "NHWC, uint8"),
        (NHWC / 255, "NHWC, float64 in 0..1"),
        ((PIXELS / 255).astype(np.float16), "NCHW, float16 in 0..1"),
        (PIXELS.astype(">f4"), "NCHW, >f4 in 0..255"),
        (NHWC.astype(np.int64), "NHWC, int64 in 0..255"),
    ],
)
def test_pixels_are_those_of_the_array(
    images: NDArray[Any], said: str, write: Callable[[Path, Arrays], Path], tmp_path: Path
) -> None:
    root = write(tmp_path, {"x": images, "y": np.array(NAMES)})
    found = _all(_config(root), tmp_path)
    assert sorted(found["train"] + found["val"] + found["test"]) == WANTED
    (note,) = load_data(_config(root)).notes
    assert note == f"train is x and y; images are {said}"


def test_grey_images_need_no_axis_for_their_channel(tmp_path: Path) -> None:
    root = _npz(tmp_path, {"images": PIXELS[:, 0], "labels": np.array(NAMES)})
    data = load_data(_config(root))
    assert data.input_shape == (1, 6, 7)
    wanted = {(one[0].tobytes(), name) for one, name in zip(PIXELS, NAMES, strict=True)}
    assert {*_pictures(data.train, data.classes)} < wanted


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (np.array(NAMES), {"cat": "cat", "dog": "dog", "cow": "cow"}),
        (np.array([name.encode() for name in NAMES]), {"cat": "cat", "dog": "dog", "cow": "cow"}),
        (NUMBERS, {"cat": "7", "dog": "12", "cow": "-1"}),
        (NUMBERS[:, None].astype(np.int8), {"cat": "7", "dog": "12", "cow": "-1"}),
        (np.eye(3)[NUMBERS % 3], {"cat": "1", "dog": "0", "cow": "2"}),
        (np.eye(3, dtype=bool)[NUMBERS % 3], {"cat": "1", "dog": "0", "cow": "2"}),
    ],
)
def test_labels_of_each_kind(labels: NDArray[Any], classes: dict[str, str], tmp_path: Path) -> None:
    found = _all(_config(_npz(tmp_path, {"x": PIXELS, "y": labels})), tmp_path)
    wanted = sorted((pixels, classes[name]) for pixels, name in WANTED)
    assert sorted(found["train"] + found["val"] + found["test"]) == wanted


def test_classes_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    assert load_data(_config(_npz(tmp_path, {"x": PIXELS, "y": NUMBERS}))).classes == ("-1", "7", "12")


@pytest.mark.parametrize("scheme", [1, 2])
@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_val", "y_val", "x_test", "y_test"),
        ("train_images", "train_labels", "valid_images", "valid_labels", "test_images", "test_labels"),
        ("X", "y", "images-dev", "labels-dev", "Test_X", "Test_y"),
    ],
)
def test_splits_of_the_files_stay_as_they_are(names: tuple[str, ...], scheme: int, tmp_path: Path) -> None:
    parts = [
        values for part in (slice(0, 24), slice(24, 36), slice(36, 48)) for values in (PIXELS[part], NUMBERS[part])
    ]
    root = _npy(tmp_path, {**dict(zip(names, parts, strict=True)), "weights": np.zeros(3)})
    found = _all(_config(root, split_scheme=scheme), tmp_path)
    for split, part in (("train", slice(0, 24)), ("val", slice(24, 36)), ("test", slice(36, 48))):
        wanted = [(one.tobytes(), str(label)) for one, label in zip(PIXELS[part], NUMBERS[part], strict=True)]
        assert sorted(found[split]) == sorted(wanted)


@pytest.mark.parametrize("scheme", [1, 2])
def test_npy_files_need_not_fit_into_memory(scheme: int, tmp_path: Path) -> None:
    wide = RNG.integers(0, 256, (300, 3, 40, 40), dtype=np.uint8)  # 1.4 MiB
    root = _npy(tmp_path, {"x": wide, "y": np.arange(300) % 3})
    memory = load_data(_config(root, split_scheme=scheme))
    assert isinstance(memory.train, MemoryImages)
    for memory_mib in (0, 1):
        disk = load_data(_config(root, split_scheme=scheme, memory_mib=memory_mib))
        assert not isinstance(disk.train, MemoryImages)
        assert memory.fingerprint == disk.fingerprint
        assert _pictures(memory.train, memory.classes) == _pictures(disk.train, disk.classes)
    with pytest.raises(
        DataError, match=r"take 2 MiB, more than data\.memory_mib=1: raise that, or unpack it to a folder"
    ):
        load_data(_config(_npz(tmp_path, {"x": wide, "y": np.arange(300) % 3}), memory_mib=1))


class _Opens:
    """An object whose pickle opens a file for writing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, (str(self.path), "w")


@pytest.mark.parametrize("write", [_npz, _npy])
@pytest.mark.parametrize("name", ["x", "y"])
def test_objects_are_refused_and_do_not_run(name: str, write: Callable[[Path, Arrays], Path], tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    objects = np.array([_Opens(mark)] * 48, dtype=object)
    root = write(tmp_path, {"x": PIXELS, "y": NUMBERS} | {name: objects})
    with pytest.raises(DataError, match="cannot be read: it holds Python objects, which only pickle reads"):
        load_data(_config(root))
    assert not mark.exists()
    pickle.loads(pickle.dumps(_Opens(mark))).close()  # it would have been there
    assert mark.exists()


def _header(shape: tuple[int, ...], descr: str = "|u1") -> bytes:
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}"
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """64 MiB of zeros in 64 KiB; and a header that says a petabyte."""
    path = tmp_path / "bomb.npz"
    labels = io.BytesIO()
    np.save(labels, NUMBERS)
    bomb = _header((2**14, 64, 64)) + bytes(2**26)
    for data, message in ((bomb, "take 65 MiB, more than data.memory_mib=32"), (_header((2**40, 32, 32)), "not whole")):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.npy", data)
            archive.writestr("y.npy", labels.getvalue())
        assert path.stat().st_size < 2**17
        with pytest.raises(DataError, match=message):
            load_data(_config(path, memory_mib=32))


def test_labels_have_a_limit_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_files, "_LABELS_MIB", 1)
    root = _npy(tmp_path, {"x": np.zeros((3 * 2**16, 1, 1), dtype=np.uint8), "y": np.arange(3 * 2**16) % 3})
    with pytest.raises(DataError, match=r"the labels in .* take 2 MiB, more than data\.memory_mib=0: raise that"):
        load_data(_config(root, memory_mib=0))


def _torn(root: Path) -> Path:
    path = root / "x.npy"
    path.write_bytes(path.read_bytes()[:-1])
    return root


def _other_bytes(root: Path) -> Path:
    (root / "x.npy").write_bytes(b"no array at all")
    return root


def _npz_of_other_bytes(root: Path) -> Path:
    (root / "mine.npz").write_bytes(b"no array at all")
    return root / "mine.npz"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_torn, r"x\.npy cannot be read: its header says 6,048 bytes, but it has 6,047: it is not whole"),
        (_other_bytes, r"x\.npy cannot be read: the magic string is not correct"),
        (_npz_of_other_bytes, r"mine\.npz \(of \.npy files give the folder\) cannot be read: File is not a zip"),
        (lambda root: root / "nothing", r"no file or folder .*nothing\. Expected x_train and y_train, or x and y"),
    ],
)
def test_files_that_are_not_right(tmp_path: Path, spoil: Callable[[Path], Path], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_data(_config(spoil(_npy(tmp_path, {"x": PIXELS, "y": NUMBERS}))))


def _texts(*codes: int) -> NDArray[Any]:
    return np.array([*codes] * 24, dtype=np.uint32).view("<U1")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": PIXELS}, "has x, but no labels beside it; its arrays are: x"),
        ({"y": NUMBERS}, "no training images in .*, which has the arrays: y"),
        ({"x": PIXELS, "y": NUMBERS, "y_test": NUMBERS}, "has y_test, but no images beside it"),
        ({"x": PIXELS, "x_train": PIXELS, "y": NUMBERS}, "x and x_train in .* are both train images: keep one"),
        ({"x": PIXELS, "y": NUMBERS[1:]}, r"x has the shape \(48, 3, 6, 7\), y \(47,\): the first number of both"),
        ({"x": PIXELS[:, :2], "y": NUMBERS}, "the last or the second number must be that of the channels, 1 or 3"),
        ({"x": PIXELS[..., :3], "y": NUMBERS}, "either the second or the last number may be that of the channels"),
        (
            {"x": PIXELS.reshape(48, -1), "y": NUMBERS},
            r"has the shape \(48, 126\): images must be \(n, height, width\)",
        ),
        (
            {"x": PIXELS - 128.0, "y": NUMBERS},
            "x has values from -128 to 127: images must be uint8, or numbers in 0..1",
        ),
        ({"x": PIXELS * 2.0, "y": NUMBERS}, "x has values from 0 to 510"),
        ({"x": np.where(PIXELS == 9, np.nan, PIXELS), "y": NUMBERS}, "x has values that are no numbers"),
        ({"x": PIXELS > 100, "y": NUMBERS}, "x is of type bool: images must be uint8"),
        ({"x": PIXELS * 1j, "y": NUMBERS}, "x is of type complex128"),
        ({"x": PIXELS, "y": NUMBERS / 2}, r"y is float64 of shape \(48,\), but labels are .*`\.astype\(int\)` makes"),
        ({"x": PIXELS, "y": np.eye(3)[NUMBERS % 3] * 0.5}, r"y has the shape \(48, 3\), but is not one-hot"),
        ({"x": PIXELS, "y": NUMBERS * 0}, "y must have labels of two classes at least"),
        ({"x": PIXELS, "y": np.array(["", "a"] * 24)}, "y must have a class for each, but has labels that are empty"),
        ({"x": PIXELS, "y": _texts(0x110000, 65)}, "y has a label that is no text in UTF-8"),
        ({"x": PIXELS, "y": _texts(0xDC41, 65)}, "with names in UTF-8"),
        ({"x": PIXELS, "y": np.array([b"\xff", b"a"] * 24)}, "y has a label that is no text in UTF-8"),
        ({"x": PIXELS[:0], "y": NUMBERS[:0]}, "two classes at least"),
        (
            {"x": PIXELS, "y": NUMBERS, "x_test": NHWC, "y_test": NUMBERS},
            r"one size and type, but x has \(3, 6, 7\) uint8, x_test \(6, 7, 3\) uint8",
        ),
        (
            {"x": PIXELS, "y": NUMBERS, "x_test": PIXELS, "y_test": np.array(NAMES)},
            "the labels of all splits must be of one kind",
        ),
        (
            {"x": PIXELS, "y": NUMBERS % 3, "x_test": 255 - PIXELS, "y_test": NUMBERS % 4},
            "1 class has no training images: 3",
        ),
    ],
)
def test_arrays_that_are_no_images_with_classes(arrays: Arrays, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"data arrays: .*{message}"):
        load_data(_config(_npz(tmp_path, arrays)))


def test_a_root_is_asked_for() -> None:
    with pytest.raises(DataError, match=r"give data\.root=FILE\.npz, or data\.root=FOLDER"):
        load_data(DataConfig(name="arrays"))
