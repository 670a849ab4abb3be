"""Decodes many files, in processes."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
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


def decoded(files: Sequence[tuple[int, Path]], pixels: Path, reading: Reading, *, settled: bool) -> list[Seen | str]:
    """Write the pixels of files into their rows; returns what was seen of each, or why it cannot be decoded.

    Args:
        files: with the numbers of their rows.
        pixels: the file of all pixels, which is there.
        reading: how pictures are read.
        settled: whether its depth is known; else files with 16 bits a level are looked at alone.

    Raises:
        OSError: they cannot be written, or a process cannot be started or has ended.
    """
    first = {"pixels": os.fspath(pixels), "reading": asdict(reading), "settled": settled}
    parts = [
        [(row, os.fspath(path)) for row, path in files[start : start + _AT_A_TIME]]
        for start in range(0, len(files), _AT_A_TIME)
    ]
    with (
        Processes(_MODULE, first, cores()) as processes,
        meanwhile(lambda over: _keep_on_disk(pixels, over), "nas-keep-on-disk"),
    ):
        return [one for answer in processes.answers(parts) for one in _seen_of(answer)]


def _seen_of(answer: Any) -> list[Seen | str]:
    if isinstance(answer, dict):
        raise OSError(answer["errno"], answer["why"])
    return [one if isinstance(one, str) else seen_from(one) for one in answer]


def _keep_on_disk(path: Path, done: threading.Event) -> None:
    """Have the disk write while files are decoded, so that there is little to wait for at the end."""
    with suppress(OSError), path.open("r+b") as file:  # those who write to it tell what is wrong
        while not done.wait(_SYNC_SECONDS):
            os.fsync(file.fileno())
