"""Makes an entry of a cache: every file is decoded once, and its pixels are written where those of its split are."""

from __future__ import annotations

import gc
import logging
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nas.errors import DataError
from nas.exporting.reading import Reading
from nas.run_folder import shown
from nas.training.data.cache.decoders import decoded
from nas.training.data.cache.entry import SEARCHED_FILE, TEST_FILE, Entry, write_index
from nas.training.data.cache.pixels import write_at
from nas.training.data.cache.place import check_room
from nas.training.data.config import DataConfig
from nas.training.data.content import TEST, TRAIN, VAL
from nas.training.data.division import Contents, Division, divide
from nas.training.data.folders.usable import REFUSE, Pictures, common_size, left_out, refusal
from nas.training.data.pictures import Seen, reading_of, settling

_LOG = logging.getLogger(__name__)


@contextmanager
def _without_collection() -> Iterator[None]:
    """Have Python not look for garbage, of which there is none: that takes a third of the time of dividing."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@_without_collection()
def make_entry(config: DataConfig, pictures: Pictures, folder: Path) -> None:
    """Decode pictures and write an entry into a folder, with its index last.

    Args:
        config: how they are read and split.
        pictures: whose beginnings and ends were looked at.
        folder: of the entry, which is there and empty.

    Raises:
        DataError: images of several sizes without `data.resolution`, a split that is a copy of another, or files that
            cannot be decoded, all of which are named, where `data.bad` is refuse.
        OSError: there is no room, or something cannot be written.
    """
    size = (config.resolution, config.resolution) if config.resolution else common_size(pictures)
    reading = reading_of(config, (config.channels, *size))
    files = [path for own in pictures.files.values() for path, _ in own]
    tests = len(pictures.files.get(TEST, ())) or config.test_fraction * len(files)
    check_room(folder, math.ceil((len(files) + tests) * math.prod(reading.shape)))
    _LOG.warning(
        "data image_folder: decoding %s pictures once, into %s (data.cache)", f"{len(files):,}", shown(folder.parent)
    )
    pixels = folder / SEARCHED_FILE
    with pixels.open("wb") as file:
        file.truncate(len(files) * math.prod(reading.shape))
    settled = config.depth != "auto"
    looks = decoded([*enumerate(files)], pixels, reading, settled=settled)
    bad = {path: found for path, found in zip(files, looks, strict=True) if isinstance(found, str)}
    if bad and config.bad == REFUSE:
        raise DataError(refusal(pictures.root, bad, len(files)))
    rows = np.array([row for row, found in enumerate(looks) if not isinstance(found, str)], dtype=np.int64)
    notes = (*pictures.notes, *left_out(pictures.root, bad, len(files)))
    division = _divided(config, pictures, looks, reading, notes)
    assert division.reading is not None
    if not settled:
        _write_deep(pixels, division.reading, files, looks)
    places = {split: np.array(own, dtype=np.int64) for split, own in division.places.items()}
    names = _names([files[row] for row in rows], pictures.root)
    write_index(
        Entry(
            folder=folder,
            root=pictures.root,
            classes=pictures.classes,
            labels=np.array(division.labels, dtype=np.int64),
            digests=np.frombuffer(b"".join(division.digests), dtype=np.uint8).reshape(-1, 32),
            rows=_arranged(folder, rows, places, math.prod(reading.shape)),
            places=places,
            text=np.frombuffer(b"".join(names), dtype=np.uint8),
            ends=np.cumsum([len(name) for name in names], dtype=np.int64),
            reading=division.reading,
            notes=division.notes,
            bad=pictures.bad + len(bad),
            fingerprint=division.fingerprint(1, reading.shape),
        )
    )


def _names(files: Sequence[Path], root: Path) -> list[bytes]:
    """Return the names of files under a folder, as the file system has them."""
    start = len(os.fsencode(os.path.join(root, "")))
    return [os.fsencode(path)[start:] for path in files]


def _divided(
    config: DataConfig, pictures: Pictures, looks: Sequence[Seen | str], reading: Reading, notes: Sequence[str]
) -> Division:
    """Divide the files that could be decoded."""
    given, rest = dict[str, Contents](), iter(looks)
    names, usable = list[str](), list[Seen]()
    for split, own in pictures.files.items():
        seen = [(path, label, look) for (path, label), look in zip(own, rest, strict=False) if isinstance(look, Seen)]
        own_names = [os.fsdecode(name) for name in _names([path for path, _, _ in seen], pictures.root)]
        digests = [look.digest for _, _, look in seen]
        labels = [label for _, label, _ in seen if isinstance(label, int)]  # `cached` takes no other kind
        given[split] = Contents(labels, digests, own_names.__getitem__)
        names += own_names
        usable += [look for _, _, look in seen]
    settle = settling(config, reading, usable, names.__getitem__)
    return divide(config, pictures.classes, given, notes=notes, settle=settle)


def _write_deep(pixels: Path, reading: Reading, files: Sequence[Path], looks: Sequence[Seen | str]) -> None:
    """Write the pixels of files with 16 bits a level, whose depth is known by now."""
    deep = [(row, files[row]) for row, look in enumerate(looks) if isinstance(look, Seen) and look.bits is not None]
    if not deep:
        return
    for (_, path), found in zip(deep, decoded(deep, pixels, reading, settled=True), strict=True):
        if isinstance(found, str):  # it was changed since
            raise DataError(f"data image_folder: {path} cannot be read: {found}")


def _arranged(
    folder: Path, rows: NDArray[np.int64], places: Mapping[str, NDArray[np.int64]], size: int
) -> NDArray[np.int64]:
    """Move pixels of the test split into a file of their own, and close the gaps.

    Args:
        folder: of the entry, with the pixels of all files.
        rows: where those of each picture are.
        places: by split, its pictures.
        size: of the pixels of a picture, in bytes.

    Returns:
        Where those of each are then, in the file of its split; -1 of those in none.
    """
    found = np.full(len(rows), -1, dtype=np.int64)
    searched = np.concatenate([places[TRAIN], places[VAL]])
    count = len(searched)
    with (folder / SEARCHED_FILE).open("r+b") as pixels, (folder / TEST_FILE).open("wb") as test:
        _copy(pixels.fileno(), test.fileno(), rows[places[TEST]], np.arange(len(places[TEST])), size)
        found[places[TEST]] = np.arange(len(places[TEST]))
        found[searched] = rows[searched]
        late = searched[rows[searched] >= count]
        free = np.setdiff1d(np.arange(count), rows[searched])
        _copy(pixels.fileno(), pixels.fileno(), rows[late], free, size)
        found[late] = free
        pixels.truncate(count * size)
        for file in (pixels, test):
            os.fsync(file.fileno())
    return found


def _copy(source: int, target: int, rows: NDArray[np.int64], to: NDArray[np.int64], size: int) -> None:
    """Copy rows of a file to rows of a file, by their descriptors."""
    for row, place in zip(rows.tolist(), to.tolist(), strict=True):
        pixels = os.pread(source, size, row * size)
        if len(pixels) != size:
            raise OSError("the file of pixels was cut short")
        write_at(target, pixels, place * size)
