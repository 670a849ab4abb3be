"""Tables of a report: heads, and rows of cells with their text and what they are sorted by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite

from nas.errors import plain
from nas.reports.markup import compact


@dataclass(frozen=True)
class Head:
    """The head of a column."""

    name: str
    class_: str = ""
    """`text` for what is no number, `text long` for what may be cut on the screen."""


@dataclass(frozen=True)
class Cell:
    """What stands in a cell."""

    text: str
    value: str | None = None
    """What it is sorted by, where that is not its text."""


@dataclass(frozen=True)
class Row:
    """A row of a table."""

    cells: tuple[Cell, ...]
    key: str = ""
    """What it is found by."""


@dataclass(frozen=True)
class Table:
    """Rows under heads."""

    heads: tuple[Head, ...]
    rows: tuple[Row, ...]


def words(text: object) -> Cell:
    """Return a cell with text; controls and what is no Unicode are escaped."""
    return Cell(plain(str(text)))


def number(value: float, text: str | None = None) -> Cell:
    """Return a cell with a number, empty where it is not finite."""
    if not isfinite(value):
        return Cell("")
    return Cell(compact(value) if text is None else text, f"{value:.10g}")


def whole(value: float) -> Cell:
    """Return a cell with a whole number, empty where it is not finite."""
    return number(value, f"{value:,.0f}" if isfinite(value) else "")


def table_of(heads: Sequence[Head], rows: Iterable[Sequence[Cell]]) -> Table:
    """Return a table of some rows."""
    return Table(tuple(heads), tuple(Row(tuple(cells)) for cells in rows))
