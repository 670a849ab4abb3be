"""CIFAR-10 and CIFAR-100 as Krizhevsky (2009) distributes them: files for Python or binary ones, or their archive."""

from __future__ import annotations

import gzip
import io
import itertools
import tarfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nas.errors import DataError, is_text, why_unreadable
from nas.training.data.cifar_pickle import read_pickle
from nas.training.data.splits import MemoryImages

_LARGEST = 256 * 2**20
"""Bytes of a file, and of an archive when it is unpacked; the largest has 178 MiB."""
_PIXELS = 3 * 32 * 32


@dataclass(frozen=True, kw_only=True)
class Form:
    """One of the forms in which a set is distributed."""

    folder: str
    """The folder that the archive holds."""
    archive: str
    train: tuple[str, ...]
    """Names of the files."""
    test: str
    names: str
    """The file with the names of the classes, or of the finer ones."""
    names_key: str | None
    """Where in a file for Python they are; None for binary files."""
    labels_key: str | None
    labels: int
    """Labels in front of each image of a binary file, of which the last is the class."""


def _cifar10(kind: str, suffix: str, **form: Any) -> Form:
    batches = tuple(f"data_batch_{number}{suffix}" for number in range(1, 6))
    folder = "cifar-10-batches-py" if kind == "python" else "cifar-10-batches-bin"
    return Form(
        folder=folder, archive=f"cifar-10-{kind}.tar.gz", train=batches, test=f"test_batch{suffix}", labels=1, **form
    )


def _cifar100(kind: str, suffix: str, **form: Any) -> Form:
    folder = f"cifar-100-{kind}"
    archive = f"{folder}.tar.gz"
    return Form(folder=folder, archive=archive, train=(f"train{suffix}",), test=f"test{suffix}", labels=2, **form)


CIFAR10_FORMS = (
    _cifar10("python", "", names="batches.meta", names_key="label_names", labels_key="labels"),
    _cifar10("binary", ".bin", names="batches.meta.txt", names_key=None, labels_key=None),
)
CIFAR100_FORMS = (
    _cifar100("python", "", names="meta", names_key="fine_label_names", labels_key="fine_labels"),
    _cifar100("binary", ".bin", names="fine_label_names.txt", names_key=None, labels_key=None),
)


@dataclass(frozen=True)
class CifarFiles:
    """The files of a set, in whatever form they are."""

    data: str
    """Name of the data set, for messages."""
    num_classes: int
    form: Form
    where: Path
    """The folder or the archive."""
    open: Callable[[str], bytes]
    """Returns what a file holds; raises `KeyError` where there is none of the name."""

    def classes(self) -> tuple[str, ...]:
        """Return the names of the classes; raises `DataError` where the file with them is not right."""
        names: object
        if self.form.names_key is None:
            names = self._read(self.form.names).decode("utf-8", "surrogateescape").split()
        else:
            names = self._pickle(self.form.names).get(self.form.names_key)
        if not isinstance(names, list) or len(names) != self.num_classes or not all(map(_is_name, names)):
            raise self._error(self.form.names, f"must have the names of {self.num_classes} classes")
        return tuple(names)

    def train(self) -> MemoryImages:
        """Return the training images, `(n, 3, 32, 32)`; raises `DataError` where a file is not right."""
        batches = [self._images(name) for name in self.form.train]
        return MemoryImages(
            torch.cat([batch.pixels for batch in batches]), torch.cat([batch.labels for batch in batches])
        )

    def test(self) -> MemoryImages:
        """Return the test images, as `train`."""
        return self._images(self.form.test)

    def _images(self, name: str) -> MemoryImages:
        pixels, labels = self._for_python(name) if self.form.labels_key else self._binary(name)
        if len(labels) and not 0 <= min(labels) <= max(labels) < self.num_classes:
            raise self._error(name, f"has labels from {min(labels)} to {max(labels)}, not 0 to {self.num_classes - 1}")
        images = np.ascontiguousarray(pixels).reshape(-1, 3, 32, 32)
        return MemoryImages(torch.from_numpy(images), torch.tensor(labels, dtype=torch.int64))

    def _for_python(self, name: str) -> tuple[NDArray[np.uint8], Sequence[int]]:
        batch = self._pickle(name)
        pixels, labels = batch.get("data"), batch.get(str(self.form.labels_key))
        if not isinstance(pixels, np.ndarray) or pixels.ndim != 2 or pixels.shape[1] != _PIXELS:
            raise self._error(name, f"must have under 'data' an array of bytes, {_PIXELS:,} an image")
        if not isinstance(labels, list) or not all(type(label) is int for label in labels):
            raise self._error(name, f"must have under {self.form.labels_key!r} a list of whole numbers")
        if len(labels) != len(pixels):
            raise self._error(name, f"has {len(pixels):,} images, but {len(labels):,} labels")
        return pixels.copy(), labels

    def _binary(self, name: str) -> tuple[NDArray[np.uint8], Sequence[int]]:
        data = self._read(name)
        size = self.form.labels + _PIXELS
        if not data or len(data) % size:
            raise self._error(name, f"has {len(data):,} bytes, which are no whole number of images of {size:,} bytes")
        rows = np.frombuffer(data, np.uint8).reshape(-1, size)
        return rows[:, self.form.labels :].copy(), rows[:, self.form.labels - 1].tolist()

    def _pickle(self, name: str) -> dict[str, Any]:
        data = self._read(name)
        try:
            return read_pickle(data)
        except ValueError as error:
            raise self._error(name, f"is refused, as it is none of CIFAR's files: {error}") from None

    def _read(self, name: str) -> bytes:
        try:
            return self.open(name)
        except KeyError:
            raise DataError(f"data {self.data}: no {name} in {self.where}") from None
        except OSError as error:
            raise self._error(name, f"cannot be read: {why_unreadable(error)}") from None

    def _error(self, name: str, what: str) -> DataError:
        return DataError(f"data {self.data}: {name} in {self.where} {what}")


