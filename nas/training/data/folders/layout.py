"""Which files of a folder are of which class and split, by names alone. Never loads torch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nas.errors import DataError, counted, in_a_line, is_text, nearest
from nas.exporting.reading import why_no_file
from nas.training.data.content import SPLITS, TEST, TRAIN, VAL
from nas.training.data.folders.headers import SUFFIXES
from nas.training.tasks.registry import DEFAULT
from nas.training.tasks.task import Task

Target = int | tuple[float, ...]
"""What a file is to be told as: the place of its class, or a number for each output."""

SPLIT_NAMES: Mapping[str, Sequence[str]] = {
    TRAIN: ("train", "training"),
    VAL: ("val", "valid", "validation", "dev", "development"),
    TEST: ("test", "testing"),
}
"""By split, what its folder may be called, in any case."""
HOW = (
    "Expected ROOT/CLASS/*.jpg, or ROOT/train/CLASS/*.jpg and the same under val/ and test/ where you have them, or "
    "data.labels=FILE.csv with a column of files and one of their classes."
)
_NOT_DATA = frozenset({"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "system volume information"})
"""What systems and programs leave in folders, in lower case; what begins with a dot is none either."""
_MOST_NAMED = 3
_LONGEST_PATH = 500
"""Letters of a path that are shown."""


@dataclass(frozen=True)
class Layout:
    """Files of a folder by split and class."""

    root: Path
    classes: tuple[str, ...]
    """Names of what is told, in order; the label of a class is a place here."""
    files: Mapping[str, Sequence[tuple[Path, Target]]]
    """By split that the folder has, its files with their targets; the training split holds all that are in no other."""
    notes: tuple[str, ...] = ()
    """What a user should know of it, in sentences."""
    task: Task = DEFAULT
    """What the targets are of."""


def is_data(name: str) -> bool:
    """Whether a file or folder of that name may be data: no hidden one, and none that a system has left there."""
    return not name.startswith(".") and name.lower() not in _NOT_DATA


def files_under(folder: Path) -> list[Path]:
    """Return the files under a folder that may be data, at any depth, in the order of their paths.

    Links to folders are not followed, and are among the files, so that it is said of them that they are none.

    Raises:
        DataError: a folder cannot be read.
    """
    found = []
    for where, folders, names in os.walk(folder, onerror=_unreadable):
        folders[:] = [name for name in folders if is_data(name)]
        found += [Path(where, name) for name in names if is_data(name)]
        found += [path for path in (Path(where, name) for name in folders) if path.is_symlink()]
    return sorted(found)


def _unreadable(error: OSError) -> None:
    raise DataError(f"data image_folder: the folder {error.filename} cannot be read: {error.strerror}")


def class_folders(root: Path) -> Layout:
    """Return the layout of a folder whose folders are classes, or splits with folders that are classes.

    Raises:
        DataError: it is neither; says what is expected.
    """
    check_folder(root, "image_folder", HOW)
    splits = split_folders(root)
    if not splits:
        classes = _classes(root)
        return Layout(root, classes, {TRAIN: _files(root, classes)}, tuple(_beside([root])))
    if TRAIN not in splits:
        names = " and ".join(folder.name for folder in splits.values())
        raise DataError(f"data image_folder: {root} has {names}, but no folder for training (train or training). {HOW}")
    classes = _classes(splits[TRAIN])
    files = {split: _files(splits[split], classes, splits[TRAIN]) for split in SPLITS if split in splits}
    notes = [*_left_out(root, splits), *_beside(splits.values())]
    return Layout(root, classes, files, tuple(notes))


def check_folder(root: Path, name: str, how: str) -> None:
    """Raise `DataError` where a folder of data is not there, or no folder.

    Args:
        root: the folder.
        name: of the data set, for messages.
        how: what is expected, in sentences.
    """
    if os.path.isdir(root):
        return
    try:
        os.lstat(root)
        why = f": {why_no_file(root) or 'it is a file (an archive is to be unpacked)'}."
    except FileNotFoundError:
        why = _close_folder(root) or "."
    except OSError as error:
        why = f": {error.strerror}."
    raise DataError(f"data {name}: no folder {in_a_line(str(root), _LONGEST_PATH)}{why} {how}")


def _close_folder(root: Path) -> str:
    """Return a question for a folder beside one that is not there, whose name is like it; empty where none is."""
    with suppress(OSError):
        said = nearest(root.name, [folder.name for folder in folders_in(root.parent)])
        return f". {said.removesuffix('?')} in {root.parent}?" if said.startswith("Did") else ""
    return ""


def folders_in(root: Path) -> list[Path]:
    """Return the folders in a folder that may be data, in the order of their names."""
    return sorted(Path(entry.path) for entry in os.scandir(root) if is_folder(entry) and is_data(entry.name))


def tables_in(folder: Path) -> str:
    """Return a sentence that names the tables of labels there may be in a folder; empty where there are none."""
    found = []
    with suppress(OSError):
        found = sorted(name for name in os.listdir(folder) if is_data(name) and name.lower().endswith((".csv", ".tsv")))
    some = ", ".join(f"data.labels={in_a_line(name)}" for name in found[:_MOST_NAMED])
    return f" There: {some}{', ...' * (len(found) > _MOST_NAMED)}" if found else ""


def is_folder(entry: os.DirEntry[str], *, links: bool = True) -> bool:
    """Whether an entry of a folder is a folder, or a link to one; a link that leads to itself is none."""
    try:
        return entry.is_dir(follow_symlinks=links)
    except OSError:
        return False


def split_folders(root: Path, name: str = "image_folder") -> dict[str, Path]:
    """Return the folders of splits in a folder, by split.

    Args:
        root: the folder.
        name: of the data set, for messages.

    Raises:
        DataError: two folders mean the same split.
    """
    found: dict[str, list[Path]] = {}
    for folder in folders_in(root):
        for split, names in SPLIT_NAMES.items():
            if folder.name.lower() in names:
                found.setdefault(split, []).append(folder)
    for split, folders in found.items():
        if len(folders) > 1:
            names = " and ".join(folder.name for folder in folders)
            raise DataError(f"data {name}: {root} has {names}, which both mean the {split} split: rename one")
    return {split: folders[0] for split, folders in found.items()}


def _classes(folder: Path) -> tuple[str, ...]:
    names = tuple(path.name for path in folders_in(folder))
    if len(names) < 2:
        raise DataError(
            f"data image_folder: {folder} has {counted(len(names), 'class folders')}, two are needed. "
            f"{HOW}{tables_in(folder)}"
        )
    for name in names:
        if not is_text(name):  # it goes into files that are UTF-8
            raise DataError(
                f"data image_folder: the class folder {name!a} in {folder} must have a name in UTF-8: rename "
                "it, since the folder's name is that of the class"
            )
    return names


def _files(folder: Path, classes: Sequence[str], train: Path | None = None) -> list[tuple[Path, Target]]:
    """Return the files of a split with their labels; classes that training has not are an error."""
    labels = {name: label for label, name in enumerate(classes)}
    for path in folders_in(folder):
        if path.name not in labels:
            raise DataError(
                f"data image_folder: {folder} has a class {path.name!r} that {train} has not. "
                f"{nearest(path.name, classes)}"
            )
    return [(path, label) for name, label in labels.items() for path in _files_of(folder / name)]


def _files_of(folder: Path) -> list[Path]:
    return files_under(folder) if folder.is_dir() else []


def _left_out(root: Path, splits: Mapping[str, Path]) -> Iterator[str]:
    """Say which folders beside those of the splits are not read."""
    others = [folder.name for folder in folders_in(root) if folder not in splits.values()]
    if others:
        known = ", ".join(folder.name for folder in splits.values())
        yield f"{_some(others)} in {root} {'is' if len(others) == 1 else 'are'} not read: its splits are {known}"


def _beside(folders: Iterable[Path]) -> Iterator[str]:
    """Say what is beside the folders of classes, and may be meant as data."""
    entries = [entry for folder in folders for entry in os.scandir(folder) if is_data(entry.name)]
    files = sorted(entry.name for entry in entries if not is_folder(entry))
    lost = [name for name in files if os.path.splitext(name)[1].lower() in SUFFIXES]
    if lost:
        count = "1 file is" if len(lost) == 1 else f"{len(lost):,} files are"
        yield f"{count} in no folder of a class, and not read: {_some(lost)}"
    dead = sorted(entry.name for entry in entries if entry.is_symlink() and not os.path.exists(entry.path))
    if dead:
        count = "1 link leads" if len(dead) == 1 else f"{len(dead):,} links lead"
        yield f"{count} nowhere where folders of classes are: {_some(dead)}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(in_a_line(name, 200) for name in names[:_MOST_NAMED]) + more
