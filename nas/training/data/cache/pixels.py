"""A file of pixels, read by mapping it: all processes that read it share what the system keeps of it in memory."""

from __future__ import annotations

import math
import mmap
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nas.errors import DataError


class PixelFile:
    """Images of one size as uint8, one after another; open as long as the object lives, also where it is removed."""

    def __init__(self, path: Path, shape: tuple[int, ...], count: int) -> None:
        """Open a file.

        Args:
            path: of the file.
            shape: of an image.
            count: of images.

        Raises:
            OSError: it cannot be opened. DataError: it has another size.
        """
        self.path, self.shape, self.count = path, shape, count
        self._file = path.open("rb")
        self._check_size()

    def __reduce__(self) -> tuple[type[PixelFile], tuple[Path, tuple[int, ...], int]]:
        """Have another process open it for itself."""
        return type(self), (self.path, self.shape, self.count)

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return a copy of some images, `(len(rows), *shape)`.

        Raises:
            DataError: the file has another size by now.
        """
        if not len(rows):
            return np.empty((0, *self.shape), dtype=np.uint8)
        self._check_size()  # what is beyond the end of a file that was cut short ends a process that maps it
        # Mapped for this once: what a process has mapped counts as its own memory, by some counts.
        with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return np.frombuffer(mapped, dtype=np.uint8).reshape(self.count, *self.shape)[rows]

    def _check_size(self) -> None:
        size, expected = os.fstat(self._file.fileno()).st_size, self.count * math.prod(self.shape)
        if size != expected:
            raise DataError(f"the cache of images {self.path} has {size:,} bytes in place of {expected:,}: remove it")


def write_at(descriptor: int, pixels: bytes, place: int) -> None:
    """Write bytes to a place of a file; raises `OSError`, such as where there is no room."""
    left = memoryview(pixels)
    while left:
        written = os.pwrite(descriptor, left, place)
        left, place = left[written:], place + written
