"""Finds and reads the files of `data=series`: which split each is of, and the class of each series. No torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.errors import DataError, is_text, plain
from nas.exporting.series_files import KINDS, NPZ, TS, SeriesError, SeriesFile, of_array, read_table, read_ts
from nas.run_folder import user_path
from nas.training.data.array_files import find_pairs, mapping_of
from nas.training.data.array_labels import classes_of
from nas.training.data.config import DataConfig
from nas.training.data.content import TEST, TRAIN

Series = NDArray[np.float32]
"""`(channels, length)`, NaN where a value is missing."""

_NAME = "series"
_SPLIT = re.compile(r"(?P<name>.*)_(?P<split>TRAIN|TEST)", re.IGNORECASE | re.DOTALL)
_HOW = (
    "Expected NAME_TRAIN.tsv and NAME_TEST.tsv as of the UCR archive (the class first; .csv with commas), "
    "NAME_TRAIN.ts and NAME_TEST.ts as of the UEA archive, or one such file; or an .npz with x_train and y_train, or x "
    "and y, where x is (n, length) or (n, channels, length)"
)


@dataclass(frozen=True, eq=False)
class Given:
    """The series of a split of the data set's own."""

    series: Sequence[Series]
    labels: NDArray[np.int64]
    """The class of each."""
    name: Callable[[int], str]
    """Names a series, by its place, for messages."""


@dataclass(frozen=True, eq=False)
class Sources:
    """The series of a data set before they are split: all have as many channels."""

    classes: tuple[str, ...]
    given: Mapping[str, Given]
    """By split: those for training, and others where there are such."""
    notes: tuple[str, ...] = ()
    """What a user should know, in sentences."""


def find_series(config: DataConfig) -> Sources:
    """Read the series that a config names.

    Raises:
        DataError: nothing that is read is there, or something is wrong with it; says where.
    """
    if not config.root:
        raise DataError(f"data {_NAME}: give data.root=FILE or data.root=FOLDER. {_HOW}")
    files = _files(user_path(config.root))
    _check_sizes(files.values(), config.memory_mib)
    if files[TRAIN].suffix.lower() == NPZ:
        found = _of_arrays(files[TRAIN], config.memory_mib)
    else:
        found = _of_text({split: _read(path) for split, path in files.items()})
    _check_channels(found)
    return found


def _files(root: Path) -> dict[str, Path]:
    """Return the files by split: of the training file, and of the test file where there is one.

    Raises:
        DataError: there are none, or several that could be meant.
    """
    if root.is_dir():
        return _files_in(root)
    if not root.is_file():
        raise DataError(f"data {_NAME}: no file or folder {root}. {_HOW}")
    if root.suffix.lower() not in KINDS:
        raise DataError(f"data {_NAME}: the name of {root} must end in {', '.join(KINDS)}. {_HOW}")
    split, other = _split_of(root), _other(root)
    if split == TEST:
        raise DataError(f"data {_NAME}: {root} is a test split by its name: give the file _TRAIN, or their folder")
    return {TRAIN: root} | ({TEST: other} if other is not None else {})


def _files_in(folder: Path) -> dict[str, Path]:
    there = sorted(
        path for path in folder.iterdir() if path.suffix.lower() in KINDS and path.is_file() and path.name[0] != "."
    )
    first = [path for path in there if _split_of(path) != TEST]
    if not first:
        lacks = "a file _TRAIN beside these" if there else "any file of series"
        raise DataError(f"data {_NAME}: {folder} has not {lacks}. {_HOW}")
    if len(first) > 1:
        some = ", ".join(path.name for path in first[:5])
        raise DataError(
            f"data {_NAME}: {folder} has {len(first):,} files that could be meant: {some}; give one as "
            f"data.root={plain(str(folder / first[0].name))}"
        )
    return _files(first[0])


def _split_of(path: Path) -> str:
    """Return the split that a file is of by its name; empty where that does not say it."""
    found = _SPLIT.fullmatch(path.stem)
    return "" if found is None else TEST if found["split"].upper() == "TEST" else TRAIN


def _other(path: Path) -> Path | None:
    """Return the file with the test split beside that of a training split; None where there is none."""
    found = _SPLIT.fullmatch(path.stem)
    if found is None or path.suffix.lower() == NPZ:
        return None
    test = "TEST" if found["split"].isupper() else "test" if found["split"].islower() else "Test"
    other = path.with_name(f"{found['name']}_{test}{path.suffix}")
    return other if other.is_file() else None


