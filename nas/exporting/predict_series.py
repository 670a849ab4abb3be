"""Says of which class series are, by an exported model. Needs numpy and onnxruntime, and nothing else.

    python predict.py measured.ts                           the five likeliest classes of each series, as CSV
    python predict.py more.tsv more.csv --top 1 --format json
    python predict.py NAME_TEST.tsv --labelled              a table of the UCR archive, which has the class first
    python predict.py *.npz --model model.int8.onnx --output classes.csv

.ts as in the UEA archive (classes in it are not looked at); .tsv and .csv: a series of one channel in a row, whose
cells at the end may be NaN; .npz: its array x, or the only one, (n, length) or (n, channels, length). A series is
FILE:LINE, or FILE:NUMBER of an .npz. A file or a series that cannot be read is named on standard error, the others go
on, and the exit code is 2.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from nas.exporting.predict import (
    ANSWERS,
    MODEL,
    ModelError,
    classify,
    opened_session,
    prediction_of,
    why_not_classes,
)
from nas.exporting.prediction_files import (
    CLASSIFICATION,
    FORMATS,
    SEGMENTATION,
    Prediction,
    open_closed_streams,
    opened,
    write,
)
from nas.exporting.series_files import (
    KINDS,
    NPZ,
    TS,
    SeriesError,
    SeriesFile,
    SeriesReading,
    brought,
    read_arrays,
    read_table,
    read_ts,
)
from nas.exporting.series_words import MISSING, REFUSE

VALUES = "series"
"""The input of a model for series, and what each prediction is of."""
_MOST_VALUES = 2**26
"""Of a series of a model, and of all that are run at a time."""


@dataclass(frozen=True)
class SeriesModel:
    """An exported model for series, ready to run."""

    session: Any
    """Of onnxruntime."""
    reading: SeriesReading
    """How series become its input."""
    classes: tuple[str, ...]
    """Names of its outputs, in order."""
    task: str = CLASSIFICATION
    """What it was trained for."""

    @property
    def gives(self) -> tuple[int, ...]:
        """Shape of its answer to a series, `(classes,)`."""
        return (len(self.classes),)


def open_series_model(path: Path, threads: int = 0) -> SeriesModel:
    """Load a model for series and the names of its classes.

    Args:
        path: of the .onnx file.
        threads: that it may use; 0: as many as there are cores.

    Raises:
        ModelError: no file, a link, no model, or one that is not for series.
    """
    return series_model_of(path, *opened_session(path, threads))


def series_model_of(path: Path, session: Any, classes: Any, preprocess: dict[str, Any]) -> SeriesModel:
    """Return a model for series, of what `opened_session` gives; raises `ModelError` where it is none."""
    if preprocess.get("kind") != VALUES:
        raise ModelError(f"{path} is no model for series")
    task: Any = preprocess.get("task", CLASSIFICATION)
    channels: Any = preprocess.get("channels")
    length: Any = preprocess.get("length")
    whole = type(channels) is int and type(length) is int and min(channels, length) > 0
    mask, missing = preprocess.get("mask", False), preprocess.get("missing", REFUSE)
    takes = {one.name: (one.type, one.shape) for one in session.get_inputs()}
    kind, sizes = takes.get(VALUES, ("", []))
    gives = {one.name: one.shape for one in session.get_outputs()}
    why = why_not_classes(classes)
    if not isinstance(task, str) or task not in ANSWERS or task == SEGMENTATION:
        why = f"it was trained for {task!r:.80}, which this code does not know"
    elif not whole or channels * length > _MOST_VALUES or type(mask) is not bool or missing not in MISSING:
        why = "what it says of its series cannot be"
    elif len(takes) != 1 or kind != "tensor(float)" or len(sizes) != 3 or len(gives.get(ANSWERS[task], ())) != 2:
        why = f"it must take `{VALUES}`, fp32 of (n, channels, length), and give `{ANSWERS[task]}`"
    if why:
        raise ModelError(f"{path} is no exported model: {why}")
    return SeriesModel(session, SeriesReading(channels, length, mask, missing), tuple(classes), task)


def read_series(path: Path, *, labelled: bool | None = None, classes: Sequence[str] = ()) -> SeriesFile:
    """Read a file of series of any kind.

    Args:
        path: of the file.
        labelled: whether the first cell of each row of a table is its class; None: it is not, and a table is refused
            where it looks as if it were.
        classes: of the model.

    Raises:
        SeriesError: it cannot be read, or it is not clear whether the rows of a table begin with a class.
    """
    kind = path.suffix.lower()
    if kind not in KINDS:
        raise SeriesError(f"its name must end in {', '.join(KINDS)}")
    if kind == NPZ:
        return read_arrays(path)
    if kind == TS:
        return read_ts(path)
    if labelled is None and _looks_labelled(path, classes):
        raise SeriesError(
            "all its rows begin with the name of a class of the model: --labelled (labelled=True) leaves that out, "
            "--unlabelled (labelled=False) takes it as the first value"
        )
    return read_table(path, labelled=bool(labelled))


def _looks_labelled(path: Path, classes: Sequence[str]) -> bool:
    """Whether all rows of a table begin with the name of a class."""
    try:
        return {*read_table(path, labelled=True).labels} <= {*classes}
    except SeriesError:
        return False


def why_not(series: np.ndarray[Any, Any], reading: SeriesReading) -> str:
    """Return why a model takes no such series `(channels, length)`; empty where it does."""
    channels, length = series.shape
    if channels != reading.channels:
        return f"it has {channels:,} channels, but the model takes {reading.channels:,}"
    if not reading.mask and length != reading.length:
        return (
            f"it has {length:,} steps, but the model was trained on series of just {reading.length:,} (where rows of a "
            "table begin with a class: --labelled)"
        )
    if reading.missing == REFUSE and np.isnan(series).any():
        return "values are missing in it, of which the model has learned nothing"
    return ""


def predict_series(
    model: SeriesModel, series: Iterable[tuple[str, np.ndarray[Any, Any] | str]], *, top: int = 5, batch: int = 256
) -> Iterator[Prediction]:
    """Yield what is told of each series, in order.

    Args:
        model: an exported model.
        series: names with values, `(channels, length)`, or with the reason why there are none.
        top: classes that are told of each.
        batch: series that are run at a time; fewer where they are very long.

    Raises:
        ModelError: the model cannot run.
    """
    left = iter(series)
    batch = max(1, min(batch, _MOST_VALUES // (model.reading.channels * model.reading.length)))
    while some := list(islice(left, batch)):
        errors = {
            place: values if isinstance(values, str) else why_not(values, model.reading)
            for place, (_, values) in enumerate(some)
        }
        good = {place: values for place, (_, values) in enumerate(some) if not errors[place]}
        arrays = [values for values in good.values() if not isinstance(values, str)]
        answers = classify(model, brought(arrays, model.reading), VALUES) if arrays else np.zeros((0, 0))
        found = dict(zip(good, answers, strict=True))
        for place, (name, _) in enumerate(some):
            if place in found:
                yield prediction_of(model, name, found[place], top)
            else:
                yield Prediction(name, error=errors[place])


def series_in(
    paths: Iterable[str], *, labelled: bool | None = None, classes: Sequence[str] = ()
) -> Iterator[tuple[str, np.ndarray[Any, Any] | str]]:
    """Yield the series of files with names, `FILE:LINE`; of a file that cannot be read its name and the reason.

    Args: those of `read_series`.
    """
    for path in paths:
        try:
            file = read_series(Path(path), labelled=labelled, classes=classes)
        except SeriesError as error:
            yield path, str(error)
            continue
        for line, values in zip(file.lines, file.series, strict=True):
            yield f"{path}:{line}", values


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a program; returns the exit code."""
    open_closed_streams()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE", help=f"of series: {', '.join(KINDS)}")
    parser.add_argument("--model", default=MODEL, help=f"file of the model in the folder of this one ({MODEL})")
    both = parser.add_mutually_exclusive_group()
    both.add_argument(
        "--labelled", action="store_true", default=None, help="rows of tables begin with a class: left out"
    )
    both.add_argument(
        "--unlabelled", action="store_false", dest="labelled", help="they do not, whatever they look like"
    )
    parser.add_argument("--top", type=int, default=5, help="classes told of each series (5)")
    parser.add_argument("--batch", type=int, default=256, help="series at a time (256)")
    parser.add_argument("--format", choices=FORMATS, default=FORMATS[0], help="csv or json (csv)")
    parser.add_argument("--output", metavar="FILE", help="write there instead of to standard output")
    options = parser.parse_args(arguments)
    if min(options.top, options.batch) < 1:
        parser.error("--top and --batch must be >= 1")
    try:
        model = open_series_model(Path(__file__).resolve().parent / options.model)
        with opened(options.output, options.files) as file:
            series = series_in(options.files, labelled=options.labelled, classes=model.classes)
            found = predict_series(model, series, top=options.top, batch=options.batch)
            failed = write(found, options.format, file, model.task, VALUES)
    except (ModelError, OSError) as error:
        print(f"predict.py: {error}", file=sys.stderr)
        return 2
    return 2 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
