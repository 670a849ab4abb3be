"""Labels in a table: a CSV or TSV file with a column of files and one of their classes, or some of numbers.

Never loads torch.
"""

from __future__ import annotations

import csv
import io
import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from pathlib import Path

from nas.errors import DataError, in_a_line, nearest
from nas.exporting.reading import why_no_file
from nas.training.data.content import SPLITS, TRAIN
from nas.training.data.folders.layout import HOW, SPLIT_NAMES, Layout, Target, check_folder, files_under, tables_in
from nas.training.tasks.multilabel import MULTILABEL
from nas.training.tasks.registry import DEFAULT
from nas.training.tasks.regression import REGRESSION
from nas.training.tasks.task import Task

_FILE_NAMES = ("file", "filename", "file_name", "path", "filepath", "file_path", "image", "image_path", "img", "id")
_LABEL_NAMES = ("label", "labels", "class", "class_name", "category", "target", "species", "breed", "y")
_SPLIT_COLUMNS = ("split", "subset", "set", "fold_name")
_NO_PICTURES = frozenset({".csv", ".tsv", ".txt", ".json", ".md"})
"""What lies beside pictures, of which it need not be said that it is none of them."""
_MANY_CLASSES = 10
"""Fewer numbers are taken for classes that are called by them."""
_LOOKED_AT = 100
"""Rows by which a column of files is known."""
_MOST_NAMED = 5
_MANY = "|"
"""Between several labels of a file, and between several columns of numbers."""
_ABSENT, _OUTSIDE = "not there", "outside of the folder"
_MOST_COMPARED = 2000
"""Files among which the nearest name is looked for."""
_LARGEST = 1e30
"""Of a number, which becomes one of 32 bits."""


@dataclass(frozen=True)
class Columns:
    """Which columns of a table say what; None: found by their names, or by what they hold."""

    file: str | None = None
    label: str | None = None
    numbers: tuple[str, ...] = ()
    """Columns of numbers that are learned in place of classes."""


def numbers_in(target: str | None) -> tuple[str, ...]:
    """Return the names of the columns in `data.target`."""
    return () if target is None else tuple(name.strip() for name in target.split(_MANY))


def labelled_files(root: Path, table: Path, columns: Columns) -> Layout:
    """Return the layout of a folder whose files have their classes in a table.

    A file may be given by its path under the folder, by its name alone, and without what follows the last dot.

    Args:
        root: the folder.
        table: the file.
        columns: which of its columns say what.

    Raises:
        DataError: it cannot be read, lacks a column, or names files that are not there; all of them are counted.
    """
    check_folder(root, "image_folder", HOW)
    header, rows = _read(table, root)
    files = _Files(root)
    file_column = _file_column(header, rows, files, table, columns)
    others = [name for name in header if name != file_column]
    names = [row[file_column].strip() for row in rows]
    learned = _numbers(rows, names, others, table, columns) if columns.numbers else None
    learned = learned or _labels(rows, names, _label_column(others, table, columns), table)
    split_column = next(
        (name for name in others if name.lower() in _SPLIT_COLUMNS and name not in learned.columns), None
    )
    paths = [files.find(name) for name in names]
    _check_rows(names, paths, learned, table)
    found: dict[str, dict[Path, Target]] = defaultdict(dict)
    wrong: dict[str, list[str]] = defaultdict(list)
    for name, path, target, row in zip(names, paths, learned.targets, rows, strict=True):
        split = _split(row[split_column], table) if split_column is not None else TRAIN
        if isinstance(path, Path):
            found[split][path] = target
        else:
            wrong[path].append(name)
    if wrong:
        raise DataError(_wrong_text(table, wrong, len(rows), files))
    if not found.get(TRAIN):
        raise DataError(f"data image_folder: {table} has no file of the training split")
    named = {path for own in found.values() for path in own}
    unnamed = sum(path not in named and path.suffix.lower() not in _NO_PICTURES for path in files.all)
    notes = [f"{learned.note} of {table.name}, files from {file_column!r}", *_likely_numbers(learned)]
    notes += [f"{unnamed:,} files of {root} are not in {table.name}, and are not read"] * bool(unnamed)
    by_split = {split: [*found[split].items()] for split in SPLITS if found.get(split)}
    return Layout(root, learned.names, by_split, tuple(notes), learned.task)


