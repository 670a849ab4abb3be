"""The only way to the test images, and the ledger that says who has read them when."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nas.errors import DataError
from nas.held_out import check_test_split_allowed, forbid_test_split, reading_test_split, without_test_split
from nas.line_log import LineLog, append_in_turn
from nas.training.data.config import DataConfig
from nas.training.data.registry import DATA_SETS
from nas.training.data.splits import Images

__all__ = [
    "LEDGER",
    "Ledger",
    "LedgerEntry",
    "check_test_split_allowed",
    "forbid_test_split",
    "read_test_split",
    "without_test_split",
]

LEDGER = "test_ledger.jsonl"
"""The file of a run folder that holds the ledger."""
_LINE = "a reading of the test split"
"""Of it, for messages."""


@dataclass(frozen=True, kw_only=True)
class LedgerEntry:
    """One reading of the test split."""

    time: float
    """In seconds since 1970."""
    arch_id: str
    """Of the network that was tested."""
    seed: int
    """That the network was trained with."""
    purpose: str
    """What it was read for, in words."""
    split_fingerprint: str
    """Of the splits (`ImageData.fingerprint`)."""
    count: int
    """Number of test images."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LedgerEntry:
        """Return the entry of which `asdict` gives the values; raises `TypeError` for anything else."""
        entry = cls(**values)
        texts, numbers = ("arch_id", "purpose", "split_fingerprint"), ("seed", "count")
        kinds: dict[str, tuple[type, ...]] = {"time": (int, float)}
        kinds |= dict.fromkeys(texts, (str,)) | dict.fromkeys(numbers, (int,))
        for name, kind in kinds.items():
            value = getattr(entry, name)
            if not isinstance(value, kind) or isinstance(value, bool):
                raise TypeError(f"{name} is {value!r:.40}")
        return entry


@dataclass(frozen=True)
class Ledger:
    """The readings of the test split for one run, a line each; several processes may read the split at once."""

    folder: Path
    """The folder of the run."""

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / LEDGER

    def entries(self) -> list[LedgerEntry]:
        """Return what is written; raises `ConfigError` where a line was edited, moved or taken out."""
        return LineLog(self.path).read(_LINE, LedgerEntry.from_dict)

    def append(self, entry: LedgerEntry) -> None:
        """Add an entry, which is on the disk when this returns.

        Raises:
            ConfigError: as `entries`. OSError: it cannot be written.
        """
        append_in_turn(self.path, _LINE, LedgerEntry.from_dict, asdict(entry))


def read_test_split(
    config: DataConfig, ledger: Ledger, *, arch_id: str, seed: int, purpose: str, fingerprint: str | None = None
) -> Images:
    """Return the test images of a data set; that they are read is in the ledger before.

    Nothing of them is kept: whoever asks again reads them again, with another line in the ledger.

    Args:
        config: which data set, and how it is split.
        ledger: of the run that they are read for.
        arch_id: of the network that is to be tested.
        seed: that the network was trained with.
        purpose: what they are read for, in words.
        fingerprint: of the splits that the network was trained on; None: any will do.

    Raises:
        HeldOutError: this process searches, or a search has started it (`nas.held_out`).
        DataError: missing or malformed files, or splits with another fingerprint, of which nothing is noted.
        ConfigError: a line of the ledger was edited. OSError: it cannot be written.
    """
    with reading_test_split():
        splits = DATA_SETS[config.name].load(config)
    assert splits.test is not None
    if fingerprint not in (None, splits.data.fingerprint):
        raise DataError(
            f"data {config.name} have changed since the network was trained: the fingerprint of their splits was "
            f"{fingerprint}, is {splits.data.fingerprint}. Its other scores are of other images, and among the test "
            "images may be some that it has learned: put the data back as they were"
        )
    entry = LedgerEntry(
        time=time.time(),
        arch_id=arch_id,
        seed=seed,
        purpose=purpose,
        split_fingerprint=splits.data.fingerprint,
        count=len(splits.test.labels),
    )
    ledger.append(entry)
    return splits.test
