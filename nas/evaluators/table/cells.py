"""Rows and cells of CSV files as Python, pandas and spreadsheets write them."""

from __future__ import annotations

import codecs
import csv
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any, Final

from nas.equality import same_value
from nas.errors import ConfigError, NasError, nearest
from nas.network.settings import Scalar


class NoValue(Enum):
    """What a cell holds that is empty, or says that it has no value."""

    NO_VALUE = "no value"


NO_VALUE: Final = NoValue.NO_VALUE

_EMPTY = {"", "na", "n/a", "#n/a", "<na>", "nan", "nat", "none", "null"}
_TRUE, _FALSE = {"true", "wahr", "vrai", "1", "1.0"}, {"false", "falsch", "faux", "0", "0.0"}
_DELIMITERS = ",;\t"
_STATED = re.compile(r'"?sep=([^\w\s"]|\t)"?\s*')
"""A first line by which spreadsheets are told what parts the cells."""


class Rows:
    """The rows of a table, each a mapping from column to text without spaces around it."""

    def __init__(self, path: Path, reader: Any, *, comma_in_numbers: bool, above: int) -> None:
        self._path, self._reader, self._above = path, reader, above
        self.comma_in_numbers = comma_in_numbers
        """Whether numbers may have a decimal comma, since none parts the cells."""
        self.header = [name.strip() for name in next(reader, [])]
        while self.header and not self.header[-1]:  # commas at the end of the line
            self.header.pop()
        doubled = [name for i, name in enumerate(self.header) if name in self.header[:i] and name]
        if doubled:
            raise ConfigError(f"table {path} has two columns {doubled[0]!r}")

    @property
    def line(self) -> int:
        """The line of the file that was read last, from 1."""
        return self._above + int(self._reader.line_num)

    def __iter__(self) -> Iterator[dict[str, str]]:
        for cells in self._reader:
            if not any(cell.strip() for cell in cells):
                continue
            texts = [cell.strip() for cell in cells]
            if any(texts[len(self.header) :]):
                raise ConfigError(f"{self._path}:{self.line}: {len(texts)} cells for {len(self.header)} columns")
            texts += [""] * (len(self.header) - len(texts))
            yield dict(zip(self.header, texts, strict=False))


def with_point(text: str) -> str:
    """Return `0,5` as `0.5`: how numbers are written where cells are not parted by commas."""
    changed = text.replace(",", ".")
    return changed if text.count(",") == 1 and _is_number(changed) else text


@contextmanager
def open_table(path: Path) -> Iterator[Rows]:
    """Open a CSV file: parted by commas, semicolons, tabs or what its first line says (`sep=;`), in UTF-8 or UTF-16.

    Raises:
        ConfigError: no file, or a pipe or device, which is never read; a row longer than the header, a column twice.
        OSError, UnicodeError, csv.Error: what cannot be read.
    """
    if path.exists() and not path.is_file():
        raise ConfigError(f"table {path} is not a file, but a folder, a pipe or a device")
    with path.open("rb") as file:
        begin = file.read(2)
    wide = begin in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    with path.open(newline="", encoding="utf-16" if wide else "utf-8-sig") as file:
        first = file.readline()
        stated = _STATED.fullmatch(first)
        if stated is None:
            file.seek(0)
        delimiter = stated[1] if stated else max(_DELIMITERS, key=first.count)
        reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
        yield Rows(path, reader, comma_in_numbers=delimiter != ",", above=1 if stated else 0)


def option_of(values: Sequence[Scalar], text: str, path: str) -> Scalar | NoValue:
    """Return the option that a cell means: as it is written, or else as the same number or truth value.

    Returns:
        `NO_VALUE` for an empty cell.

    Raises:
        NasError: no option; with the nearest.
    """
    for value in values:
        if str(value) == text:
            return value
    if text.lower() in _EMPTY:
        return NO_VALUE
    number = number_of(text)
    for value in values:
        if number is not None and same_value(value, number):
            return value
    for value in values:
        if isinstance(value, bool) and text.lower() in (_TRUE if value else _FALSE):
            return value
    raise NasError(f"{path}: unknown option {text!r}. {nearest(text, map(str, values))}")


class Numbers:
    """Reads the numbers of columns. Those of one measure must be written in one way: what they mean depends on it."""

    def __init__(self, *, comma: bool) -> None:
        """Say whether numbers may have a decimal comma."""
        self.comma = comma
        self._first: dict[tuple[str, str], tuple[str, str, str]] = {}
        """By measure and matter, how its first number was written: in short, the text, and where."""

    def read(self, measure: str, column: str, text: str, where: str) -> float:
        """Return the number in a cell.

        Args:
            measure: what the column is of; several columns may be repetitions.
            column: its name.
            text: the cell.
            where: file and line.

        Raises:
            ConfigError: no number, none that is finite, or one that is written otherwise than an earlier one.
        """
        value = number_of(with_point(text) if self.comma else text)
        if value is None:
            raise ConfigError(f"{where}: {column} must be a number, but got {text!r}")
        if not math.isfinite(value):
            raise ConfigError(f"{where}: {column} must be a finite number, but got {text!r}")
        cell = {"text": text, "where": where, "column": column}
        self._as_before(measure, "with and without % are different units", str(text.endswith("%")), **cell)
        marks = [mark for mark in ",." if mark in text]
        if self.comma and marks:
            rule = "one of them is no decimal mark; write all with the same"
            self._as_before(measure, rule, marks[0], **cell)
        return value

    def _as_before(self, measure: str, rule: str, way: str, *, text: str, where: str, column: str) -> None:
        before, earlier, place = self._first.setdefault((measure, rule), (way, text, where))
        if before != way:
            raise ConfigError(f"{where}: {column} is {text!r}, but {place} has {earlier!r}: {rule}")


def number_of(text: str) -> float | None:
    """Return the number in a cell, `91%` as 0.91; None where it is none."""
    if text.endswith("%") and _is_number(text[:-1]):
        return float(text[:-1]) / 100
    return float(text) if _is_number(text) else None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text
