"""Says what pictures show, by an exported model. Needs numpy, pillow and onnxruntime, and nothing else.

    python predict.py photo.jpg more/*.png                  the five likeliest classes of each, as CSV
    python predict.py photo.jpg --top 1 --format json
    python predict.py *.jpg --model model.int8.onnx --output classes.csv

A picture is read as in training: turned as its EXIF data say, transparency dropped, brought to grey or RGB, scaled to
cover the size that the model was trained on, and cut at the centre. A picture that cannot be read is named on standard
error, the others go on, and the exit code is 2.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from PIL import Image, ImageOps

MODEL = "model.onnx"
FORMATS = ("csv", "json")
_MOST_SIDE, _MOST_LEVELS = 2**16, 2**28
"""Of the pictures of a model: pixels along a side, and 8-bit levels in one, or in all that are run at a time."""
_MOST_SCALED = 2**26
"""Pixels that a picture is scaled to before it is cut; of more only those are computed that are kept."""


class ModelError(ValueError):
    """A file that is no exported model; the message says why."""


class PictureError(ValueError):
    """A picture that cannot be read; the message says why, without its name."""


@dataclass(frozen=True)
class Model:
    """An exported model, ready to run."""

    session: Any
    """Of onnxruntime."""
    shape: tuple[int, int, int]
    """`(channels, height, width)` of the pictures that it was trained on."""
    classes: tuple[str, ...]
    """Names of its outputs, in order."""


@dataclass(frozen=True)
class Prediction:
    """What one picture shows."""

    image: str
    """Its path as given; of one in memory its place among the pictures, from 0."""
    top: tuple[tuple[str, float], ...] = ()
    """The likeliest classes with their probabilities, the likeliest first; empty where it cannot be read."""
    error: str = ""
    """Why it cannot be read."""


def open_model(path: Path, threads: int = 0) -> Model:
    """Load a model and the names of its classes.

    Args:
        path: of the .onnx file.
        threads: that it may use; 0: as many as there are cores.

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
        classes, shape = json.loads(known["classes"]), json.loads(known["preprocess"])["shape"]
    except (KeyError, TypeError, ValueError, RecursionError):
        raise ModelError(
            f"{path} has no names of classes in its metadata; `nas export` writes models with them"
        ) from None
    why = _why_not_shape(shape) or _why_not_classes(classes) or _why_others(session, shape, classes)
    if why:
        raise ModelError(f"{path} is no exported model: {why}")
    return Model(session, (shape[0], shape[1], shape[2]), tuple(classes))


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


def _why_others(session: Any, shape: Sequence[int], classes: Sequence[str]) -> str:
    """Return why the inputs and outputs of a model are not what its metadata say; empty where they are."""
    takes = {one.name: (one.type, one.shape) for one in session.get_inputs()}
    gives = {one.name: one.shape for one in session.get_outputs()}
    kind, sizes = takes.get("pixels", ("", []))
    if len(takes) != 1 or kind != "tensor(uint8)" or len(sizes) != 4 or len(gives.get("probabilities", ())) != 2:
        return "it must take `pixels`, 8-bit levels (pictures, height, width, channels), and give `probabilities`"
    # A size that is no number is known only when it runs.
    for what, said, own in (
        ("channels", shape[0], sizes[3]),
        ("classes", len(classes), gives["probabilities"][1]),
    ):
        if isinstance(own, int) and own != said:
            return f"its metadata say {said:,} {what}, but it has {own:,}"
    return ""


def why_no_file(path: Path, *, links: bool = True) -> str:
    """Return why a path is no plain file that can be opened without waiting; empty where it is one.

    Args:
        path: that is to be read.
        links: whether it may be a link to one.
    """
    try:
        mode = (os.stat if links else os.lstat)(path).st_mode
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    kinds = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a pipe", stat.S_ISLNK: "a link", stat.S_ISREG: ""}
    return next((f"it is {kind}" if kind else "" for is_kind, kind in kinds.items() if is_kind(mode)), "it is a device")


