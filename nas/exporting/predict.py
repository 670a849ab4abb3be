"""Says what pictures show, by an exported model. Needs numpy, pillow and onnxruntime, and nothing else.

    python predict.py photo.jpg more/*.png                  the five likeliest classes of each, as CSV; of a model with
                                                            several classes a picture all of them, of one for numbers
                                                            these, of one for pixels the share of each class
    python predict.py photo.jpg --top 1 --format json
    python predict.py *.jpg --model model.int8.onnx --output classes.csv
    python predict.py *.jpg --masks FOLDER                  of a model for pixels: their classes as PNG files, too

A picture is read as in training, as the model says: its first frame, turned as its EXIF data say, its transparency laid
on a colour, levels of 16 bits brought to 8, in grey or RGB, and brought to the size that the model was trained on. A
picture that cannot be read is named on standard error, the others go on, and the exit code is 2.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, count, islice
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from nas.exporting.class_maps import NO_CLASS, restored, sized_picture, write_mask
from nas.exporting.reading import MAX_PIXELS, READ_AS, PictureError, Reading, why_no_file

MODEL = "model.onnx"
FORMATS = ("csv", "json")
CLASSIFICATION, MULTILABEL, REGRESSION = "classification", "multilabel", "regression"
SEGMENTATION = "segmentation"
ANSWERS = {
    CLASSIFICATION: "probabilities",
    MULTILABEL: "probabilities",
    REGRESSION: "numbers",
    SEGMENTATION: "class_map",
}
"""What a model was trained for, with the output that says what a picture is told as."""
THRESHOLD = 0.5
"""Probability above which a picture is said to have one of several classes."""
_COLUMNS = {
    CLASSIFICATION: ("image", "rank", "class", "probability"),
    MULTILABEL: ("image", "class", "probability", "present"),
    REGRESSION: ("image", "name", "number"),
    SEGMENTATION: ("image", "class", "share", "mask"),
}
"""Of CSV."""
_MOST_SIDE, _MOST_LEVELS = 2**16, 2**28
"""Of the pictures of a model: pixels along a side, and 8-bit levels in one, or in all that are run at a time."""


class ModelError(ValueError):
    """A file that is no exported model; the message says why."""


@dataclass(frozen=True)
class Model:
    """An exported model, ready to run."""

    session: Any
    """Of onnxruntime."""
    reading: Reading
    """How pictures are read."""
    classes: tuple[str, ...]
    """Names of its outputs, in order."""
    task: str = CLASSIFICATION
    """What it was trained for; one of `ANSWERS`."""


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


def open_model(path: Path, threads: int = 0, max_pixels: int = MAX_PIXELS) -> Model:
    """Load a model and the names of its classes.

    Args:
        path: of the .onnx file.
        threads: that it may use; 0: as many as there are cores.
        max_pixels: of a file; one with more is not read.

    Raises:
        ModelError: no file, a link, no model, or one without class names.
    """
    import onnxruntime

    why = why_no_file(path, links=False)
    if why:
        raise ModelError(f"{path} is no model: {why}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    try:
        session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has an exception for each of its codes
        raise ModelError(f"{path} cannot be loaded: {error}") from None
    try:
        known = session.get_modelmeta().custom_metadata_map
        classes, preprocess = json.loads(known["classes"]), json.loads(known["preprocess"])
        shape = preprocess["shape"]
    except (KeyError, TypeError, ValueError, RecursionError):
        raise ModelError(
            f"{path} has no names of classes in its metadata; `nas export` writes models with them"
        ) from None
    task = preprocess.get("task", CLASSIFICATION)
    answer = ANSWERS.get(task, "") if isinstance(task, str) else ""
    why = "" if answer else f"it was trained for {task!r:.80}, which this code does not know"
    why = why or _why_not_shape(shape) or _why_not_classes(classes) or _why_others(session, shape, classes, answer)
    if why:
        raise ModelError(f"{path} is no exported model: {why}")
    said = {name: preprocess[name] for name in READ_AS if name in preprocess}
    try:
        reading = Reading((shape[0], shape[1], shape[2]), **said, max_pixels=max_pixels)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{path} is no exported model: its {error}") from None
    return Model(session, reading, tuple(classes), task)


def _why_not_shape(shape: object) -> str:
    """Return why metadata say no shape of pictures; empty where they do."""
    if not isinstance(shape, list) or len(shape) != 3 or any(type(side) is not int for side in shape):
        return f"the shape of its pictures must be three whole numbers, but is {shape!r:.80}"
    channels, height, width = shape
    sides = min(height, width) >= 1 and max(height, width) <= _MOST_SIDE
    if channels not in (1, 3) or not sides or channels * height * width > _MOST_LEVELS:
        return (
            f"its pictures must have 1 or 3 channels, sides of 1 to {_MOST_SIDE:,} and {_MOST_LEVELS:,} levels at the "
            f"most, but have {shape!r:.80}"
        )
    return ""


def _why_not_classes(classes: object) -> str:
    """Return why metadata hold no names of classes; empty where they do."""
    if isinstance(classes, list) and classes and all(isinstance(name, str) for name in classes):
        return ""
    return f"the names of its classes must be a list of texts, but are {classes!r:.80}"


def _why_others(session: Any, shape: Sequence[int], classes: Sequence[str], answer: str) -> str:
    """Return why the inputs and outputs of a model are not what its metadata say; empty where they are."""
    takes = {one.name: (one.type, one.shape) for one in session.get_inputs()}
    gives = {one.name: one.shape for one in session.get_outputs()}
    kind, sizes = takes.get("pixels", ("", []))
    dims = 3 if answer == ANSWERS[SEGMENTATION] else 2
    if len(takes) != 1 or kind != "tensor(uint8)" or len(sizes) != 4 or len(gives.get(answer, ())) != dims:
        return f"it must take `pixels`, 8-bit levels (pictures, height, width, channels), and give `{answer}`"
    # A size that is no number is known only when it runs.
    for what, said, own in (
        ("channels", shape[0], sizes[3]),
        ("rows", shape[1], gives[answer][1]) if dims == 3 else ("classes", len(classes), gives[answer][1]),
    ):
        if isinstance(own, int) and own != said:
            return f"its metadata say {said:,} {what}, but it has {own:,}"
    return ""


def classify(model: Model, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the answers `(pictures, classes)` to pictures, uint8 of `(pictures, height, width, channels)`: `ANSWERS`.

    Of a model for pixels they are classes, `(pictures, height, width)`.

    Raises:
        ModelError: the model cannot run, or gives something else.
    """
    try:
        (found,) = map(np.asarray, model.session.run([ANSWERS[model.task]], {"pixels": pixels}))
    except Exception as error:  # onnxruntime has an exception for each of its codes
        raise ModelError(f"the model cannot run: {error}") from None
    of_pixels = model.task == SEGMENTATION
    wanted = (len(pixels), *(model.reading.shape[1:] if of_pixels else (len(model.classes),)))
    if found.shape != wanted:
        what, each = ANSWERS[model.task], "height, width" if of_pixels else "classes"
        raise ModelError(f"the model must give {what} of {wanted}, (pictures, {each}), but gives {found.shape}")
    return found


