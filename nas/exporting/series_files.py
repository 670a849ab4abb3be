"""Reads files of series: tables as of the UCR archive, .ts as of the UEA archive, and NumPy's .npz.

One code for training, `nas predict` and predict.py; it needs numpy alone. Nothing is read by pickle.

- A table (`.tsv`, `.csv`; Dau et al. 2019, "The UCR time series archive") has a series in a row, of one channel, in
  training its class before it. All rows have as many cells; those that are NaN at the end are no part of a series, so
  that shorter ones fit.
- A `.ts` (Bagnall et al. 2018, "The UEA multivariate time series classification archive") has a header of `@name x`,
  and behind `@data` a series in a line: its dimensions with `:` between them, their values with `,` between them, `?`
  where one is missing, and its class at the end after `@classLabel true`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nas.exporting.reading import why_no_file
from nas.exporting.series_words import REFUSE

SEPARATORS = {".tsv": "\t", ".csv": ","}
"""Of tables, by the end of their name."""
TS, NPZ = ".ts", ".npz"
KINDS = (*SEPARATORS, TS, NPZ)
"""Ends of the names of files that are read."""
_HEADER = {
    "problemname": "text",
    "timestamps": "no",
    "missing": "flag",
    "univariate": "flag",
    "dimension": "number",
    "dimensions": "number",
    "equallength": "flag",
    "serieslength": "number",
    "classlabel": "classes",
    "targetlabel": "no",
    "data": "",
}
"""Names in the header of a .ts, with what stands behind them; what is `no` there may only be false."""
_WHY_NOT = {
    "timestamps": "values with times are not read, only those at equal distances",
    "targetlabel": "numbers are not learned of series, only classes",
}
_LARGEST = float(np.finfo(np.float32).max)


class SeriesError(ValueError):
    """A file of series that cannot be read; the message says what, in which line, and the rule."""


@dataclass(frozen=True)
class SeriesReading:
    """How series become the input of a network."""

    channels: int
    """That a series has."""
    length: int
    """Steps that a series is brought to: what is more is cut off at its end, what is missing there is absent."""
    mask: bool = False
    """Whether the network is given one channel more: 1 at steps where any channel has a value, else 0."""
    missing: str = REFUSE
    """One of `nas.exporting.series_words.MISSING`."""


@dataclass(eq=False)
class SeriesFile:
    """What a file holds."""

    path: Path
    series: list[np.ndarray[Any, Any]] = field(default_factory=list)
    """float32 of `(channels, length)` each; NaN where a value is missing."""
    labels: list[str] = field(default_factory=list)
    """The class of each, as the file has it; empty where it has none."""
    lines: list[int] = field(default_factory=list)
    """Where each stands, from 1; of arrays its place from 1."""

    def name(self, place: int) -> str:
        """Name a series by its place among those of the file, from 0."""
        return f"{self.path.name}:{self.lines[place]}"


def read_table(path: Path, *, labelled: bool) -> SeriesFile:
    """Read a table: a series in a row, behind its class where these are labelled.

    Raises:
        SeriesError: it cannot be read, or is no such table.
    """
    found, separator, width = SeriesFile(path), SEPARATORS[path.suffix.lower()], 0
    for number, line in _lines(path):
        cells = [cell.strip() for cell in line.split(separator)]
        where = f"line {number}"
        width = width or len(cells)
        if len(cells) != width:
            raise SeriesError(
                f"{where} has {len(cells):,} values, the first has {width:,}: all rows must have as many; a shorter "
                "series ends with NaN"
            )
        if labelled:
            if cells[0] in ("", "?") or cells[0].lower() == "nan":
                raise SeriesError(f"{where} begins with {cells[0]!r:.40}, but must begin with the class of the series")
            found.labels.append(cells.pop(0))
        found.series.append(trimmed(_numbers(cells, where)[None], where))
        found.lines.append(number)
    _check_some(found)
    return found


def read_ts(path: Path) -> SeriesFile:
    """Read a .ts, with its classes where it has them.

    Raises:
        SeriesError: it cannot be read, or does not follow its own header.
    """
    found, lines = SeriesFile(path), _lines(path, comment="#")
    header = _header(lines)
    for number, line in lines:
        where = f"line {number}"
        parts = [part.strip() for part in line.split(":")]
        if header.labelled:
            if len(parts) < 2 or not parts[-1]:
                raise SeriesError(f"{where} must end with `:` and a class, as @classLabel says")
            found.labels.append(header.checked(parts.pop(), where))
        values = [_numbers([_as_nan(cell) for cell in part.split(",")], where) for part in parts]
        found.series.append(header.joined(values, where, found.series))
        found.lines.append(number)
    _check_some(found)
    return found


@dataclass(frozen=True)
class _Header:
    """What the header of a .ts says; None where it does not."""

    univariate: bool | None = None
    dimensions: int | None = None
    equallength: bool | None = None
    serieslength: int | None = None
    classes: tuple[str, ...] | None = None
    """None where series have no class; empty where it does not say which there are."""

    @property
    def labelled(self) -> bool:
        return self.classes is not None

    def checked(self, label: str, where: str) -> str:
        """Return a class that is among those of the header."""
        if self.classes and label not in self.classes:
            raise SeriesError(f"{where} has the class {label!r:.60}, which @classLabel does not list: {self._some()}")
        return label

    def _some(self) -> str:
        classes = self.classes or ()
        return ", ".join(classes[:10]) + (", ..." if len(classes) > 10 else "")

    def joined(
        self, values: Sequence[np.ndarray[Any, Any]], where: str, before: Sequence[np.ndarray[Any, Any]]
    ) -> np.ndarray[Any, Any]:
        """Return dimensions as one series: of one that ends earlier the rest is missing."""
        wanted = 1 if self.univariate else self.dimensions or (len(before[0]) if before else len(values))
        if len(values) != wanted:
            raise SeriesError(f"{where} has {len(values):,} dimensions, but there must be {wanted:,}")
        length = max(map(len, values))
        fixed = self.serieslength or (before[0].shape[1] if before and self.equallength else None)
        if fixed is not None and length != fixed and self.equallength is not False:
            raise SeriesError(
                f"{where} has {length:,} steps, but the header promises series of {fixed:,}: @equalLength false allows "
                "others"
            )
        series = np.full((len(values), length), np.nan, dtype=np.float32)
        for row, own in zip(series, values, strict=True):
            row[: len(own)] = own
        if np.isnan(series).all():
            raise SeriesError(f"{where} has a series without any value")
        return series


def _header(lines: Iterator[tuple[int, str]]) -> _Header:
    """Read the lines up to `@data`."""
    said: dict[str, Any] = {}
    for number, line in lines:
        name, *values = line.split()
        key = name.removeprefix("@").lower()
        if not name.startswith("@"):
            raise SeriesError(f"line {number} is {line!r:.60}, but before @data all lines begin with @ or #")
        if key not in _HEADER:
            close = difflib.get_close_matches(key, _HEADER, n=1)
            hint = f" Did you mean @{close[0]}?" if close else f" Known: {', '.join(f'@{one}' for one in _HEADER)}"
            raise SeriesError(f"line {number} has {name!r:.60}, which is nothing that a .ts has.{hint}")
        if key == "data":
            return _Header(**said)
        said |= _said(key, values, f"line {number}: @{key}")
    raise SeriesError("it has no @data: nothing is behind its header")


def _said(key: str, values: Sequence[str], where: str) -> dict[str, Any]:
    """Return what a line of a header says, by the fields of `_Header`."""
    kind = _HEADER[key]
    if kind == "text":
        return {}
    first = values[0].lower() if values else ""
    if kind == "number":
        if not re.fullmatch("[0-9]{1,9}", first) or int(first) < 1:
            raise SeriesError(f"{where} must be a whole number from 1 to 999,999,999, but is {' '.join(values)!r:.40}")
        return {"dimensions" if key == "dimension" else key: int(first)}
    if first not in ("true", "false"):
        raise SeriesError(f"{where} must be true or false, but is {' '.join(values)!r:.40}")
    if kind == "no" and first == "true":
        raise SeriesError(f"{where} is true: {_WHY_NOT[key]}")
    if kind == "classes":
        return {"classes": tuple(values[1:]) if first == "true" else None}
    return {key: first == "true"} if key in ("univariate", "equallength") else {}


def read_arrays(path: Path) -> SeriesFile:
    """Read series without classes from an .npz: its array `x`, or the only one it has.

    It is `(n, length)` or `(n, channels, length)`; steps at the end that are NaN in all channels are no part of a
    series.

    Raises:
        SeriesError: it cannot be read, or holds something else.
    """
    why = why_no_file(path)
    if why:
        raise SeriesError(why)
    try:
        with np.load(path, allow_pickle=False) as file:
            names = list(file.files)
            name = "x" if "x" in names else names[0] if len(names) == 1 else ""
            if not name:
                raise SeriesError(f"its series must be called x, or be its only array, but it has {names!r:.200}")
            array = np.asarray(file[name])
    except SeriesError:
        raise
    except Exception as error:  # readers of zip files and headers raise all kinds of errors on broken files
        raise SeriesError(getattr(error, "strerror", None) or str(error) or type(error).__name__) from None
    series = of_array(array, name)
    found = SeriesFile(path, series, [], [*range(1, len(series) + 1)])
    _check_some(found)
    return found


def of_array(array: np.ndarray[Any, Any], name: str) -> list[np.ndarray[Any, Any]]:
    """Return the series of an array `(n, length)` or `(n, channels, length)`, each without what is NaN at its end.

    Raises:
        SeriesError: it has another shape or type, or numbers that cannot be used.
    """
    if array.ndim not in (2, 3) or 0 in array.shape[1:]:
        raise SeriesError(f"{name} must be (n, length) or (n, channels, length), but has the shape {array.shape}")
    if array.dtype.kind not in "uif":
        raise SeriesError(f"{name} must hold numbers, but is of type {array.dtype}")
    series = []
    for place, values in enumerate(array[:, None] if array.ndim == 2 else array):
        series.append(trimmed(_single(values, f"{name}[{place}]"), f"{name}[{place}]"))
    return series


def trimmed(series: np.ndarray[Any, Any], where: str) -> np.ndarray[Any, Any]:
    """Return a series `(channels, length)` without the steps at its end where all channels are NaN."""
    there = np.flatnonzero(~np.isnan(series).all(axis=0))
    if not len(there):
        raise SeriesError(f"{where} has a series without any value")
    return np.ascontiguousarray(series[:, : there[-1] + 1])


def brought(series: Sequence[np.ndarray[Any, Any]], reading: SeriesReading) -> np.ndarray[Any, Any]:
    """Return series as one array `(n, channels, length)`: cut, or NaN, at their ends. The mask is not in it."""
    whole = np.full((len(series), reading.channels, reading.length), np.nan, dtype=np.float32)
    for row, own in zip(whole, series, strict=True):
        steps = min(own.shape[1], reading.length)
        row[:, :steps] = own[:, :steps]
    return whole


def mask_of(series: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return 1 at steps where any channel has a value, else 0: `(n, channels, length)` to float32 `(n, 1, length)`."""
    there: np.ndarray[Any, Any] = (~np.isnan(series)).any(axis=1, keepdims=True).astype(np.float32)
    return there


