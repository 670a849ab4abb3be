"""Images and labels in NumPy's files: an `.npz`, or a folder of `.npy`. Nothing in them is read by pickle."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import ceil, prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from nas.errors import DataError, why_unreadable
from nas.training.data.content import TEST, TRAIN, VAL

_IMAGES = {"x", "images", "image", "imgs", "data", "inputs", "pixels"}
_LABELS = {"y", "labels", "label", "targets", "target"}
_SPLITS = dict.fromkeys(("train", "training"), TRAIN) | dict.fromkeys(("val", "valid", "validation", "dev"), VAL)
_SPLITS |= dict.fromkeys(("test", "testing"), TEST)
_LABELS_MIB = 256
"""What labels may take in memory in any case: 30 million of 8 bytes."""
_HOW = (
    "Expected x_train and y_train, or x and y (or train_images and train_labels, or images and labels), and the same "
    "with val and test where you have them"
)


@dataclass(frozen=True)
class Stored:
    """An array in a file, of which only the header has been read."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[], NDArray[Any]]
    """Returns the array: of an `.npz` in memory, of an `.npy` mapped from the file."""

    @property
    def mib(self) -> float:
        """Size of the array in MiB, as the header says."""
        return prod(self.shape) * self.dtype.itemsize / 2**20


@dataclass(frozen=True)
class Pair:
    """The two arrays of a split."""

    images: Stored
    labels: Stored


def find_pairs(root: Path, memory_mib: int, what: str = "arrays") -> tuple[dict[str, Pair], bool]:
    """Return the arrays in a file or folder by split, the training images among them, and whether they are mapped.

    Args:
        root: an `.npz` or a folder.
        memory_mib: what the arrays of an `.npz`, or labels, may take in memory, in MiB: no more is unpacked.
        what: name of the data set, for messages.

    Raises:
        DataError: nothing, or something ambiguous, is there, a file is malformed, or too large.
    """
    mapped = root.is_dir()
    if not mapped and not root.is_file():
        raise DataError(f"data {what}: no file or folder {root}. {_HOW}")
    look: Mapping[str, Callable[[str], Stored]]
    if mapped:
        files = sorted(path for path in root.iterdir() if path.suffix == ".npy")
        look = {path.stem: partial(_from_npy, what, path) for path in files}
    else:
        look = {name: partial(_from_npz, what, root, member) for name, member in _members(what, root).items()}
    chosen = _choose(list(look), root, what)
    stored = {name: look[name](name) for pair in chosen.values() for name in pair}
    pairs = {split: Pair(stored[images], stored[labels]) for split, (images, labels) in chosen.items()}
    whole = sum(pair.labels.mib + (0 if mapped else pair.images.mib) for pair in pairs.values())
    # Images of .npy files are read batch by batch where they may take nothing, but labels are always in memory.
    if whole > (max(memory_mib, _LABELS_MIB) if mapped else memory_mib):
        which = "the labels in" if mapped else "the arrays of"
        advice = "" if mapped else ", or unpack it to a folder of .npy files, which need not fit into memory"
        raise DataError(
            f"data {what}: {which} {root} take {ceil(whole):,} MiB, more than data.memory_mib={memory_mib}: raise that"
            f"{advice}"
        )
    return pairs, mapped


def _choose(names: list[str], root: Path, what: str) -> dict[str, tuple[str, str]]:
    """Return the names of images and labels by split, as far as names say so; others are left alone."""
    found: dict[tuple[str, bool], str] = {}
    for name in names:
        place = _place(name)
        if place in found:
            split, is_labels = place
            both = f"{split} {'labels' if is_labels else 'images'}"
            raise DataError(f"data {what}: {found[place]} and {name} in {root} are both {both}: keep one of them")
        if place:
            found[place] = name
    some = ", ".join(sorted(names)[:10]) or "none"
    if (TRAIN, False) not in found:
        raise DataError(f"data {what}: no training images in {root}, which has the arrays: {some}. {_HOW}")
    for (split, is_labels), name in found.items():
        if (split, not is_labels) not in found:
            missing = "images" if is_labels else "labels"
            raise DataError(
                f"data {what}: {root} has {name}, but no {missing} beside it; its arrays are: {some}. {_HOW}"
            )
    return {split: (found[split, False], found[split, True]) for split in (TRAIN, VAL, TEST) if (split, True) in found}


def _place(name: str) -> tuple[str, bool] | None:
    """Return the split that an array is of, and whether it is labels; None where its name does not say."""
    words = re.split(r"[-_. ]", name.lower())
    splits = [_SPLITS[word] for word in words if word in _SPLITS]
    kinds = [word in _LABELS for word in words if word in _LABELS | _IMAGES]
    if len(kinds) != 1 or len(splits) > 1 or len(words) != len(kinds) + len(splits):
        return None
    return (splits or [TRAIN])[0], kinds[0]


def _members(what: str, path: Path) -> dict[str, str]:
    """Return the arrays of an `.npz` by name."""
    with _reading(what, f"{path} (of .npy files give the folder)"), zipfile.ZipFile(path) as archive:
        return {name.removesuffix(".npy"): name for name in archive.namelist() if name.endswith(".npy")}


def _from_npz(what: str, path: Path, member: str, name: str) -> Stored:
    def read() -> NDArray[Any]:
        with _reading(what, f"{name} in {path}"), zipfile.ZipFile(path) as archive, archive.open(member) as file:
            return np.asarray(npy.read_array(file, allow_pickle=False))

    with _reading(what, f"{name} in {path}"), zipfile.ZipFile(path) as archive, archive.open(member) as file:
        return _stored(name, file, archive.getinfo(member).file_size, read)


def _from_npy(what: str, path: Path, name: str) -> Stored:
    def read() -> NDArray[Any]:
        with _reading(what, str(path)):
            return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))

    with _reading(what, str(path)):
        if not path.is_file():  # a pipe would be waited for, a device read without end
            raise ValueError("it is not a file")
        with path.open("rb") as file:
            return _stored(name, file, path.stat().st_size, read)


def _stored(name: str, file: IO[bytes], size: int, read: Callable[[], NDArray[Any]]) -> Stored:
    """Read the header of an array in a file of a size in bytes; raises `ValueError` for what is no plain array."""
    version = npy.read_magic(file)
    if version not in {(1, 0), (2, 0)}:
        raise ValueError(f"its version {version} is that of a table, not of an array")
    header = npy.read_array_header_1_0(file) if version == (1, 0) else npy.read_array_header_2_0(file)
    shape, dtype = header[0], header[2]
    if dtype.hasobject:
        raise ValueError(
            "it holds Python objects, which only pickle reads, and a pickle may run anything: save numbers or text"
        )
    if any(length < 0 for length in shape):
        raise ValueError(f"its shape is {shape}")
    wanted = prod(shape) * dtype.itemsize
    if size - file.tell() != wanted:
        raise ValueError(f"its header says {wanted:,} bytes, but it has {size - file.tell():,}: it is not whole")
    return Stored(name, shape, dtype, read)


@contextmanager
def _reading(what: str, file: str) -> Iterator[None]:
    """Turn whatever goes wrong in reading a file into a `DataError` that names it."""
    try:
        yield
    except Exception as error:  # readers of zip files and of headers raise all kinds of errors on broken files
        raise DataError(f"data {what}: {file} cannot be read: {why_unreadable(error)}") from None


def mapping_of(pairs: Mapping[str, Pair]) -> str:
    """Return in words which arrays were taken for what."""
    return ", ".join(f"{split} is {pair.images.name} and {pair.labels.name}" for split, pair in pairs.items())
