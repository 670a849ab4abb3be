"""CIFAR's files: what is read against pickle and numpy, and that nothing in a file runs."""

from __future__ import annotations

import builtins
import os
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from nas.errors import DataError
from nas.training.data.cifar_pickle import read_pickle
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.data.splits import Images
from nas.training.data.test_split import Ledger, read_test_split
from tests.training.data_files import CIFAR_NAMES, as_python_2, cifar_folder

SETS = [(name, kind) for name in ("cifar10", "cifar100") for kind in ("python", "binary")]
_LABELS = {"cifar10": "labels", "cifar100": "fine_labels"}

_ORDERS: tuple[tuple[bytes, Literal["C", "F"]], ...] = ((b"\x89", "C"), (b"\x88", "F"))
"""How Python writes whether an array lies by columns."""

Pictures = list[tuple[bytes, str]]


def _pictures(images: Images, classes: tuple[str, ...]) -> Pictures:
    pixels = images.read(torch.arange(len(images.labels)))
    return [(one.numpy().tobytes(), classes[label]) for one, label in zip(pixels, images.labels.tolist(), strict=True)]


def _decoded(path: Path, name: str) -> Pictures:
    """What pickle, or a count of bytes, finds in a file."""
    names, data = CIFAR_NAMES[name], path.read_bytes()
    if path.suffix != ".bin":
        batch = pickle.loads(data, encoding="latin1")
        return [(row.tobytes(), names[label]) for row, label in zip(batch["data"], batch[_LABELS[name]], strict=True)]
    size = 3073 if name == "cifar10" else 3074
    rows = [data[start : start + size] for start in range(0, len(data), size)]
    return [(row[-3072:], names[row[-3073]]) for row in rows]


def _packed(folder: Path, root: Path, name: str, kind: str) -> Path:
    path = root / f"{name.replace('cifar', 'cifar-')}-{kind}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, arcname=folder.name)
    return path


@pytest.mark.parametrize(("name", "kind"), SETS)
def test_every_image_is_what_another_decoding_finds(name: str, kind: str, tmp_path: Path) -> None:
    folder = cifar_folder(tmp_path, name, kind)
    config = DataConfig(name=name, root=str(folder))
    data = load_data(config)
    assert config.known_shape() == ((3, 32, 32), len(CIFAR_NAMES[name])) == (data.input_shape, data.num_classes)
    assert data.classes == CIFAR_NAMES[name]
    train = [path for path in folder.iterdir() if path.name.startswith(("data_batch_", "train"))]
    ours = _pictures(data.train, data.classes) + _pictures(data.val, data.classes)
    assert sorted(ours) == sorted(one for path in train for one in _decoded(path, name))
    test = read_test_split(config, Ledger(tmp_path), arch_id="none", seed=0, purpose="a look")
    (path,) = (path for path in folder.iterdir() if path.name.startswith("test"))
    assert sorted(_pictures(test, data.classes)) == sorted(_decoded(path, name))
    # The folder above it, the archive, and a folder with the archive hold the same.
    packed = _packed(folder, tmp_path / "packed", name, kind)
    for root in (tmp_path, packed, packed.parent):
        assert load_data(DataConfig(name=name, root=str(root))).fingerprint == data.fingerprint


def test_a_file_as_python_2_wrote_it_is_read() -> None:
    """The first bytes of data_batch_1, with one image of rising values, stored by columns and by rows."""
    values = bytes(range(256)) * 12
    head = (
        b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x15training batch 1 of 5q\x03U\x06labelsq\x04]q\x05(K\x06e"
        b"U\x04dataq\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87Rq\t"
        b"(K\x01K\x02M\x00\x06\x86cnumpy\ndtype\nq\nU\x02u1K\x00K\x01\x87Rq\x0b(K\x03U\x01|NNN"
        b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    for flag, order in _ORDERS:
        data = head + flag + b"T\x00\x0c\x00\x00" + values + b"tbU\tfilenames]U\x10x_000001.png\n\x00\xffsau."
        found = read_pickle(data)
        theirs = pickle.loads(data, encoding="latin1")
        assert found.keys() == theirs.keys() == {"batch_label", "labels", "data", "filenames"}
        assert (found["labels"], found["batch_label"]) == ([6], "training batch 1 of 5")
        assert found["filenames"] == theirs["filenames"] == ["x_000001.png\n\x00\xffs"]
        assert np.array_equal(found["data"], theirs["data"])
        assert np.array_equal(found["data"], np.frombuffer(values, np.uint8).reshape((2, 1536), order=order))


class _Runs:
    """An object whose pickle runs a function when it is loaded."""

    def __init__(self, function: Callable[..., Any], *arguments: str) -> None:
        self.found = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, ...]]:
        return self.found