def _likely_numbers(learned: _Learned) -> Iterator[str]:
    """Say where classes look like numbers that are to be learned: not all are whole, or most rows have another."""
    numbers = [_finite(name) for name in learned.names]
    if learned.task != DEFAULT or None in numbers or len(numbers) < _MANY_CLASSES:
        return
    if len(numbers) > len(learned.targets) / 2 or any(
        number != int(number) for number in numbers if number is not None
    ):
        (column,) = learned.columns
        yield (
            f"column {column!r} has {len(numbers):,} different numbers, read as classes: data.target={column} learns "
            "them as numbers (regression)"
        )


def _finite(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) else None


def has_several(root: Path, table: Path, columns: Columns) -> bool:
    """Whether a table has files of several classes, so that these are labels of a multi-label task.

    Raises:
        DataError: it cannot be read, or its column of classes is not known.
    """
    check_folder(root, "image_folder", HOW)
    header, rows = _read(table, root)
    named = _column(columns.file, header, _FILE_NAMES, "data.file_column", table)
    file_column = named or _file_column(header, rows, _Files(root), table, columns)
    label_column = _label_column([name for name in header if name != file_column], table, columns)
    return any(_MANY in row[label_column] for row in rows)


@dataclass(frozen=True)
class _Learned:
    """What the rows of a table say of their files."""

    task: Task
    names: tuple[str, ...]
    """Of classes, or of numbers."""
    targets: Sequence[Target]
    """A row each."""
    columns: tuple[str, ...]
    """That they are from."""
    note: str


def _file_column(
    header: Sequence[str], rows: Sequence[Mapping[str, str]], files: _Files, table: Path, columns: Columns
) -> str:
    found = _column(columns.file, header, _FILE_NAMES, "data.file_column", table)
    found = found or _holds_files(header, rows, files, table)
    if "." in found and isinstance(files.find(found), Path):
        raise DataError(
            f"data image_folder: the first line of {table} must have the names of its columns, such as file,label, but "
            f"names the file {found!r:.80}"
        )
    return found


def _label_column(others: Sequence[str], table: Path, columns: Columns) -> str:
    return _column(columns.label, others, _LABEL_NAMES, "data.label_column", table) or _only(others, table)


def _labels(rows: Sequence[Mapping[str, str]], files: Sequence[str], column: str, table: Path) -> _Learned:
    """Return the classes of files: one each, or several where any has several."""
    given = [[part.strip() for part in row[column].split(_MANY)] for row in rows]
    several = any(len(parts) > 1 for parts in given)
    # Where files have several classes, one may have none.
    given = [[] if several and parts == [""] else parts for parts in given]
    empty = [name for name, parts in zip(files, given, strict=True) if "" in parts]
    if empty:
        what = f"no {column}, or an empty one beside {_MANY!r}" if several else f"no {column}"
        raise DataError(f"data image_folder: {len(empty):,} rows of {table} have {what}: {_some(empty)}")
    classes = _in_order({part for parts in given for part in parts})
    if len(classes) < 2:
        raise DataError(f"data image_folder: column {column!r} of {table} has one class, two are needed")
    note = f"classes from column {column!r}"
    if several:
        targets = [tuple(float(name in parts) for name in classes) for parts in given]
        return _Learned(
            MULTILABEL, tuple(classes), targets, (column,), f"{note} (several a file, with {_MANY!r} between)"
        )
    places = {name: place for place, name in enumerate(classes)}
    return _Learned(DEFAULT, tuple(classes), [places[name] for (name,) in given], (column,), note)


