"""IDX files, the form of MNIST's (http://yann.lecun.com/exdb/mnist): four of them are images and labels, twice."""

from __future__ import annotations

import gzip
import re
import zlib
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
import torch
from numpy.typing import NDArray

from nas.errors import DataError, why_unreadable
from nas.training.data.splits import MemoryImages

FORM = "*-images-idx3-ubyte[.gz]"
_NAME = re.compile(r"(?P<prefix>.*?)[-_.]?(?P<kind>images|labels)[-_.]idx(?P<dims>[13])[-_.]ubyte(\.gz)?")
_WORDS = re.compile(r"[-_.]")


@dataclass(frozen=True)
class IdxPair:
    """The two files of a split."""

    images: Path
    labels: Path

    def read(self, data: str, memory_mib: int) -> MemoryImages:
        """Return images, `(n, 1, height, width)`, and labels as they are in the files.

        Args:
            data: name of the data set, for messages.
            memory_mib: that the images may take, in MiB.

        Raises:
            DataError: a file is missing or malformed, or the two do not belong together.
        """
        pixels = _read_idx(self.images, 3, data, memory_mib)
        labels = _read_idx(self.labels, 1, data, memory_mib)
        if len(pixels) != len(labels):
            raise DataError(
                f"data {data}: {self.images} and {self.labels} do not belong together: {len(pixels):,} images, "
                f"{len(labels):,} labels"
            )
        return MemoryImages(torch.from_numpy(pixels).unsqueeze(1), torch.from_numpy(labels.astype(np.int64)))


def find_pairs(root: Path) -> dict[str, IdxPair]:
    """Return the pairs of files in a folder, by what comes before `-images-idx3-ubyte`; the unpacked of two."""
    found: dict[tuple[str, str], Path] = {}
    for path in sorted(root.iterdir()):
        name = _NAME.fullmatch(path.name)
        if name and (name["kind"], name["dims"]) in {("images", "3"), ("labels", "1")}:
            found.setdefault((name["prefix"], name["kind"]), path)
    return {
        prefix: IdxPair(path, found[prefix, "labels"])
        for (prefix, kind), path in found.items()
        if kind == "images" and (prefix, "labels") in found
    }


def of_split(pairs: dict[str, IdxPair], words: set[str]) -> list[str]:
    """Return the prefixes that have one of some words, such as `emnist-letters-train` has `train`."""
    return [prefix for prefix in pairs if words & set(_WORDS.split(prefix.lower()))]


def _read_idx(path: Path, dims: int, data: str, memory_mib: int) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes: magic 0 0 8 dims, big-endian sizes, then the bytes."""
    if not path.is_file():  # a pipe would be waited for, a device read without end
        raise DataError(f"data {data}: {path} is not a file")
    try:
        with _opened(path) as file:
            head = file.read(4 + 4 * dims)
            if len(head) < 4 + 4 * dims or head[:4] != bytes((0, 0, 8, dims)):
                raise DataError(f"data {data}: {path} is not an IDX file of bytes in {dims} dimensions")
            shape = np.frombuffer(head, ">u4", offset=4).astype(int).tolist()
            count = prod(shape)
            if count > memory_mib * 2**20:
                raise DataError(
                    f"data {data}: {path} says that it holds {count:,} bytes, more than data.memory_mib={memory_mib}"
                )
            values = file.read(count + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"data {data}: {path} cannot be read: {why_unreadable(error)}") from None
    if len(values) != count:
        has = "more" if len(values) > count else len(values)
        raise DataError(f"data {data}: {path} should hold {count} bytes, has {has}")
    return np.frombuffer(bytearray(values), np.uint8).reshape(shape)


def _opened(path: Path) -> IO[bytes] | gzip.GzipFile:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")