def _attacks(mark: Path) -> dict[str, bytes]:
    """Pickles that make the file `mark` when they are loaded."""
    code = f"open({str(mark)!r}, 'w').close()"
    found = {}
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        found[f"system-{protocol}"] = pickle.dumps({"data": _Runs(os.system, f"touch {mark}")}, protocol)
        found[f"exec-{protocol}"] = pickle.dumps({"labels": [_Runs(builtins.exec, code)]}, protocol)
        found[f"eval-{protocol}"] = pickle.dumps(_Runs(builtins.eval, code), protocol)
    call = f"(S'touch {mark}'\n"
    found["inst"] = f"{call}ios\nsystem\n.".encode()
    found["global"] = b"\x80\x02cos\nsystem\n" + f"{call}tR.".encode()
    found["obj"] = b"(cos\nsystem\n" + f"S'touch {mark}'\no.".encode()
    return found


@pytest.mark.parametrize("name", _attacks(Path("mark")))
def test_nothing_in_a_file_runs(name: str, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    data = _attacks(mark)[name]
    folder = cifar_folder(tmp_path, "cifar10", "python")
    for file in ("batches.meta", "data_batch_3", "test_batch"):
        kept = (folder / file).read_bytes()
        (folder / file).write_bytes(data)
        with pytest.raises(
            DataError, match=rf"{file} in .* is refused, as it is none of CIFAR's files: the (instr|name)"
        ):
            load_data(DataConfig(name="cifar10", root=str(folder)))
        (folder / file).write_bytes(kept)
    assert not mark.exists()
    # It would run if it were loaded.
    pickle.loads(data)
    assert mark.exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pickle.dumps(_Runs(os.system, "true"), 2), r"the name 'posix\.system', which is none of"),
        (pickle.dumps({"a": 1}, 4), "the instruction FRAME at byte 2"),
        (pickle.dumps({"a": 1.5}, 2), "the instruction BINUNICODE"),
        (b"\x80\x02cnumpy\nload\n.", r"the name 'numpy\.load'"),
        (b"\x80\x02cnumpy\nndarray\nK\x05\x85R.", "a call of numpy ndarray that makes no array"),
        (b"\x80\x02cnumpy\ndtype\nU\x01OK\x00K\x01\x87R.", "a call of numpy dtype that makes no array"),
        (b"\x80\x02}K\x05\x85R.", "a call of what is no name"),
        (b"\x80\x02cnumpy\nndarray\n}b.", "a state of what is no array"),
        (b"\x80\x02}]K\x01s.", "whose key is no text"),
        (b"\x80\x02}(U\x01au.", "an entry without a value"),
        (b"\x80\x02}K\x01a.", "appended to what is no list"),
        (b"\x80\x02K\x05.", "no dictionary"),
        (b"\x80\x02.", "no dictionary"),
        (b"\x80\x02}h\x07.", "instructions that ask for what is not there"),
        (b"\x80\x02u.", "instructions that ask for what is not there"),
        (b"\x80\x02}", "exhausted before seeing STOP"),
        (b"", "exhausted before seeing STOP"),
        (b"GIF89a", "not enough data"),
    ],
)
def test_what_is_no_file_of_cifar_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_pickle(data)