def read_picture(path: Path, shape: tuple[int, int, int]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Read a picture as 8-bit levels `(height, width, channels)`.

    It is turned as its EXIF data say, loses its transparency, is brought to grey or RGB, scaled to cover the size with
    a bilinear filter, and cut at the centre.

    Args:
        path: of a file that pillow reads.
        shape: `(channels, height, width)` that it is brought to; 1 channel is grey, 3 are RGB.

    Raises:
        PictureError: it cannot be read.
    """
    channels, height, width = shape
    return fitted(decoded(path, channels)[0], (height, width))


def picture_of(
    levels: np.ndarray[Any, np.dtype[np.uint8]], shape: tuple[int, int, int]
) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return a picture that is in memory as `read_picture` returns that of a file.

    Args:
        levels: 8-bit levels `(height, width, channels)`: 1 channel is grey, 3 are RGB, a fourth is transparency.
        shape: `(channels, height, width)` that it is brought to.
    """
    channels, height, width = shape
    picture = Image.fromarray(levels[:, :, 0] if levels.shape[2] == 1 else levels)
    return fitted(_in_colours(picture, None, channels), (height, width))


def decoded(path: Path, *channels: int) -> list[Image.Image]:
    """Read a picture at its full size, as a person sees it, once in each of some numbers of channels: 1 or 3.

    Raises:
        PictureError: it cannot be read.
    """
    why = why_no_file(path)
    if why:
        raise PictureError(why)
    try:
        with Image.open(path) as image:
            picture = ImageOps.exif_transpose(image)
            return [_in_colours(picture, image.format, number) for number in channels]
    except Exception as error:  # decoders raise all kinds of errors on broken files
        raise PictureError(getattr(error, "strerror", None) or str(error) or type(error).__name__) from None


def fitted(picture: Image.Image, size: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Scale a picture to cover `(height, width)`, cut it at the centre; return `(height, width, channels)`.

    Raises:
        PictureError: it cannot be scaled, for example for want of memory.
    """
    height, width = size
    try:
        if picture.size != (width, height):
            picture = _covering(picture, height, width)
        return np.array(picture, dtype=np.uint8).reshape(height, width, -1)
    except Exception as error:  # pillow raises several kinds, and there may be no memory for the picture
        raise PictureError(f"it cannot be scaled: {str(error) or type(error).__name__}") from None


def _covering(picture: Image.Image, height: int, width: int) -> Image.Image:
    """Return the middle of a picture that is scaled to cover a size."""
    scale = max(width / picture.width, height / picture.height)
    scaled = max(width, round(picture.width * scale)), max(height, round(picture.height * scale))
    left, upper = (scaled[0] - width) // 2, (scaled[1] - height) // 2
    if scaled[0] * scaled[1] <= _MOST_SCALED:
        # The way of every training so far: pixels of a box, whose ends are rounded, may be a level off.
        picture = picture.resize(scaled, Image.Resampling.BILINEAR)
        return picture.crop((left, upper, left + width, upper + height))
    across, down = picture.width / scaled[0], picture.height / scaled[1]
    box = left * across, upper * down, (left + width) * across, (upper + height) * down
    return picture.resize((width, height), Image.Resampling.BILINEAR, box=box)


def _in_colours(picture: Image.Image, file_format: str | None, channels: int) -> Image.Image:
    """Return a picture in grey or RGB."""
    if picture.mode.startswith("I;16") or (picture.mode == "I" and file_format == "PNG"):
        # pillow would cut 16-bit grey levels off at 255 instead of scaling them.
        picture = Image.fromarray((np.asarray(picture, dtype=np.int64) >> 8).clip(0, 255).astype(np.uint8))
    elif picture.mode in ("I", "F"):
        raise PictureError("its grey levels have no known white; store it with 8 or 16 bits")
    if picture.mode == "P" and "transparency" in picture.info:
        picture = picture.convert("RGBA")  # pillow warns of what is lost otherwise
    return picture.convert("RGB" if channels == 3 else "L")


def classify(model: Model, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the probabilities `(pictures, classes)` of pictures, uint8 of `(pictures, height, width, channels)`.

    Raises:
        ModelError: the model cannot run, or gives something else.
    """
    try:
        (found,) = map(np.asarray, model.session.run(["probabilities"], {"pixels": pixels}))
    except Exception as error:  # onnxruntime has an exception for each of its codes
        raise ModelError(f"the model cannot run: {error}") from None
    if found.shape != (len(pixels), len(model.classes)):
        wanted = (len(pixels), len(model.classes))
        raise ModelError(f"the model must give probabilities of {wanted}, (pictures, classes), but gives {found.shape}")
    return found


def predict(
    model: Model, images: Iterable[str | np.ndarray[Any, Any]], *, top: int = 5, batch: int = 32
) -> Iterator[Prediction]:
    """Yield what each picture shows, in order.

    Args:
        model: an exported model.
        images: paths, or what `picture_of` takes.
        top: classes that are told of each.
        batch: pictures that are read and run at a time; fewer where they are very large.

    Raises:
        ModelError: the model cannot run.
    """
    left = enumerate(images)
    channels, height, width = model.shape
    batch = max(1, min(batch, _MOST_LEVELS // (channels * height * width)))
    while some := list(islice(left, batch)):
        read: dict[int, np.ndarray[Any, Any]] = {}
        errors = dict[int, str]()
        for place, image in some:
            try:
                if isinstance(image, str):
                    read[place] = read_picture(Path(image), model.shape)
                else:
                    read[place] = picture_of(image, model.shape)
            except PictureError as error:
                errors[place] = str(error)
        found = dict(zip(read, classify(model, np.stack([*read.values()])), strict=True)) if read else {}
        for place, image in some:
            name = image if isinstance(image, str) else str(place)
            if place in errors:
                yield Prediction(name, error=errors[place])
            else:
                order = np.argsort(-found[place], kind="stable")[:top]
                yield Prediction(name, tuple((model.classes[i], float(found[place][i])) for i in order))


def write(predictions: Iterable[Prediction], file_format: str, file: TextIO) -> int:
    """Write predictions one by one as they come; returns how many pictures could not be read, each named on stderr.

    Args:
        predictions: of `predict`.
        file_format: `csv`, a row for each class of a picture, or `json`, one list.
        file: to write to.
    """
    failed = 0
    table = csv.writer(file, lineterminator="\n")
    if file_format == "csv":
        table.writerow(["image", "rank", "class", "probability"])
    else:
        file.write("[")
    for number, one in enumerate(predictions):
        if one.error:
            failed += 1
            print(f"{one.image}: cannot be read: {one.error}", file=sys.stderr)
        if file_format == "csv":  # names as they are, also where a spreadsheet sees a formula: programs compare them
            table.writerows([one.image, rank, *_shown(*pair)] for rank, pair in enumerate(one.top, 1))
        else:
            file.write(f"{',' if number else ''}\n {json.dumps(record_of(one))}")
    if file_format == "json":
        file.write("\n]\n")
    return failed


def _shown(name: str, probability: float) -> tuple[str, str]:
    return name, f"{probability:.6f}"


def record_of(one: Prediction) -> dict[str, Any]:
    """Return a prediction as JSON has it."""
    if one.error:
        return {"image": one.image, "error": one.error}
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
    parser.add_argument("--top", type=int, default=5, help="classes that are told of each picture (5)")
    parser.add_argument("--batch", type=int, default=32, help="pictures at a time (32)")
    parser.add_argument("--format", choices=FORMATS, default=FORMATS[0], help="csv or json (csv)")
    parser.add_argument("--output", metavar="FILE", help="write there instead of to standard output")
    options = parser.parse_args(arguments)
    if min(options.top, options.batch) < 1:
        parser.error("--top and --batch must be >= 1")
    try:
        model = open_model(Path(__file__).resolve().parent / options.model)
        with opened(options.output) as file:
            found = predict(model, options.images, top=options.top, batch=options.batch)
            failed = write(found, options.format, file)
    except (ModelError, OSError) as error:
        print(f"predict.py: {error}", file=sys.stderr)
        return 2
    return 2 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