def _numbers(
    rows: Sequence[Mapping[str, str]], files: Sequence[str], others: Sequence[str], table: Path, columns: Columns
) -> _Learned:
    """Return the numbers of files."""
    for name in columns.numbers:
        _column(name, others, (), "data.target", table)
    if len(set(columns.numbers)) < len(columns.numbers):
        raise DataError(f"data.target must name different columns, but got {', '.join(columns.numbers)}")
    targets = [tuple(_number(row[name]) for name in columns.numbers) for row in rows]
    for place, name in enumerate(columns.numbers):
        bad = [
            f"{file} ({row[name]!r:.40})"
            for file, row, numbers in zip(files, rows, targets, strict=True)
            if not isfinite(numbers[place])
        ]
        if bad:
            raise DataError(f"data image_folder: {len(bad):,} rows of {table} have no number as {name}: {_some(bad)}")
    note = f"numbers from {' and '.join(map(repr, columns.numbers))}"
    return _Learned(REGRESSION, columns.numbers, targets, columns.numbers, note)


def _number(text: str) -> float:
    """Return a number that 32 bits hold; nan for anything else."""
    try:
        number = float(text)
    except ValueError:
        return nan
    return number if abs(number) < _LARGEST else nan


def _read(table: Path, root: Path) -> tuple[list[str], Sequence[Mapping[str, str]]]:
    """Return the names of the columns, and the rows; commas, semicolons and tabs are told apart by the first line."""
    text = _text(table, root)
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter, strict=True)
    try:
        rows = [row for row in reader if any(value for value in row.values() if isinstance(value, str))]
    except csv.Error as error:
        raise DataError(f"data image_folder: {table}: line {reader.line_num} is no row of a table: {error}") from None
    header = [name for name in reader.fieldnames or [] if name]
    if len(header) < 2:
        raise DataError(
            f"data image_folder: {table} must have a first line with the names of at least two columns, separated by "
            f"commas, semicolons or tabs, but has {first!r:.80}"
        )
    twice = [name for name, times in Counter(header).items() if times > 1]
    if twice:
        raise DataError(
            f"data image_folder: the columns of {table} must have different names, but several are {twice[0]!r:.80}"
        )
    if not rows:
        raise DataError(f"data image_folder: {table} has no row behind its names of columns")
    for number, row in enumerate(rows, 2):
        if any(row.get(name) is None for name in header) or None in row:
            raise DataError(
                f"data image_folder: {table}: row {number} must have {len(header)} fields, as the first line has"
            )
    return header, rows


def _text(table: Path, root: Path) -> str:
    if not os.path.lexists(table):
        raise DataError(
            f"data image_folder: data.labels: there is no file {table}; it is looked for in data.root.{tables_in(root)}"
        )
    why = why_no_file(table)  # a pipe would be waited for, a device read without end
    if why:
        raise DataError(f"data image_folder: data.labels must be a CSV or TSV file, but {table} is not one: {why}")
    try:
        data = table.read_bytes()
        return io.StringIO(data.decode("utf-8-sig"), newline=None).read()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"data image_folder: data.labels: {table} must be text in UTF-8, but line {line:,} has the byte "
            f"0x{data[error.start]:02x}: save it as UTF-8 (in a spreadsheet: CSV UTF-8)"
        ) from None
    except OSError as error:
        raise DataError(f"data image_folder: data.labels: {table} cannot be read: {error.strerror}") from None


def _column(wanted: str | None, header: Sequence[str], usual: Sequence[str], setting: str, table: Path) -> str | None:
    """Return a column by its name, or the one with a usual name; None where there is no such one."""
    if wanted is not None:
        if wanted not in header:
            raise DataError(f"{setting}: {table} has no column {wanted!r}. {nearest(wanted, header)}")
        return wanted
    by_name = {name.strip().lower(): name for name in header}
    return next((by_name[name] for name in usual if name in by_name), None)


