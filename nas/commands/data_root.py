"""Which data set the first word of `nas data` is: by what lies there, as far as that shows. Never loads torch."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from nas.errors import DataError, NasError
from nas.run_folder import user_path

_SERIES, _TRAIN_OF_SERIES = (re.compile(rf"{name}\.(ts|tsv|csv)$", re.IGNORECASE) for name in ("", "_train"))
_TABLE = re.compile(r"\.(tsv|csv)$", re.IGNORECASE)
_ANY_SIZE = 2**40
"""MiB. Nothing is read but headers."""


def data_at(root: str) -> list[str]:
    """Return the settings that a path of data means: `photos` is `data=image_folder data.root=photos`.

    A file of series, or a folder with a training split of them, is `series`; a table that begins with names of columns
    is `data.labels` of the folder that it lies in; `.npz` files, and folders of `.npy` files, are `arrays`, or `series`
    where an example has one axis; a folder of pictures and of masks is `mask_folder`; all else is `image_folder`.
    """
    path = Path(root)
    with suppress(NasError, OSError, ValueError):  # of what cannot be looked at `image_folder` says what is wrong
        path = user_path(root)
        if _has_names_of_columns(path):
            return ["data=image_folder", f"data.root={Path(root).parent}", f"data.labels={path.name}"]
        return [f"data={_kind(path)}", f"data.root={root}"]
    return ["data=image_folder", f"data.root={root}"]


def _kind(path: Path) -> str:
    there = os.listdir(path) if path.is_dir() else []
    if _SERIES.search(path.name) or any(map(_TRAIN_OF_SERIES.search, there)):
        return "series"
    if path.suffix.lower() == ".npz" or any(name.endswith(".npy") for name in there):
        return _kind_of_arrays(path)
    return "mask_folder" if there and _has_masks(path) else "image_folder"


def _has_names_of_columns(path: Path) -> bool:
    """Whether a file is a table whose first line has no number, as lines of series have."""
    if not _TABLE.search(path.name) or not path.is_file():
        return False
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        first = file.readline(2**16)
    fields = next(csv.reader([first], delimiter=max(",;\t", key=first.count)), [])
    return len(fields) > 1 and not any(map(_is_number, fields))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _kind_of_arrays(path: Path) -> str:
    from nas.training.data.array_files import find_pairs

    with suppress(DataError):  # which is said when they are read
        pairs, _ = find_pairs(path, _ANY_SIZE)
        if all(len(pair.images.shape) == 2 for pair in pairs.values()):
            return "series"
    return "arrays"


def _has_masks(path: Path) -> bool:
    """Whether a folder, or one of its folders, has a folder of pictures and one of masks, and no others."""
    from nas.training.data.folders.layout import folders_in
    from nas.training.data.folders.masks import IMAGES, MASKS

    def both(folders: Sequence[Path]) -> bool:
        names = {folder.name.lower() for folder in folders}
        return len(names) == 2 and bool(names & {*IMAGES}) and bool(names & {*MASKS})

    inner = folders_in(path)
    return both(inner) or any(both(folders_in(folder)) for folder in inner)