def test_a_file_of_endless_instructions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte of a file would become 64 in memory."""
    monkeypatch.setattr("nas.training.data.cifar_pickle._MOST_STEPS", 1000)
    assert read_pickle(b"\x80\x02" + b"}" * 998 + b".") == {}
    with pytest.raises(ValueError, match="more than 1,000 instructions"):
        read_pickle(b"\x80\x02" + b"}" * 999 + b".")


def test_every_single_byte_changed_gives_an_error_or_a_dictionary() -> None:
    """No other exception, and nothing that is not plain."""
    whole = as_python_2({"data": np.arange(12, dtype=np.uint8).reshape(2, 6), "labels": [1, 300], "names": ["a"]})
    for place in range(len(whole)):
        for value in (0, 46, 82, 98, 99, 128, 255):
            changed = whole[:place] + bytes([value]) + whole[place + 1 :]
            try:
                found = read_pickle(changed)
            except ValueError:
                continue
            kinds = {type(value) for value in found.values()} | {type(value) for value in found.get("names") or ()}
            assert kinds <= {np.ndarray, list, tuple, dict, str, int, bool, type(None)}


def _fewer_labels(folder: Path) -> None:
    pixels = np.zeros((3, 3072), np.uint8)
    (folder / "data_batch_2").write_bytes(as_python_2({"data": pixels, "labels": [0, 1]}))


def _label_10(folder: Path) -> None:
    (folder / "data_batch_2").write_bytes(as_python_2({"data": np.zeros((1, 3072), np.uint8), "labels": [10]}))


def _no_array(folder: Path) -> None:
    (folder / "data_batch_2").write_bytes(as_python_2({"data": [0] * 3072, "labels": [1]}))


def _two_names(folder: Path) -> None:
    (folder / "batches.meta").write_bytes(as_python_2({"label_names": ["cat", "dog"]}))


def _torn(folder: Path) -> None:
    path = folder / "test_batch"
    path.write_bytes(path.read_bytes()[:-1000])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_fewer_labels, "data_batch_2 in .* has 3 images, but 2 labels"),
        (_label_10, "data_batch_2 in .* has labels from 10 to 10, not 0 to 9"),
        (_no_array, "data_batch_2 in .* must have under 'data' an array of bytes, 3,072 an image"),
        (_two_names, "batches.meta in .* must have the names of 10 classes"),
        (_torn, "test_batch in .* is refused"),
        (lambda folder: (folder / "data_batch_4").unlink(), "no data_batch_4 in "),
        (lambda folder: (folder / "batches.meta").unlink(), "no batches.meta in "),
    ],
)
def test_folders_that_are_not_right(tmp_path: Path, spoil: Callable[[Path], None], message: str) -> None:
    folder = cifar_folder(tmp_path, "cifar10", "python")
    spoil(folder)
    with pytest.raises(DataError, match=f"data cifar10: {message}"):
        load_data(DataConfig(name="cifar10", root=str(folder)))


def test_a_binary_file_or_an_archive_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    folder = cifar_folder(tmp_path, "cifar100", "binary")
    whole = _packed(folder, tmp_path / "packed", "cifar100", "binary").read_bytes()
    path = folder / "train.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"train.bin in .* has 1,229,599 bytes, which are no whole number of images"):
        load_data(DataConfig(name="cifar100", root=str(folder)))
    torn = tmp_path / "torn.tar.gz"
    for data in (whole[:-2000], b"no archive"):
        torn.write_bytes(data)
        with pytest.raises(DataError, match=r"torn\.tar\.gz cannot be read: "):
            load_data(DataConfig(name="cifar100", root=str(torn)))
    with pytest.raises(DataError, match=r"cifar-100-python\.tar\.gz or cifar-100-binary\.tar\.gz from https"):
        load_data(DataConfig(name="cifar100", root=str(tmp_path / "nowhere")))
    torn.write_bytes(whole)
    with pytest.raises(DataError, match=r"does not hold test_batch or test_batch\.bin"):
        load_data(DataConfig(name="cifar10", root=str(torn)))