def _holds_files(header: Sequence[str], rows: Sequence[Mapping[str, str]], files: _Files, table: Path) -> str:
    """Return the column that names files."""
    looked = rows[:_LOOKED_AT]
    for name in header:
        if all(isinstance(files.find(row[name].strip()), Path) for row in looked):
            return name
    raise DataError(
        f"data image_folder: no column of {table} names files of {files.root}: its columns are {', '.join(header)}; "
        "data.file_column says which one"
    )


def _only(others: Sequence[str], table: Path) -> str:
    if len(others) == 1:
        return others[0]
    raise DataError(
        f"data image_folder: which column of {table} has the classes? data.label_column is one of {', '.join(others)}"
    )


def _check_rows(names: Sequence[str], paths: Sequence[Path | str], learned: _Learned, table: Path) -> None:
    """Raise `DataError` where a file has rows with different targets, by whatever names."""
    targets: dict[Path | str, set[Target]] = defaultdict(set)
    called: dict[Path | str, dict[str, None]] = defaultdict(dict)
    for name, path, target in zip(names, paths, learned.targets, strict=True):
        file = path if isinstance(path, Path) else name
        targets[file].add(target)
        called[file][name] = None
    twice = [" or ".join(called[file]) for file, own in targets.items() if len(own) > 1]
    if twice:
        what = learned.task.outputs
        raise DataError(
            f"data image_folder: {len(twice):,} files of {table} have rows with other {what}: {_some(twice)}"
        )


def _in_order(labels: set[str]) -> list[str]:
    """Return classes in order: numbers by what they are, text by its letters."""
    whole = all(label.isascii() and label.isdigit() for label in labels)
    return sorted(labels, key=lambda label: (int(label), label) if whole else (0, label))


def _split(text: str, table: Path) -> str:
    name = text.strip().lower()
    for split, names in SPLIT_NAMES.items():
        if name in names:
            return split
    known = [name for names in SPLIT_NAMES.values() for name in names]
    raise DataError(f"data image_folder: {table}: unknown split {text!r}. {nearest(name, known)}")


class _Files:
    """The files of a folder, found by what tables call them."""

    def __init__(self, root: Path) -> None:
        self.root, self.all = root, files_under(root)
        self._by_path = {path.relative_to(root).as_posix(): path for path in self.all}
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        for path in self.all:
            self._by_name[path.name].append(path)
            self._by_stem[path.stem].append(path)

    def find(self, name: str) -> Path | str:
        """Return the file of a name; or what is wrong with that."""
        found = self._find(name)
        if found != _ABSENT:
            return found
        # As another system writes it: with \\ between folders, or with letters and their accents apart.
        others = name.replace("\\", "/"), unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)
        paths = (self._find(other) for other in others if other != name)
        return next((path for path in paths if isinstance(path, Path)), _ABSENT)

    def _find(self, name: str) -> Path | str:
        if name in self._by_path:
            return self._by_path[name]
        if "/" in name:
            place = os.path.relpath(os.path.join(self.root, name), self.root)
            if place.split("/")[0] == "..":
                return _OUTSIDE
            return self._by_path.get(place, _ABSENT)
        for known in (self._by_name, self._by_stem):
            found = known.get(name, ())
            if len(found) > 1:
                return "the name of several files"
            if found:
                return found[0]
        return _ABSENT

    def close(self, name: str) -> str:
        """Return a sentence that names files whose names are like one that is not there; empty where none is."""
        if len(self.all) > _MOST_COMPARED:
            return ""
        said = nearest(name, [*self._by_name, *self._by_path])
        return f". {said}" if said.startswith("Did") else ""


def _wrong_text(table: Path, wrong: Mapping[str, Sequence[str]], count: int, files: _Files) -> str:
    parts = (f"{len(names):,} are {what}: {_some(names)}" for what, names in wrong.items())
    close = files.close(wrong[_ABSENT][0]) if _ABSENT in wrong else ""
    return f"data image_folder: of {count:,} files in {table} {'; '.join(parts)}{close}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(in_a_line(name, 200) for name in names[:_MOST_NAMED]) + (
        ", ..." if len(names) > _MOST_NAMED else ""
    )
