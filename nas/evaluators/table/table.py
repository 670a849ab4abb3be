"""A tabular benchmark read from a CSV file."""

from __future__ import annotations

import csv
import difflib
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nas.errors import ConfigError, NasError, nearest, why_unreadable
from nas.evaluators.table.cells import NO_VALUE, Numbers, open_table, option_of, with_point
from nas.evaluators.table.settings import TableSettings
from nas.network.architecture import Architecture
from nas.network.settings import Scalar
from nas.run_folder import user_path
from nas.space import Genotype, SearchSpace
from nas.space.tree.pickers import pick_from

EPOCH = "{epoch}"
"""Stands for the number of the epoch in the name of a column."""


@dataclass(frozen=True)
class Entry:
    """What a table knows of a network."""

    scores: Mapping[str, tuple[float, ...]]
    """By score, its repetitions, after the last epoch."""
    curves: Mapping[str, Mapping[int, float]]
    """By score, its values by epoch, where the table has them."""
    seconds: float


class Table:
    """The networks of a table."""

    def __init__(
        self, space: SearchSpace, entries: Sequence[tuple[Genotype, Entry]], name: str, *, timed: bool = False
    ) -> None:
        """Take genotypes of a space and what is known of them; see `read_table`.

        `timed` says whether it knows how long evaluations take.
        """
        self.space, self.name, self.timed = space, name, timed
        content = repr([(sorted(genotype.items()), entry) for genotype, entry in entries])
        self.fingerprint = hashlib.sha256(content.encode()).hexdigest()[:16]
        """Equal where all that is known is equal."""
        first: dict[Architecture, tuple[Genotype, Entry]] = {}
        for genotype, entry in entries:
            first.setdefault(space.decode(genotype), (genotype, entry))
        self.genotypes = [genotype for genotype, _ in first.values()]
        """One of each network."""
        self._entries = {architecture: entry for architecture, (_, entry) in first.items()}

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def scores(self) -> list[str]:
        """The scores that it knows."""
        return list(next(iter(self._entries.values())).scores)

    @property
    def epochs(self) -> int | None:
        """The most epochs that it has scores after; None where it has no curves."""
        curves = next(iter(self._entries.values())).curves
        return max((max(curve) for curve in curves.values()), default=None)

    def entry(self, architecture: Architecture) -> Entry:
        """Return what is known of a network.

        Raises:
            NasError: it is not in the table.
        """
        entry = self._entries.get(architecture)
        if entry is None:
            raise NasError(f"table {self.name}: network {architecture.arch_id} is not in it")
        return entry

    def true(self, architecture: Architecture, score: str) -> float:
        """Return a score without its noise: the mean of the repetitions."""
        values = self.entry(architecture).scores[score]
        return math.fsum(values) / len(values)


def read_table(space: SearchSpace, settings: TableSettings) -> Table:
    """Read a table of networks of a space.

    Raises:
        ConfigError: a file or column that is not there, a row that is no network of the space, a value that is no
            number; names file and line.
    """
    path = user_path(settings.file or "")
    try:
        with open_table(path) as rows:
            columns = _columns(settings, rows.header, path)
            numbers = Numbers(comma=rows.comma_in_numbers)
            entries, lines = [], []
            for row in rows:
                entries.append(_row(space, settings, columns, row, numbers=numbers, where=f"{path}:{rows.line}"))
                lines.append(rows.line)
    except (OSError, UnicodeError, csv.Error) as error:
        raise ConfigError(f"table {path} cannot be read: {why_unreadable(error)}") from None
    if not entries:
        raise ConfigError(f"table {path} has no rows")
    _once(space, entries, lines, path)
    return Table(space, entries, path.name, timed=settings.seconds is not None)


def _once(space: SearchSpace, entries: Sequence[tuple[Genotype, Entry]], lines: Sequence[int], path: Path) -> None:
    """Raise `ConfigError` where a genotype has two rows, or one network two rows with different scores."""
    genotypes: dict[frozenset[tuple[str, Scalar]], int] = {}
    networks: dict[Architecture, tuple[int, Entry]] = {}
    for line, (genotype, entry) in zip(lines, entries, strict=True):
        first = genotypes.setdefault(frozenset(genotype.items()), line)
        if first != line:
            raise ConfigError(
                f"table {path}: lines {first} and {line} are the same genotype; repetitions of a measurement are "
                "columns: evaluator.scores={val_accuracy: [FIRST, SECOND]}"
            )
        first, other = networks.setdefault(space.decode(genotype), (line, entry))
        if (other.scores, other.curves) != (entry.scores, entry.curves):
            raise ConfigError(
                f"table {path}: lines {first} and {line} are one network, since what they differ in changes nothing in "
                f"{space.name}, but have different scores; repetitions of a measurement are columns: "
                "evaluator.scores={val_accuracy: [FIRST, SECOND]}"
            )


