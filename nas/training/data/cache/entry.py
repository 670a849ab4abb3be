"""An entry of a cache: two files of pixels, those of the test split apart, and an index that says what is in them."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.errors import reason_of
from nas.exporting.reading import Reading
from nas.held_out import check_test_split_allowed
from nas.training.data.cache.decode import reading_from
from nas.training.data.cache.pixels import PixelFile
from nas.training.data.content import SPLITS, TEST
from nas.training.data.division import Division

INDEX, SEARCHED_FILE, TEST_FILE = "index.npz", "train_val.pixels", "test.pixels"
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Names:
    """Files by their places among all; they become paths when they are asked for."""

    root: Path
    text: NDArray[np.uint8]
    """All names under the root, one after another, as the file system has them."""
    ends: NDArray[np.int64]
    """Where the name of each ends."""
    places: NDArray[np.int64]
    """Of those that are meant."""

    def __len__(self) -> int:
        """How many there are."""
        return len(self.places)

    def __getitem__(self, index: int) -> Path:
        """Return the path of one."""
        place = int(self.places[index])
        start = int(self.ends[place - 1]) if place else 0
        return self.root / os.fsdecode(self.text[start : int(self.ends[place])].tobytes())

    def __iter__(self) -> Iterator[Path]:
        return (self[index] for index in range(len(self)))


@dataclass(frozen=True, eq=False)
class Entry:
    """A folder of pictures as it was when its pixels were cached, divided into splits."""

    folder: Path
    """Of the entry."""
    root: Path
    """Of the pictures."""
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    """The class of each picture."""
    digests: NDArray[np.uint8]
    """Of the content of each, `(n, 32)`."""
    rows: NDArray[np.int64]
    """Where each is in the file of pixels of its split; those in no split are at -1."""
    places: Mapping[str, NDArray[np.int64]]
    """By split, its pictures in order, of the training split all (`Division.places`)."""
    text: NDArray[np.uint8]
    ends: NDArray[np.int64]
    """Names of all files, as in `Names`."""
    reading: Reading
    notes: tuple[str, ...]
    bad: int
    """Files that were left out, since they cannot be used."""
    fingerprint: str
    """Of the splits, with all of the training split."""

    def names(self, places: NDArray[np.int64]) -> Names:
        """Return the files of some pictures."""
        return Names(self.root, self.text, self.ends, places)

    def pixels(self, split: str) -> PixelFile:
        """Open the file of pixels of a split.

        Raises:
            HeldOutError: it is the test split, and this process may not read that. OSError: it cannot be opened.
            DataError: it has another size.
        """
        if split == TEST:
            check_test_split_allowed()
            return PixelFile(self.folder / TEST_FILE, self.reading.shape, len(self.places[TEST]))
        count = sum(len(places) for name, places in self.places.items() if name != TEST)
        return PixelFile(self.folder / SEARCHED_FILE, self.reading.shape, count)

    @cached_property
    def division(self) -> Division:
        """What the entry was made from."""
        digests = self.digests.tobytes()
        return Division(
            self.labels.tolist(),
            [digests[start : start + 32] for start in range(0, len(digests), 32)],
            {split: places.tolist() for split, places in self.places.items()},
            self.notes,
            self.reading,
        )


_ARRAYS = ("labels", "digests", "rows", "text", "ends")


def write_index(entry: Entry) -> None:
    """Write what an entry says beside its pixels, whose files are whole.

    Raises:
        OSError: it cannot be written.
    """
    facts = {
        "root": os.fspath(entry.root),
        "classes": entry.classes,
        "reading": asdict(entry.reading),
        "notes": entry.notes,
        "bad": entry.bad,
        "fingerprint": entry.fingerprint,
        "files": {name: _state(entry.folder / name) for name in (SEARCHED_FILE, TEST_FILE)},
    }
    arrays: dict[str, Any] = {name: getattr(entry, name) for name in _ARRAYS}
    arrays |= {"facts": np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8), **entry.places}
    with (entry.folder / INDEX).open("wb") as file:
        np.savez(file, **arrays)
        file.flush()
        os.fsync(file.fileno())


def read_entry(folder: Path) -> Entry | None:
    """Return an entry; None where there is none, or one that is not whole, which is logged."""
    if not (folder / INDEX).exists():
        return None
    try:
        return _read(folder)
    except Exception as error:  # whatever a damaged file may lead to
        _LOG.warning("the cache of images %s is made anew, since it is damaged: %s", folder, reason_of(error))
        return None


def _read(folder: Path) -> Entry:
    with np.load(folder / INDEX, allow_pickle=False) as held:
        arrays = {name: held[name] for name in (*_ARRAYS, *SPLITS, "facts")}
    facts = json.loads(arrays.pop("facts").tobytes())
    for name, state in facts["files"].items():
        if _state(folder / name) != state:
            raise ValueError(f"{name} was changed")
    entry = Entry(
        folder=folder,
        root=Path(facts["root"]),
        classes=tuple(facts["classes"]),
        places={split: arrays.pop(split) for split in SPLITS},
        reading=reading_from(facts["reading"]),
        notes=tuple(facts["notes"]),
        bad=facts["bad"],
        fingerprint=facts["fingerprint"],
        **arrays,
    )
    _check(entry)
    return entry


def _state(path: Path) -> list[int]:
    """Return size and time of change of a file, which is written once."""
    about = path.stat()
    return [about.st_size, about.st_mtime_ns]


def _check(entry: Entry) -> None:
    """Raise `ValueError` where numbers of an entry do not fit together."""
    count = len(entry.labels)
    fits = [
        entry.digests.shape == (count, 32),
        entry.rows.shape == entry.ends.shape == (count,),
        _within(entry.labels, len(entry.classes)),
        *(
            _within(places, count) and _within(entry.rows[places], _rows(entry, split))
            for split, places in entry.places.items()
        ),
    ]
    if not all(fits):
        raise ValueError("its numbers do not fit together")


def _within(numbers: NDArray[np.int64], end: int) -> bool:
    return bool(((numbers >= 0) & (numbers < end)).all())


def _rows(entry: Entry, split: str) -> int:
    return sum(len(places) for name, places in entry.places.items() if (name == TEST) == (split == TEST))
