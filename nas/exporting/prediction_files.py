"""What is told of a picture or a series, and the files that it is written to.

It needs numpy, and pillow for the classes of pixels: `nas.exporting.script` puts it into the predict.py that ships.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from codecs import getincrementaldecoder
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, count
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from nas.exporting.class_maps import write_mask

FORMATS = ("csv", "json")
CLASSIFICATION, MULTILABEL, REGRESSION = "classification", "multilabel", "regression"
SEGMENTATION = "segmentation"
THRESHOLD = 0.5
"""Probability above which a picture is said to have one of several classes."""
_COLUMNS = {
    CLASSIFICATION: ("image", "rank", "class", "probability"),
    MULTILABEL: ("image", "class", "probability", "present"),
    REGRESSION: ("image", "name", "number"),
    SEGMENTATION: ("image", "class", "share", "mask"),
}
"""Of CSV."""


@dataclass(frozen=True)
class Prediction:
    """What one picture shows."""

    image: str
    """Its path as given; of one in memory its place among the pictures, from 0."""
    top: tuple[tuple[str, float], ...] = ()
    """The likeliest classes with their probabilities, the likeliest first; empty where it cannot be read."""
    error: str = ""
    """Why it cannot be read."""
    probabilities: tuple[tuple[str, float], ...] = ()
    """Of a model with several classes a picture: each class with its probability, in their order."""
    numbers: tuple[tuple[str, float], ...] = ()
    """Of a model for numbers: each with its name, in their order."""
    shares: tuple[tuple[str, float], ...] = ()
    """Of a model for pixels: each class with its share of those that have one, in their order."""
    mask: np.ndarray[Any, Any] | None = field(default=None, compare=False, repr=False)
    """Of it, too: the class of each pixel, uint8 of the height and width of the picture; 255 where it saw none."""
    file: str = ""
    """That the mask was written to."""

    @property
    def present(self) -> tuple[str, ...]:
        """Of a model with several classes a picture: those that it has, with a probability above `THRESHOLD`."""
        return tuple(name for name, share in self.probabilities if share > THRESHOLD)


def with_masks(predictions: Iterable[Prediction], folder: Path) -> Iterator[Prediction]:
    """Yield predictions, and write the mask of each to a folder: `STEM.png`, `STEM_2.png` where there are several.

    Raises:
        OSError: it cannot be written, or has something in it, which would be lost: perhaps the pictures themselves.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} must be a new or an empty folder, so that no file is lost")
    taken: set[str] = set()
    for one in predictions:
        if one.mask is None:
            yield one
            continue
        stem = Path(one.image).stem
        names = chain([stem], (f"{stem}_{number}" for number in count(2)))
        name = next(name for name in names if name not in taken)
        taken.add(name)
        path = folder / f"{name}.png"
        write_mask(path, one.mask)
        yield replace(one, file=str(path), mask=None)


def write(
    predictions: Iterable[Prediction], file_format: str, file: TextIO, task: str = CLASSIFICATION, what: str = "image"
) -> int:
    """Write predictions one by one as they come; returns how many pictures could not be read, each named on stderr.

    Args:
        predictions: of `predict`.
        file_format: `csv`, a row for each class or number of a picture, or `json`, one list.
        file: to write to.
        task: of the model.
        what: each is of: the name of the first column.
    """
    failed = 0
    table = csv.writer(file, lineterminator="\n")
    if file_format == "csv":
        table.writerow((what, *_COLUMNS[task][1:]))
    else:
        file.write("[")
    for number, one in enumerate(predictions):
        if one.error:
            failed += 1
            print(f"{one.image}: cannot be read: {one.error}", file=sys.stderr)
        if file_format == "csv":  # names as they are, also where a spreadsheet sees a formula: programs compare them
            table.writerows([one.image, *row] for row in _rows(one))
        else:
            file.write(f"{',' if number else ''}\n {json.dumps(record_of(one, what))}")
    if file_format == "json":
        file.write("\n]\n")
    return failed


def _rows(one: Prediction) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a picture in CSV, without its name."""
    for rank, (name, share) in enumerate(one.top, 1):
        yield rank, name, f"{share:.6f}"
    for name, share in one.probabilities:
        yield name, f"{share:.6f}", int(name in one.present)
    for name, number in one.numbers:
        yield name, f"{number:.7g}"
    for name, share in one.shares:
        yield name, f"{share:.6f}", one.file


def record_of(one: Prediction, what: str = "image") -> dict[str, Any]:
    """Return a prediction as JSON has it; `what` is the key of its name."""
    if one.error:
        return {what: one.image, "error": one.error}
    if one.shares:
        return {what: one.image, "shares": dict(one.shares), **({"mask": one.file} if one.file else {})}
    if one.numbers:
        return {what: one.image, "numbers": dict(one.numbers)}
    if one.probabilities:
        return {what: one.image, "classes": [*one.present], "probabilities": dict(one.probabilities)}
    return {what: one.image, "top": [{"class": name, "probability": share} for name, share in one.top]}


@contextmanager
def opened(output: str | None, given: Iterable[str] = ()) -> Iterator[TextIO]:
    """Yield what to write to: standard output, or a file that gets its name when it is whole.

    Args:
        output: the file; None: standard output.
        given: files that are read.

    What is there and is no plain file, such as /dev/stdout, /dev/null or a pipe, is written to as it is: a file that
    got its name would stand in its place. A link stays, and what it leads to is written.

    Raises:
        OSError: it cannot be written, is a folder, or holds what predictions must not take the place of: no text, such
            as a picture whose name was typed behind `--output`, or one of the files that are read.
    """
    if output is None:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="backslashreplace")  # names of files may be no text
        try:
            yield sys.stdout
            sys.stdout.flush()
        except OSError:
            # What is still in its buffer would fail once more at the end, with an exit code of Python's own.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise
        return
    if os.path.isdir(output):  # before hours of work
        raise IsADirectoryError(f"{output} is a folder, and must be a file")
    if os.path.isfile(output):
        _check_no_loss(output, given)
    as_it_is = os.path.exists(output) and not os.path.isfile(output)
    path = output if as_it_is else os.path.realpath(output)
    written = path if as_it_is else f"{path}.partial"
    with open(written, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        yield file
    if not as_it_is:
        os.replace(written, path)


def _check_no_loss(output: str, given: Iterable[str]) -> None:
    """Raise `FileExistsError` where a file that is there is no text, as predictions are, or is to be read."""
    with open(output, "rb") as file:
        start = file.read(4096)
    try:
        is_text = b"\0" not in start
        getincrementaldecoder("utf-8")().decode(start)  # the last letter may be cut
    except UnicodeDecodeError:
        is_text = False
    if not is_text or any(os.path.exists(one) and os.path.samefile(one, output) for one in given):
        what = "one of the files that are read" if is_text else "no text, as predictions are"
        raise FileExistsError(f"{output} is there already and is {what}: give another name, or remove it first")


def open_closed_streams() -> None:
    """Have what is written to a closed standard output or error go nowhere.

    Python has None in the place of such a stream, and prints what is for error to output instead, among what is told.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  (as long as the process lives)
