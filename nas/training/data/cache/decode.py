"""A process that decodes files of pictures and writes their pixels: `python -m nas.training.data.cache.decode`.

It is told first what to do, and then asked for some files at a time; see `nas.training.data.processes`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from nas.exporting.reading import Reading
from nas.training.data.cache.pixels import write_at
from nas.training.data.pictures import Seen, UndecodedError, held_by, seen, seen_and_pixels
from nas.training.data.processes import serve


class Task(NamedTuple):
    """What is done with files."""

    pixels: int
    """Descriptor of the file that pixels are written to, `(channels, height, width)` after one another."""
    reading: Reading
    settled: bool
    """Whether the depth of files with 16 bits a level is known; where it is not their pixels are left out."""


def main() -> None:
    """Answer requests until there are no more."""
    serve(lambda first: partial(answer_to, task=task_from(first)))


def task_from(said: Mapping[str, Any]) -> Task:
    """Return what is to be done, of what was said first."""
    return Task(os.open(said["pixels"], os.O_WRONLY), reading_from(said["reading"]), said["settled"])


def reading_from(values: Mapping[str, Any]) -> Reading:
    """Return the reading of which `asdict` gives the values, which may have been written as JSON."""
    return Reading(**{**values, "shape": tuple(values["shape"])})


def answer_to(files: Sequence[tuple[int, str]], task: Task) -> list[Any] | dict[str, Any]:
    """Return what was seen of each file, given with the number of its row, or the error that there was in writing."""
    try:
        return [_decoded(row, path, task) for row, path in files]
    except OSError as error:
        return {"errno": error.errno, "why": error.strerror}


def _decoded(row: int, path: str, task: Task) -> list[Any] | str:
    """Write the pixels of a file; returns what was seen of it as plain values, or why it cannot be decoded."""
    try:
        held = held_by(path, task.reading.max_pixels)
        if held.levels is not None and not task.settled:
            return _plain(seen(held, task.reading, 3))
        look, pixels = seen_and_pixels(held, task.reading, path)
    except UndecodedError as error:
        return error.why
    write_at(task.pixels, pixels.tobytes(), row * pixels.nbytes)
    return _plain(look)


def _plain(look: Seen) -> list[Any]:
    return [look.digest.hex(), look.bits, look.several, look.turned, look.vanishes]


def seen_from(values: Sequence[Any]) -> Seen:
    """Return what was seen of a file, of which an answer gives the values."""
    return Seen(bytes.fromhex(values[0]), *values[1:])


if __name__ == "__main__":
    main()
