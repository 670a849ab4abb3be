"""Labels in a table: a CSV or TSV file with a column of files and one of their classes. Never loads torch."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nas.errors import DataError, nearest
from nas.training.data.content import SPLITS, TRAIN
from nas.training.data.folders.layout import SPLIT_NAMES, Layout, files_under

_FILE_NAMES = ("file", "filename", "file_name", "path", "filepath", "file_path", "image", "image_path", "img", "id")
_LABEL_NAMES = ("label", "labels", "class", "class_name", "category", "target", "species", "breed", "y")
_SPLIT_COLUMNS = ("split", "subset", "set", "fold_name")
_LOOKED_AT = 100
"""Rows by which a column of files is known."""
_MOST_NAMED = 5
_MANY = "|"
"""Between several labels of a file."""


@dataclass(frozen=True)
class Columns:
    """Which columns of a table say what; None: found by their names, or by what they hold."""

    file: str | None = None
    label: str | None = None


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
    header, rows = _read(table)
    files = _Files(root)
    file_column = _column(columns.file, header, _FILE_NAMES, "data.file_column", table) or _holds_files(
        header, rows, files, table
    )
    others = [name for name in header if name != file_column]
    label_column = _column(columns.label, others, _LABEL_NAMES, "data.label_column", table) or _only(others, table)
    split_column = next((name for name in others if name.lower() in _SPLIT_COLUMNS and name != label_column), None)
    given = [(row[file_column].strip(), row[label_column].strip()) for row in rows]
    _check_labels(given, table, label_column)
    classes = _in_order({label for _, label in given})
    if len(classes) < 2:
        raise DataError(f"data image_folder: column {label_column!r} of {table} has one class, two are needed")
    labels = {name: label for label, name in enumerate(classes)}
    found: dict[str, dict[Path, int]] = defaultdict(dict)
    wrong: dict[str, list[str]] = defaultdict(list)
    for (name, label), row in zip(given, rows, strict=True):
        path = files.find(name)
        split = _split(row[split_column], table) if split_column is not None else TRAIN
        if isinstance(path, Path):
            found[split][path] = labels[label]
        else:
            wrong[path].append(name)
    if wrong:
        raise DataError(_wrong_text(table, wrong, len(rows)))
    if not found.get(TRAIN):
        raise DataError(f"data image_folder: {table} has no file of the training split")
    unnamed = len(files.all) - len({path for own in found.values() for path in own} | {table.absolute()})
    notes = [f"classes from column {label_column!r} of {table.name}, files from {file_column!r}"]
    notes += [f"{unnamed:,} files of {root} are not in {table.name}, and are not read"] * bool(unnamed)
    return Layout(
        root, tuple(classes), {split: [*found[split].items()] for split in SPLITS if found.get(split)}, tuple(notes)
    )


def _read(table: Path) -> tuple[list[str], Sequence[Mapping[str, str]]]:
    """Return the names of the columns, and the rows; commas, semicolons and tabs are told apart by the first line."""
    try:
        text = table.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"data image_folder: data.labels: there is no file {table}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"data image_folder: data.labels: {table} cannot be read: {error}") from None
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
    if not rows:
        raise DataError(f"data image_folder: {table} has no row behind its names of columns")
    for number, row in enumerate(rows, 2):
        if any(row.get(name) is None for name in header) or None in row:
            raise DataError(
                f"data image_folder: {table}: row {number} must have {len(header)} fields, as the first line has"
            )
    return header, rows


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


def _check_labels(given: Sequence[tuple[str, str]], table: Path, column: str) -> None:
    empty = [name for name, label in given if not label]
    if empty:
        raise DataError(f"data image_folder: {len(empty):,} rows of {table} have no {column}: {_some(empty)}")
    several = [name for name, label in given if _MANY in label]
    if several:
        raise DataError(
            f"data image_folder: {len(several):,} files of {table} have several classes, between {_MANY!r}: "
            f"{_some(several)}. A network here gives one class a picture"
        )
    labels: dict[str, set[str]] = defaultdict(set)
    for name, label in given:
        labels[name].add(label)
    twice = [name for name, own in labels.items() if len(own) > 1]
    if twice:
        raise DataError(
            f"data image_folder: {len(twice):,} files of {table} have rows with other classes: {_some(twice)}"
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
        cut = name.removeprefix("./")
        if cut in self._by_path:
            return self._by_path[cut]
        for known in (self._by_name, self._by_stem):
            found = known.get(cut, ())
            if len(found) > 1:
                return "the name of several files"
            if found:
                return found[0]
        return "not there"


def _wrong_text(table: Path, wrong: Mapping[str, Sequence[str]], count: int) -> str:
    parts = (f"{len(names):,} are {what}: {_some(names)}" for what, names in wrong.items())
    return f"data image_folder: of {count:,} files in {table} {'; '.join(parts)}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_NAMED]) + (", ..." if len(names) > _MOST_NAMED else "")
