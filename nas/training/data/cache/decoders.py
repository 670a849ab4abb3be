"""Processes that decode files, as the one that has started them sees them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any

import nas
from nas.exporting.reading import Reading
from nas.machine import cores
from nas.training.data.cache.decode import seen_from
from nas.training.data.pictures import Seen

_AT_A_TIME = 32
"""Files of a request."""
_SYNC_SECONDS = 0.5
_MODULE = "nas.training.data.cache.decode"


class Decoders:
    """Processes, one a core, that decode files into one file of pixels; a context, which ends them."""

    def __init__(self, pixels: Path, reading: Reading, *, settled: bool) -> None:
        """Start them.

        Args:
            pixels: the file, which is there.
            reading: how pictures are read.
            settled: whether its depth is known; else files with 16 bits a level are looked at alone.

        Raises:
            OSError: a process cannot be started.
        """
        self._pixels = pixels
        first = {"pixels": os.fspath(pixels), "reading": asdict(reading), "settled": settled}
        self._all: list[subprocess.Popen[bytes]] = []
        self._idle = SimpleQueue[subprocess.Popen[bytes]]()
        try:
            for _ in range(cores()):
                self._all.append(_started())
                _send(self._all[-1], first)
                self._idle.put(self._all[-1])
        except BaseException:
            self._end()
            raise

    def decode(self, files: Sequence[tuple[int, Path]]) -> list[Seen | str]:
        """Write the pixels of files into their rows; returns what was seen of each, or why it cannot be decoded.

        Raises:
            OSError: they cannot be written, or a process has ended.
        """
        parts = [files[start : start + _AT_A_TIME] for start in range(0, len(files), _AT_A_TIME)]
        done = threading.Event()
        with ThreadPoolExecutor(max_workers=len(self._all) + 1) as threads:
            threads.submit(_keep_on_disk, self._pixels, done)
            try:
                found = [one for answer in threads.map(self._ask, parts) for one in answer]
            finally:
                done.set()
        return found

    def _ask(self, files: Sequence[tuple[int, Path]]) -> list[Seen | str]:
        process = self._idle.get()
        try:
            answer = _asked(process, [(row, os.fspath(path)) for row, path in files])
        finally:
            self._idle.put(process)
        if isinstance(answer, dict):
            raise OSError(answer["errno"], answer["why"])
        return [one if isinstance(one, str) else seen_from(one) for one in answer]

    def __enter__(self) -> Decoders:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        for process in self._all:
            process.kill()
            with suppress(OSError):  # what could not be sent
                process.__exit__(None, None, None)


def _started() -> subprocess.Popen[bytes]:
    # Not by multiprocessing, whose processes import the script of the user, or have its threads' locks.
    where = [str(Path(nas.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", _MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, where))},
    )


def _send(process: subprocess.Popen[bytes], values: object) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(values).encode() + b"\n")
    process.stdin.flush()


def _asked(process: subprocess.Popen[bytes], values: object) -> Any:
    assert process.stdout is not None
    _send(process, values)
    line = process.stdout.readline()
    if not line.endswith(b"\n"):
        raise ChildProcessError("a process that decodes images has ended")
    return json.loads(line)


def _keep_on_disk(path: Path, done: threading.Event) -> None:
    """Have the disk write while files are decoded, so that there is little to wait for at the end."""
    with path.open("r+b") as file:
        while not done.wait(_SYNC_SECONDS):
            os.fsync(file.fileno())
