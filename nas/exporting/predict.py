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
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from nas.exporting.class_maps import NO_CLASS, restored, sized_picture
from nas.exporting.prediction_files import (
    CLASSIFICATION,
    FORMATS,
    MULTILABEL,
    REGRESSION,
    SEGMENTATION,
    Prediction,
    open_closed_streams,
    opened,
    with_masks,
    write,
)
from nas.exporting.reading import MAX_PIXELS, READ_AS, PictureError, Reading, why_no_file

MODEL = "model.onnx"
ANSWERS = {
    CLASSIFICATION: "probabilities",
    MULTILABEL: "probabilities",
    REGRESSION: "numbers",
    SEGMENTATION: "class_map",
}
"""What a model was trained for, with the output that says what a picture is told as."""
_MOST_SIDE, _MOST_LEVELS = 2**16, 2**28
"""Of the pictures of a model: pixels along a side, and 8-bit levels in one, or in all that are run at a time."""


class ModelError(ValueError):
    """A file that is no exported model; the message says why."""


class Answering(Protocol):
    """What every exported model has."""

    @property
    def session(self) -> Any:
        """Of onnxruntime."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of its outputs, in order."""

    @property
    def task(self) -> str:
        """What it was trained for; one of `ANSWERS`."""

    @property
    def gives(self) -> tuple[int, ...]:
        """Shape of its answer to one picture or series."""


@dataclass(frozen=True)
class Model:
    """An exported model for pictures, ready to run."""

    session: Any
    """Of onnxruntime."""
    reading: Reading
    """How pictures are read."""
    classes: tuple[str, ...]
    """Names of its outputs, in order."""
    task: str = CLASSIFICATION
    """What it was trained for; one of `ANSWERS`."""

    @property
    def gives(self) -> tuple[int, ...]:
        """Shape of its answer to a picture: `(classes,)`, or `(height, width)` of one for pixels."""
        return self.reading.shape[1:] if self.task == SEGMENTATION else (len(self.classes),)


def open_model(path: Path, threads: int = 0, max_pixels: int = MAX_PIXELS) -> Model:
    """Load a model and the names of its classes.

    Args:
        path: of the .onnx file.
        threads: that it may use; 0: as many as there are cores.
        max_pixels: of a file; one with more is not read.

    Raises:
        ModelError: no file, a link, no model, or one without class names.
    """
    return model_of(path, *opened_session(path, threads), max_pixels)


def model_of(path: Path, session: Any, classes: Any, preprocess: dict[str, Any], max_pixels: int = MAX_PIXELS) -> Model:
    """Return a model for pictures, of what `opened_session` gives; raises `ModelError` where it is none."""
    if preprocess.get("kind", "pictures") != "pictures":
        raise ModelError(f"{path} is a model for {preprocess['kind']!r:.80}, not for pictures")
    shape: Any = preprocess.get("shape")
    task = preprocess.get("task", CLASSIFICATION)
    answer = ANSWERS.get(task, "") if isinstance(task, str) else ""
    why = "" if answer else f"it was trained for {task!r:.80}, which this code does not know"
    why = why or _why_not_shape(shape) or why_not_classes(classes) or _why_others(session, shape, classes, answer)
    if why:
        raise ModelError(f"{path} is no exported model: {why}")
    said = {name: preprocess[name] for name in READ_AS if name in preprocess}
    try:
        reading = Reading((shape[0], shape[1], shape[2]), **said, max_pixels=max_pixels)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{path} is no exported model: its {error}") from None
    return Model(session, reading, tuple(classes), task)


def opened_session(path: Path, threads: int) -> tuple[Any, Any, dict[str, Any]]:
    """Return a model as onnxruntime runs it, and what its metadata say: names of classes, and `preprocess`.

    Raises:
        ModelError: no file, a link, no model, or one without these.
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
    except (KeyError, TypeError, ValueError, RecursionError):
        classes = preprocess = None
    if not isinstance(preprocess, dict):
        raise ModelError(f"{path} has no names of classes in its metadata; `nas export` writes models with them")
    return session, classes, preprocess


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


def why_not_classes(classes: object) -> str:
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


def classify(model: Answering, inputs: np.ndarray[Any, Any], name: str = "pixels") -> np.ndarray[Any, Any]:
    """Return the answers `(n, classes)` to what a model takes, for pictures uint8 of `(n, height, width, channels)`.

    Of a model for pixels they are classes, `(n, height, width)`.

    Raises:
        ModelError: the model cannot run, or gives something else.
    """
    try:
        (found,) = map(np.asarray, model.session.run([ANSWERS[model.task]], {name: inputs}))
    except Exception as error:  # onnxruntime has an exception for each of its codes
        raise ModelError(f"the model cannot run: {error}") from None
    wanted = (len(inputs), *model.gives)
    if found.shape != wanted:
        what, each = ANSWERS[model.task], "classes" if len(model.gives) == 1 else "height, width"
        raise ModelError(f"the model must give {what} of {wanted}, (inputs, {each}), but gives {found.shape}")
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
                yield _of_picture(model, name, found[place], top, sizes[place])


def _of_picture(model: Model, name: str, answers: np.ndarray[Any, Any], top: int, size: tuple[int, int]) -> Prediction:
    """Return what is told of one picture of a height and width."""
    if model.task != SEGMENTATION:
        return prediction_of(model, name, answers, top)
    mask = restored(answers, size, model.reading)
    counts = np.bincount(mask.ravel(), minlength=NO_CLASS + 1)[: len(model.classes)]
    shares = counts / max(1, counts.sum())
    return Prediction(name, shares=tuple(zip(model.classes, map(float, shares), strict=True)), mask=mask)


def prediction_of(model: Answering, name: str, answers: np.ndarray[Any, Any], top: int) -> Prediction:
    """Return what is told of one picture or series by an answer for each class."""
    pairs = tuple(zip(model.classes, map(float, answers), strict=True))
    if model.task == REGRESSION:
        return Prediction(name, numbers=pairs)
    if model.task == MULTILABEL:
        return Prediction(name, probabilities=pairs)
    order = np.argsort(-answers, kind="stable")[:top]
    return Prediction(name, tuple(pairs[i] for i in order))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a program; returns the exit code."""
    open_closed_streams()
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
        with opened(options.output, options.images) as file:
            found = predict(model, options.images, top=options.top, batch=options.batch)
            found = with_masks(found, Path(options.masks)) if options.masks else found
            failed = write(found, options.format, file, model.task)
    except (ModelError, OSError) as error:
        print(f"predict.py: {error}", file=sys.stderr)
        return 2
    return 2 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
