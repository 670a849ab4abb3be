"""The pictures of a folder that can be used, and all that is wrong with the others, said at once. Never loads torch."""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from nas.errors import DataError, in_a_line
from nas.machine import cores
from nas.run_folder import user_path
from nas.training.data.content import SPLITS, TRAIN
from nas.training.data.folders.earlier import earlier_layout
from nas.training.data.folders.headers import NO_PICTURE, Bad, Header, looked_at
from nas.training.data.folders.labels_file import Columns, has_several, labelled_files, numbers_in
from nas.training.data.folders.layout import HOW, Layout, Target, class_folders
from nas.training.data.pictures import UndecodedError, held_by
from nas.training.tasks.multilabel import MULTILABEL
from nas.training.tasks.registry import DEFAULT
from nas.training.tasks.regression import REGRESSION
from nas.training.tasks.task import Task

if TYPE_CHECKING:
    from nas.training.data.config import DataConfig

BY_CONTENT = 3
"""The split scheme from which on files are known by their content."""
REFUSE, SKIP = "refuse", "skip"
_WAY_OUT = f"Mend or remove them, or leave them out: data.bad={SKIP}"
_MOST_NAMED = 5
_MOST_BAD_NAMED = 20
"""Files that are named of those with one fault."""
_LONGEST_NAME = 200
_LOG = logging.getLogger(__name__)
_MOMENT_SECONDS = 2.0
_SECONDS_OF_DECODING = 60.0
"""That files are decoded for once some are refused, so that what only this shows is said too."""


@dataclass(frozen=True)
class Pictures:
    """Files that are pictures, by split and class."""

    root: Path
    classes: tuple[str, ...]
    files: Mapping[str, Sequence[tuple[Path, Target]]]
    """By split that the folder has: files with their targets."""
    headers: Mapping[Path, Header]
    notes: tuple[str, ...]
    """What a user should know of them, in sentences."""
    bad: int
    """Files that were left out, since they cannot be used."""
    task: Task = DEFAULT
    """What the targets are of."""


def usable_pictures(config: DataConfig) -> Pictures:
    """Find the pictures of a folder and look at the beginning and the end of each; nothing is decoded.

    Raises:
        DataError: the folder is of no known form; or files cannot be used and `data.bad` is refuse: all of them are
            counted, by what is wrong with them.
    """
    if not config.root:
        raise DataError(f"data image_folder: give data.root=FOLDER. {HOW}")
    root = user_path(config.root).absolute()
    if config.split_scheme < BY_CONTENT:
        layout = earlier_layout(root)
    elif config.labels is None:
        layout = class_folders(root)
    else:
        columns = Columns(config.file_column, config.label_column, numbers_in(config.target))
        layout = labelled_files(root, root / user_path(config.labels), columns)
    return _checked(layout, config)


def _checked(layout: Layout, config: DataConfig) -> Pictures:
    files = [path for own in layout.files.values() for path, _ in own]
    found = dict(zip(files, looked_at(files, most_pixels=config.max_pixels), strict=True))
    headers = {path: header for path, header in found.items() if isinstance(header, Header)}
    others = [path for path, header in found.items() if header == NO_PICTURE]
    bad = {path: header.why for path, header in found.items() if isinstance(header, Bad) and header != NO_PICTURE}
    empty = _empty_classes(layout, headers)
    if bad and config.bad == REFUSE:
        so_far = refusal(layout.root, bad, len(files), way_out="The others are decoded for up to a minute, to name all")
        more, rest = _undecodable(headers, config.max_pixels, so_far)
        faults = [said for said in (_told_empty(empty), _told_rest(rest)) if said]
        raise DataError(refusal(layout.root, bad | more, len(files), faults=faults))
    if empty and config.bad == REFUSE and len(empty) < len(layout.classes):
        raise DataError(
            f"data image_folder: {layout.root}: {_told_empty(empty)}. Put some there, take the classes away, or leave "
            f"them out: data.bad={SKIP}"
        )
    layout = _without(layout, empty)
    kept = {split: [(path, label) for path, label in own if path in headers] for split, own in layout.files.items()}
    if not kept[TRAIN]:
        raise DataError(f"data image_folder: no images in the training split. {HOW}")
    if empty_splits := [split for split, own in kept.items() if not own]:
        raise DataError(
            f"data image_folder: {layout.root} has a place for {' and '.join(empty_splits)}, but no images in it that "
            "can be used: put some there, or take it away, so that the split is drawn from the training images"
        )
    notes = [*layout.notes, *left_out(layout.root, bad, len(files)), *_notes(layout.root, headers, others)]
    by_split = {split: kept[split] for split in SPLITS if split in kept}
    return Pictures(layout.root, layout.classes, by_split, headers, tuple(notes), len(bad), layout.task)


def _empty_classes(layout: Layout, headers: Mapping[Path, Header]) -> list[str]:
    """Return the classes that have no picture to train on."""
    if layout.task != DEFAULT:
        return []
    held = {target for path, target in layout.files[TRAIN] if path in headers}
    return [name for place, name in enumerate(layout.classes) if place not in held]


def _told_empty(empty: Sequence[str]) -> str:
    if not empty:
        return ""
    classes = "1 class has" if len(empty) == 1 else f"{len(empty):,} classes have"
    return f"{classes} no picture to train on that can be used: {_listed(empty, _MOST_BAD_NAMED)}"


def _told_rest(rest: int) -> str:
    return f"{rest:,} others were not decoded yet, which may show more" if rest else ""


