"""Around a network in ONNX: what makes its input of series as they were measured, of any length where it has a mask."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper

from nas.exporting.onnx.pictures import PREFIX, around, for_pictures
from nas.exporting.onnx.writer import Writer
from nas.exporting.series_preprocess import AnyPreprocess, SeriesPreprocess

VALUES = "series"
"""The input of a model for series; its outputs are `Task.raw` and `Task.answer`."""

_USE = (
    "Input series: float32, (batch, channels, {length}), values as they were measured, NaN where there is none. They "
    "are normalised inside. Outputs: {{raw}} and {{answer}}, (batch, {{outputs}}); the names of the {{outputs}} are a "
    "JSON list in the metadata, under `classes`."
)
_ANY_LENGTH = "length of any number of steps: of more the first {0:,} count, at the end of fewer steps are absent"


def as_shipped(network: bytes, preprocess: AnyPreprocess, about: Mapping[str, str] | None = None) -> bytes:
    """Put what makes its input in front of a network, and what it says behind it: `for_pictures`, or that for series.

    Args:
        network: an ONNX model with one input of `(batch, channels, *preprocess.size)`, fp32, and one output of
            `(batch, classes)`, as `nas.exporting.onnx.graph.to_onnx` writes it, whole or quantised.
        preprocess: what was done to pictures or series in training.
        about: more that its metadata are to say, by keys.

    Raises:
        NasError: the network gives something else than a number for each class.
    """
    if not isinstance(preprocess, SeriesPreprocess):
        return for_pictures(network, preprocess, about)
    before = Writer({})
    x = onnx.ModelProto.FromString(network).graph.input[0].name
    length: str | int = "length" if preprocess.mask else preprocess.length
    taken = helper.make_tensor_value_info(VALUES, TensorProto.FLOAT, ["batch", preprocess.channels, length])
    _network_input(before, preprocess, x)
    use = _USE.format(length=_ANY_LENGTH.format(preprocess.length) if preprocess.mask else f"{preprocess.length:,}")
    return around(network, before, taken=taken, preprocess=preprocess, use=use, about=about)


def _network_input(w: Writer, preprocess: SeriesPreprocess, name: str) -> None:
    """Write what makes the network's input, called `name`, of series, as `SeriesPreprocess.network_input` does."""
    mean, std = (np.array(values, dtype=np.float32).reshape(-1, 1) for values in (preprocess.mean, preprocess.std))
    series = _of_length(w, preprocess) if preprocess.mask else VALUES
    absent = w.add("IsNaN", f"{PREFIX}absent", series)
    x = w.add("Sub", f"{PREFIX}centred", series, w.constant(f"{PREFIX}mean", mean))
    x = w.add("Div", f"{PREFIX}scaled", x, w.constant(f"{PREFIX}std", std))
    x = w.add("Where", f"{PREFIX}normalised", absent, w.number(f"{PREFIX}zero", 0.0), x)
    if preprocess.mask:
        there = w.add("Cast", f"{PREFIX}there", w.add("Not", f"{PREFIX}present", absent), to=TensorProto.FLOAT)
        mask = w.add("ReduceMax", f"{PREFIX}mask", there, w.integers(f"{PREFIX}axis", 1), keepdims=1)
        x = w.add("Concat", f"{PREFIX}masked", x, mask, axis=1)
    resizing = preprocess.resizing()
    if resizing is not None:
        x = w.add("MatMul", f"{PREFIX}resized", x, w.constant(f"{PREFIX}columns", resizing))
    w.add("Identity", name, x)


def _of_length(w: Writer, preprocess: SeriesPreprocess) -> str:
    """Bring series of any length to that of the data: absent steps behind all of them, and the first ones of that."""
    channels, length = preprocess.channels, preprocess.length
    batch = w.add("Shape", f"{PREFIX}batch", VALUES, start=0, end=1)
    sizes = w.add("Concat", f"{PREFIX}sizes", batch, w.integers(f"{PREFIX}block", channels, length), axis=0)
    absent = w.add("Expand", f"{PREFIX}behind", w.number(f"{PREFIX}nan", np.nan), sizes)
    longer = w.add("Concat", f"{PREFIX}longer", VALUES, absent, axis=2)
    start, end, axis = (w.integers(f"{PREFIX}{name}", n) for name, n in (("first", 0), ("end", length), ("steps", 2)))
    cut = w.add("Slice", f"{PREFIX}cut", longer, start, end, axis)
    # It has this length; saying so tells runtimes every size behind it.
    return w.add("Reshape", f"{PREFIX}series", cut, w.integers(f"{PREFIX}shape", -1, channels, length))
