"""What is in a folder, by names, sizes and times of change: what a cache is known by."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nas.training.data.folders.layout import is_data, is_folder

_LINKS_TO_FOLDERS = 2
"""Levels of folders that may be links: those of splits and of classes (`nas.training.data.folders.layout`)."""


@dataclass(frozen=True, slots=True)
class Listing:
    """All that may be data under a folder."""

    count: int
    """Of files."""
    size: int
    """Of all files together, in bytes."""
    state: str
    """Hash of the names of files and folders, and of the sizes and times of change of files."""


def listed(root: Path) -> Listing:
    """Return what is under a folder; 100,000 files take about half a second.

    Raises:
        OSError: a folder cannot be read.
    """
    found = sorted(_under(os.fspath(root), 0))
    text = hashlib.sha256()
    for name, size, changed in found:
        text.update(b"%b\0%d\0%d\0" % (os.fsencode(name), size, changed))
    sizes = [size for _, size, _ in found if size >= 0]
    return Listing(len(sizes), sum(sizes), text.hexdigest())


def _under(folder: str, depth: int) -> Iterator[tuple[str, int, int]]:
    """Yield files, and folders with a size of -1, with the time of their change in ns."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if not is_data(entry.name):
                continue
            if is_folder(entry, links=depth < _LINKS_TO_FOLDERS):
                yield entry.path, -1, 0
                yield from _under(entry.path, depth + 1)
                continue
            try:
                about = entry.stat()
                yield entry.path, about.st_size, about.st_mtime_ns
            except OSError:  # a link to nothing
                yield entry.path, 0, 0