def _without(layout: Layout, empty: Sequence[str]) -> Layout:
    """Return a layout without classes that have no picture to train on, and without their files in other splits."""
    classes = tuple(name for name in layout.classes if name not in empty)
    if not empty or not classes:
        return layout
    if len(classes) < 2:
        raise DataError(
            f"data image_folder: {layout.root} has pictures to train on of one class, {classes[0]!r}, two are needed. "
            f"{HOW}"
        )
    places = {layout.classes.index(name): place for place, name in enumerate(classes)}
    files = {
        split: [(path, places[target]) for path, target in own if isinstance(target, int) and target in places]
        for split, own in layout.files.items()
    }
    note = f"{_told_empty(empty)}; these classes are left out"
    return replace(layout, classes=classes, files=files, notes=(*layout.notes, note))


def _undecodable(files: Iterable[Path], max_pixels: int, so_far: str) -> tuple[dict[Path, str], int]:
    """Decode files as far as they can be in a minute.

    Args:
        files: to be decoded.
        max_pixels: that one may have.
        so_far: what is logged where this takes longer than a moment.

    Returns:
        What is wrong with them, and how many were not decoded.
    """
    start, waits, found = time.monotonic(), True, dict[Path, str]()
    decode = partial(_why_undecodable, max_pixels=max_pixels, until=start + _SECONDS_OF_DECODING)
    files, rest = [*files], 0
    with ThreadPoolExecutor(max_workers=min(8, cores())) as pool:
        for path, why in zip(files, pool.map(decode, files), strict=True):
            if waits and time.monotonic() - start > _MOMENT_SECONDS:
                waits = False
                _LOG.warning("%s", so_far)
            rest += why is None
            if why:
                found[path] = why
    return found, rest


def _why_undecodable(path: Path, *, max_pixels: int, until: float) -> str | None:
    """Return why a file cannot be decoded, empty where it can; None once it is too late to look."""
    if time.monotonic() > until:
        return None
    try:
        held_by(path, max_pixels)
    except UndecodedError as error:
        return error.why
    return ""


def task_of(config: DataConfig) -> Task:
    """Return what is to be learned of a folder: of a table of labels it says so itself.

    Raises:
        DataError: the table cannot be read, or its column of classes is not known.
    """
    if config.split_scheme < BY_CONTENT or config.labels is None or not config.root:
        return DEFAULT
    if config.target is not None:
        return REGRESSION
    root = user_path(config.root).absolute()
    columns = Columns(config.file_column, config.label_column)
    return MULTILABEL if has_several(root, root / user_path(config.labels), columns) else DEFAULT


def refusal(
    root: Path,
    bad: Mapping[Path, str],
    count: int,
    name: str = "image_folder",
    *,
    faults: Sequence[str] = (),
    way_out: str = _WAY_OUT,
) -> str:
    """Return what is said of files that cannot be used, where they are refused, and of other faults."""
    return (
        f"data {name}: {len(bad):,} of {count:,} files under {root} cannot be used:\n"
        + "\n".join(f"  {line}" for line in (*_by_reason(root, bad), *faults))
        + f"\n{way_out}"
    )


def left_out(root: Path, bad: Mapping[Path, str], count: int) -> Iterator[str]:
    """Yield what is said of files that cannot be used, where they are left out."""
    if bad:
        yield f"{len(bad):,} of {count:,} files are left out, since they cannot be used: " + "; ".join(
            _by_reason(root, bad)
        )


def _by_reason(root: Path, bad: Mapping[Path, str]) -> Iterator[str]:
    paths: dict[str, list[Path]] = defaultdict(list)
    for path, why in bad.items():
        paths[why].append(path)
    for why, own in sorted(paths.items(), key=lambda item: (-len(item[1]), item[0])):
        yield f"{len(own):,} {why}: {_some(root, own, _MOST_BAD_NAMED)}"


def _notes(root: Path, headers: Mapping[Path, Header], others: Sequence[Path]) -> Iterator[str]:
    if others:
        what = "files are no pictures, and are" if len(others) > 1 else "file is no picture, and is"
        yield f"{len(others):,} {what} not read: {_some(root, others)}"
    animated = [path for path, header in headers.items() if header.animated]
    if animated:
        have = "pictures have" if len(animated) > 1 else "picture has"
        yield f"{len(animated):,} {have} several frames, of which the first is read: {_some(root, animated)}"
    sizes = Counter(header.size for header in headers.values())
    if len(sizes) > 1:
        yield f"pictures have {_most_frequent(sizes)} (width x height)"


def _some(root: Path, paths: Sequence[Path], most: int = _MOST_NAMED) -> str:
    return _listed([str(path.relative_to(root)) for path in paths[: most + 1]], most)


def _listed(names: Sequence[str], most: int) -> str:
    """Return the first names, each in a line: those of files may hold ends of lines."""
    shown = [in_a_line(name, _LONGEST_NAME) for name in names[:most]]
    return ", ".join(shown) + (", ..." if len(names) > most else "")


def common_size(pictures: Pictures) -> tuple[int, int]:
    """Return the height and width that all pictures of training share.

    Raises:
        DataError: they have several; says the most frequent ones.
    """
    sizes = Counter(pictures.headers[path].size for path, _ in pictures.files[TRAIN])
    if len(sizes) > 1:
        raise DataError(
            f"data image_folder: images have {_most_frequent(sizes)} (width x height); give data.resolution=64"
        )
    return next(iter(sizes))


def _most_frequent(sizes: Counter[tuple[int, int]]) -> str:
    some = ", ".join(f"{width}x{height} ({count:,})" for (height, width), count in sizes.most_common(3))
    return f"{len(sizes):,} sizes, most often {some}"