def _check_sizes(files: Iterable[Path], memory_mib: int) -> None:
    """Raise `DataError` where text is larger than what may be kept: before it is parsed, which takes minutes then."""
    texts = [path for path in files if path.suffix.lower() != NPZ]
    size = sum(path.stat().st_size for path in texts)
    if size > memory_mib * 2**20:
        raise DataError(
            f"data {_NAME}: {', '.join(path.name for path in texts)} have {size / 2**20:,.0f} MiB, more than "
            f"data.memory_mib={memory_mib}: raise that"
        )


def _read(path: Path) -> SeriesFile:
    try:
        found = read_ts(path) if path.suffix.lower() == TS else read_table(path, labelled=True)
    except SeriesError as error:
        raise DataError(f"data {_NAME}: {path}: {plain(str(error))}") from None
    if not found.labels:
        raise DataError(
            f"data {_NAME}: {path} has no classes: @classLabel must be true, with a class behind each series"
        )
    return found


def _of_text(files: Mapping[str, SeriesFile]) -> Sources:
    labels = _as_whole_numbers({split: file.labels for split, file in files.items()})
    names = sorted({label for own in labels.values() for label in own}, key=_order(labels))
    _check_classes(names, files[TRAIN].path)
    place = {name: number for number, name in enumerate(names)}
    given = {
        split: Given(file.series, np.array([place[label] for label in labels[split]], dtype=np.int64), file.name)
        for split, file in files.items()
    }
    note = ", ".join(f"{split} is {file.path.name}" for split, file in files.items())
    return Sources(tuple(names), given, (note,))


def _as_whole_numbers(labels: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return labels, of which all that are whole numbers are written alike: `1.0` is the class `1`."""
    every = {label for own in labels.values() for label in own}
    numbers = {label: _number(label) for label in every}
    if any(number is None for number in numbers.values()):
        return {split: [*own] for split, own in labels.items()}
    return {split: [str(numbers[label]) for label in own] for split, own in labels.items()}


def _number(label: str) -> int | None:
    try:
        value = float(label)
    except ValueError:
        return None
    return int(value) if value.is_integer() and abs(value) < 2**53 else None


def _order(labels: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """Return what classes are sorted by: numbers by their size, and other names as text."""
    whole = all(_number(label) is not None for own in labels.values() for label in own)
    return int if whole else str


def _check_classes(names: Sequence[str], path: Path) -> None:
    if len(names) < 2 or not all(map(is_text, names)):
        raise DataError(
            f"data {_NAME}: {path} must have series of two classes at least, with names in UTF-8, but has "
            f"{', '.join(names)!r:.80}"
        )


def _of_arrays(path: Path, memory_mib: int) -> Sources:
    pairs, _ = find_pairs(path, memory_mib, _NAME)
    classes, labels = classes_of({split: (one.labels.name, one.labels.read()) for split, one in pairs.items()}, _NAME)
    given = {}
    for split, pair in pairs.items():
        name = pair.images.name
        try:
            series = of_array(pair.images.read(), name)
        except SeriesError as error:
            raise DataError(f"data {_NAME}: {path}: {plain(str(error))}") from None
        if len(series) != len(labels[split]):
            raise DataError(
                f"data {_NAME}: {name} has {len(series):,} series, {pair.labels.name} {len(labels[split]):,} classes"
            )
        given[split] = Given(series, labels[split], partial(_of_array, name))
    return Sources(classes, given, (mapping_of(pairs),))


def _of_array(name: str, place: int) -> str:
    return f"{name}[{place}]"


def _check_channels(found: Sources) -> None:
    """Raise `DataError` where series have different numbers of channels."""
    first = found.given[TRAIN]
    if not len(first.series):
        raise DataError(f"data {_NAME}: there are no series to train on")
    wanted = len(first.series[0])
    for given in found.given.values():
        for place, series in enumerate(given.series):
            if len(series) != wanted:
                raise DataError(
                    f"data {_NAME}: all series must have as many channels, but {first.name(0)} has {wanted}, "
                    f"{given.name(place)} {len(series)}"
                )