@dataclass(frozen=True)
class _Columns:
    scores: Mapping[str, tuple[str, ...]]
    curves: Mapping[str, Mapping[int, str]]


def _columns(settings: TableSettings, header: Sequence[str], path: Path) -> _Columns:
    """Find the columns of a file."""
    scores: dict[str, tuple[str, ...]] = {}
    curves: dict[str, dict[int, str]] = {}
    for name, given in settings.columns.items():
        wanted = [given] if isinstance(given, str) else list(given) if isinstance(given, list | tuple) else []
        if not wanted or not all(isinstance(column, str) for column in wanted):
            raise ConfigError(
                f"evaluator.scores.{name} must be the name of a column, or of several in a list, but got {given!r}"
            )
        if len(wanted) == 1 and EPOCH in wanted[0]:
            before, after = wanted[0].split(EPOCH, 1)
            columns_of = {
                int(column[len(before) : len(column) - len(after)]): column
                for column in header
                if column.startswith(before)
                and column.endswith(after)
                and column[len(before) : len(column) - len(after)].isdecimal()
            }
            if not columns_of:
                raise ConfigError(f"table {path}: no column is named {wanted[0]!r} with a number for {EPOCH}")
            curves[name] = dict(sorted(columns_of.items()))
            wanted = [columns_of[max(columns_of)]]
        scores[name] = tuple(wanted)
    needed = [column for names in scores.values() for column in names]
    needed += [column for column in (settings.genotype, settings.seconds) if column is not None]
    for column in needed:
        if column not in header:
            raise ConfigError(f"table {path}: no column {column!r}. {nearest(column, header)}")
    return _Columns(scores, curves)


def _row(
    space: SearchSpace,
    settings: TableSettings,
    columns: _Columns,
    row: Mapping[str, str],
    *,
    numbers: Numbers,
    where: str,
) -> tuple[Genotype, Entry]:
    try:
        plain = {column: with_point(text) for column, text in row.items()} if numbers.comma else row
        genotype = _genotype(space, settings, plain)
        space.decode(genotype)
    except NasError as error:
        raise ConfigError(f"{where}: not a network of {space.name}: {error}{_without_column(space, row)}") from None
    scores = {
        name: tuple(settings.scale * numbers.read(name, column, row[column], where) for column in names)
        for name, names in columns.scores.items()
    }
    curves = {
        name: {
            epoch: settings.scale * numbers.read(name, column, row[column], where) for epoch, column in by_epoch.items()
        }
        for name, by_epoch in columns.curves.items()
    }
    seconds, column = 1.0, settings.seconds
    if column is not None:
        seconds = numbers.read("the time", column, row[column], where)
    if seconds < 0:
        raise ConfigError(f"{where}: {settings.seconds} must be >= 0, but got {seconds}")
    return genotype, Entry(scores, curves, seconds)


def _without_column(space: SearchSpace, row: Mapping[str, str]) -> str:
    """Say which decision has no column, where one has none that could be meant."""
    for path in space.decisions():
        close = difflib.get_close_matches(path, row, n=1, cutoff=0.8)
        if path not in row and close:
            return f"; there is no column {path!r}. Did you mean {close[0]!r}?"
    return ""


def _genotype(space: SearchSpace, settings: TableSettings, row: Mapping[str, str]) -> Genotype:
    if settings.genotype is None:
        return _of_columns(space, row)
    choices = space.decisions()
    digits = row[settings.genotype]
    if len(digits) != len(choices) or not digits.isdecimal():
        raise NasError(f"{settings.genotype} must be {len(choices)} digits, one a decision, but got {digits!r}")
    genotype: Genotype = {}
    for (path, choice), digit in zip(choices.items(), digits, strict=True):
        if int(digit) >= len(choice.values):
            raise NasError(f"{path} has options 0 to {len(choice.values) - 1}, but got {digit}")
        genotype[path] = choice.values[int(digit)]
    return genotype


def _of_columns(space: SearchSpace, row: Mapping[str, str]) -> Genotype:
    """The genotype of a row with a column a decision. A cell without a value is null where that is an option of an
    active decision, and else of a decision that is not active."""
    given: Genotype = {}
    left_open = False
    for path, choice in space.decisions().items():
        text = row.get(path)
        if text is None:
            continue
        value = option_of(choice.values, text, path)
        if value is not NO_VALUE:
            given[path] = value
        elif None in choice.values:
            given[path], left_open = None, True
    if not left_open:
        return given
    active = space.resolve(pick_from(given))
    # A null of what is not active was an empty cell; anything else there is for `decode` to refuse.
    return active | {path: value for path, value in given.items() if value is not None}