def predict(
    model: Model, images: Iterable[str | np.ndarray[Any, Any]], *, top: int = 5, batch: int = 32
) -> Iterator[Prediction]:
    """Yield what each picture shows, in order.

    Args:
        model: an exported model.
        images: paths, or what `picture_of` takes.
        top: classes that are told of each, where each has one.
        batch: pictures that are read and run at a time; fewer where they are very large.

    Raises:
        ModelError: the model cannot run.
    """
    left = enumerate(images)
    channels, height, width = model.reading.shape
    each = max(channels, 4 * len(model.classes)) if model.task == SEGMENTATION else channels
    batch = max(1, min(batch, _MOST_LEVELS // (each * height * width)))
    while some := list(islice(left, batch)):
        read: dict[int, np.ndarray[Any, Any]] = {}
        sizes, errors = dict[int, tuple[int, int]](), dict[int, str]()
        for place, image in some:
            try:
                read[place], sizes[place] = sized_picture(image, model.reading)
            except PictureError as error:
                errors[place] = str(error)
        found = dict(zip(read, classify(model, np.stack([*read.values()])), strict=True)) if read else {}
        for place, image in some:
            name = image if isinstance(image, str) else str(place)
            if place in errors:
                yield Prediction(name, error=errors[place])
            else:
                yield _prediction(model, name, found[place], top, sizes[place])


def _prediction(model: Model, name: str, answers: np.ndarray[Any, Any], top: int, size: tuple[int, int]) -> Prediction:
    """Return what is told of one picture of a height and width."""
    if model.task == SEGMENTATION:
        mask = restored(answers, size, model.reading)
        counts = np.bincount(mask.ravel(), minlength=NO_CLASS + 1)[: len(model.classes)]
        shares = counts / max(1, counts.sum())
        return Prediction(name, shares=tuple(zip(model.classes, map(float, shares), strict=True)), mask=mask)
    pairs = tuple(zip(model.classes, map(float, answers), strict=True))
    if model.task == REGRESSION:
        return Prediction(name, numbers=pairs)
    if model.task == MULTILABEL:
        return Prediction(name, probabilities=pairs)
    order = np.argsort(-answers, kind="stable")[:top]
    return Prediction(name, tuple(pairs[i] for i in order))


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


def write(predictions: Iterable[Prediction], file_format: str, file: TextIO, task: str = CLASSIFICATION) -> int:
    """Write predictions one by one as they come; returns how many pictures could not be read, each named on stderr.

    Args:
        predictions: of `predict`.
        file_format: `csv`, a row for each class or number of a picture, or `json`, one list.
        file: to write to.
        task: of the model.
    """
    failed = 0
    table = csv.writer(file, lineterminator="\n")
    if file_format == "csv":
        table.writerow(_COLUMNS[task])
    else:
        file.write("[")
    for number, one in enumerate(predictions):
        if one.error:
            failed += 1
            print(f"{one.image}: cannot be read: {one.error}", file=sys.stderr)
        if file_format == "csv":  # names as they are, also where a spreadsheet sees a formula: programs compare them
            table.writerows([one.image, *row] for row in _rows(one))
        else:
            file.write(f"{',' if number else ''}\n {json.dumps(record_of(one))}")
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


def record_of(one: Prediction) -> dict[str, Any]:
    """Return a prediction as JSON has it."""
    if one.error:
        return {"image": one.image, "error": one.error}
    if one.shares:
        return {"image": one.image, "shares": dict(one.shares), **({"mask": one.file} if one.file else {})}
    if one.numbers:
        return {"image": one.image, "numbers": dict(one.numbers)}
    if one.probabilities:
        return {"image": one.image, "classes": [*one.present], "probabilities": dict(one.probabilities)}
    return {"image": one.image, "top": [{"class": name, "probability": share} for name, share in one.top]}


@contextmanager
def opened(output: str | None) -> Iterator[TextIO]:
    """Yield what to write to: standard output, or a file that gets its name when it is whole."""
    if output is None:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="backslashreplace")  # names of files may be no text
        yield sys.stdout
        return
    partial = f"{output}.partial"
    with open(partial, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        yield file
    os.replace(partial, output)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a program; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="a file: JPEG, PNG, WebP or what else pillow reads")
    parser.add_argument("--model", default=MODEL, help=f"file of the model in the folder of this one ({MODEL})")
    parser.add_argument("--top", type=int, default=5, help="classes told of each picture, where it has one (5)")
    parser.add_argument("--batch", type=int, default=32, help="pictures at a time (32)")
    parser.add_argument("--format", choices=FORMATS, default=FORMATS[0], help="csv or json (csv)")
    parser.add_argument(
        "--max-pixels", type=int, default=MAX_PIXELS, help=f"a file with more is not read ({MAX_PIXELS:,})"
    )
    parser.add_argument("--output", metavar="FILE", help="write there instead of to standard output")
    parser.add_argument("--masks", metavar="DIR", help="of a model for pixels: a new folder for their classes, as PNG")
    options = parser.parse_args(arguments)
    if min(options.top, options.batch, options.max_pixels) < 1:
        parser.error("--top, --batch and --max-pixels must be >= 1")
    try:
        model = open_model(Path(__file__).resolve().parent / options.model, max_pixels=options.max_pixels)
        if options.masks and model.task != SEGMENTATION:
            raise ModelError(f"--masks is of models for {SEGMENTATION}, but this one is for {model.task}")
        with opened(options.output) as file:
            found = predict(model, options.images, top=options.top, batch=options.batch)
            found = with_masks(found, Path(options.masks)) if options.masks else found
            failed = write(found, options.format, file, model.task)
    except (ModelError, OSError) as error:
        print(f"predict.py: {error}", file=sys.stderr)
        return 2
    return 2 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
