"""Processes that decode files, as the one that has started them sees them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nas.exporting.reading import Reading
from nas.machine import cores
from nas.meanwhile import meanwhile
from nas.training.data.cache.decode import seen_from
from nas.training.data.pictures import Seen
from nas.training.data.processes import Processes

_AT_A_TIME = 32
"""Files of a request."""
_SYNC_SECONDS = 0.5
_MODULE = "nas.training.data.cache.decode"


class Decoders:
    """Processes, one a core, that decode files into one file of pixels."""

    def __init__(self, pixels: Path, processes: Processes) -> None:
        """Take the file, which is there, and the processes that write to it."""
        self._pixels, self._processes = pixels, processes

    def decode(self, files: Sequence[tuple[int, Path]]) -> list[Seen | str]:
        """Write the pixels of files into their rows; returns what was seen of each, or why it cannot be decoded.

        Raises:
            OSError: they cannot be written, or a process has ended.
        """
        parts = [
            [(row, os.fspath(path)) for row, path in files[start : start + _AT_A_TIME]]
            for start in range(0, len(files), _AT_A_TIME)
        ]
        with meanwhile(lambda over: _keep_on_disk(self._pixels, over), "nas-keep-on-disk"):
            return [one for answer in self._processes.answers(parts) for one in _seen_of(answer)]


@contextmanager
def decoders(pixels: Path, reading: Reading, *, settled: bool) -> Iterator[Decoders]:
    """Start processes that decode, and end them.

    Args:
        pixels: the file that they write to, which is there.
        reading: how pictures are read.
        settled: whether its depth is known; else files with 16 bits a level are looked at alone.

    Raises:
        OSError: a process cannot be started.
    """
    first = {"pixels": os.fspath(pixels), "reading": asdict(reading), "settled": settled}
    with Processes(_MODULE, first, cores()) as processes:
        yield Decoders(pixels, processes)


def _seen_of(answer: Any) -> list[Seen | str]:
    if isinstance(answer, dict):
        raise OSError(answer["errno"], answer["why"])
    return [one if isinstance(one, str) else seen_from(one) for one in answer]


def _keep_on_disk(path: Path, done: threading.Event) -> None:
    """Have the disk write while files are decoded, so that there is little to wait for at the end."""
    with path.open("r+b") as file:
        while not done.wait(_SYNC_SECONDS):
            os.fsync(file.fileno())