def find_files(root: Path, data: str, num_classes: int, forms: tuple[Form, ...]) -> CifarFiles | None:
    """Return the files in a folder, in the one that the archive makes there, or in an archive; None where none are.

    Raises:
        DataError: an archive cannot be read, or holds other files.
    """
    for form, folder in ((one, folder) for one in forms for folder in (root, root / one.folder)):
        if any((folder / name).is_file() for name in (*form.train, form.test)):
            return CifarFiles(data, num_classes, form, folder, partial(_in_folder, folder))
    archives = [root] if root.is_file() else [root / form.archive for form in forms]
    archive = next((path for path in archives if path.is_file()), None)
    if archive is None:
        return None
    held = _in_archive(archive, data)
    for form in forms:
        if any(name in held for name in (*form.train, form.test)):
            return CifarFiles(data, num_classes, form, archive, held.__getitem__)
    raise DataError(f"data {data}: {archive} does not hold {forms[0].test} or {forms[1].test}")


def _is_name(name: object) -> bool:
    return isinstance(name, str) and name != "" and is_text(name)


def _in_folder(folder: Path, name: str) -> bytes:
    path = folder / name
    if not path.is_file():
        raise KeyError(name)
    with path.open("rb") as file:
        return _bounded(file.read(_LARGEST + 1))


def _in_archive(path: Path, data: str) -> dict[str, bytes]:
    """Return the files of an archive, by name without folder."""
    try:
        with gzip.open(path) as file:
            unpacked = _bounded(file.read(_LARGEST + 1))
        with tarfile.open(fileobj=io.BytesIO(unpacked), mode="r:") as archive:
            found = {}
            for member in itertools.islice(archive, 100):
                if member.isreg() and not member.issparse():  # holes take no room in an archive, but in memory
                    held = archive.extractfile(member)
                    assert held is not None
                    found[Path(member.name).name] = held.read()
            return found
    except (OSError, EOFError, ValueError, zlib.error, tarfile.TarError) as error:
        raise DataError(f"data {data}: {path} cannot be read: {why_unreadable(error)}") from None


def _bounded(data: bytes) -> bytes:
    if len(data) > _LARGEST:
        raise OSError(f"it has more than {_LARGEST // 2**20} MiB unpacked, which no file of CIFAR has")
    return data