def _lines(path: Path, comment: str = "") -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file that are not empty, with their numbers from 1."""
    why = why_no_file(path)
    if why:
        raise SeriesError(why)
    number = 0
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                text = line.strip("\r\n ")
                if text and not (comment and text.startswith(comment)):
                    yield number, text
    except UnicodeDecodeError as error:
        raise SeriesError(f"it is no text in UTF-8, near line {number + 1}: {error.reason}") from None
    except OSError as error:
        raise SeriesError(error.strerror or str(error)) from None


def _as_nan(cell: str) -> str:
    cell = cell.strip()
    return "nan" if cell == "?" else cell


_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|[+-]?[nN][aA][nN]", re.ASCII)


def _numbers(cells: Sequence[str], where: str) -> np.ndarray[Any, Any]:
    """Return numbers of a text as float32, `(n,)`."""
    try:
        exact = np.array(cells, dtype=np.float64)
    except ValueError:
        exact = np.array([np.inf])
    # Python, and so NumPy, takes 1_000 and infinity for numbers, too.
    if np.isinf(exact).any() or any("_" in cell for cell in cells):
        for place, cell in enumerate(cells, 1):
            if not _NUMBER.fullmatch(cell):
                wanted = "a number that is finite, or NaN where one is missing"
                raise SeriesError(f"{where}, value {place:,}: {cell!r:.40} must be {wanted}")
    return _single(exact, where)


def _single(values: np.ndarray[Any, Any], where: str) -> np.ndarray[Any, Any]:
    """Return numbers in 32 bits; infinite ones, and those that are so in 32 bits, are refused."""
    with np.errstate(over="ignore"):
        single: np.ndarray[Any, Any] = values.astype(np.float32)
    if np.isinf(single).any():
        place = np.argwhere(np.isinf(single))[0]
        raise SeriesError(
            f"{where} has {values[tuple(place)]:g} at {[int(i) for i in place]}: numbers must be finite, and at most "
            f"{_LARGEST:.3g}, which 32 bits hold"
        )
    single += np.float32(0)  # -0 and 0 are one number
    return single


def _check_some(found: SeriesFile) -> None:
    if not found.series:
        raise SeriesError("it has no series")
