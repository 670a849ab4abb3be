"""Around a network in ONNX: what makes its input of pictures of any size, and names and shares of its classes."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper

from nas.errors import NasError
from nas.exporting.onnx.writer import Writer
from nas.exporting.preprocess import Preprocess

PIXELS, LOGITS, PROBABILITIES = "pixels", "logits", "probabilities"
"""The input, and the outputs, of a model for pictures."""
CLASSES, PREPROCESS = "classes", "preprocess"
"""Keys of a model's metadata, whose values are JSON: a list of names, and `Preprocess.to_dict`."""
PREFIX = "pictures."
"""Begins the name of every operation and constant that is not the network's own."""

_USE = (
    "Input pixels: uint8, (batch, height, width, channels), any size, channels in the order R, G, B. A picture is "
    "scaled to cover what the network was trained on, cut at the centre and normalised inside. Outputs: logits and "
    "probabilities, (batch, classes); the names of the classes are a JSON list in the metadata, under `classes`."
)


def for_pictures(network: bytes, preprocess: Preprocess, about: Mapping[str, str] | None = None) -> bytes:
    """Put pictures in front of a network, and the shares of its classes behind it.

    Args:
        network: an ONNX model with one input of `(batch, channels, *preprocess.size)`, fp32, and one output of
            `(batch, classes)`, as `nas.exporting.onnx.graph.to_onnx` writes it, whole or quantised.
        preprocess: what was done to pictures in training.
        about: more that its metadata are to say, by keys.

    Returns:
        An ONNX model whose input and outputs are `_USE`; class names and `preprocess` are in its metadata.

    Raises:
        NasError: the network gives something else than a number for each class.
    """
    model = onnx.ModelProto.FromString(network)
    ((x,), (y,)) = (list(model.graph.input), list(model.graph.output)) if _plain(model) else ((None,), (None,))
    gives = [] if y is None else [dim.dim_value for dim in y.type.tensor_type.shape.dim]
    if x is None or y is None or gives[1:] != [len(preprocess.classes)]:
        raise NasError(
            f"a network for {len(preprocess.classes)} classes gives a number for each, but this one gives "
            f"{[[dim.dim_value or dim.dim_param for dim in o.type.tensor_type.shape.dim] for o in model.graph.output]}"
        )
    before, after = Writer({}), Writer({})
    _network_input(before, preprocess, x.name)
    after.add("Identity", LOGITS, y.name)
    after.add("Softmax", PROBABILITIES, LOGITS, axis=1)
    channels = preprocess.shape[0]
    graph = helper.make_graph(
        [*before.nodes, *model.graph.node, *after.nodes],
        "network",
        [helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, ["batch", "height", "width", channels])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", len(preprocess.classes)])
            for name in (LOGITS, PROBABILITIES)
        ],
        [*before.constants, *model.graph.initializer],
        doc_string=_USE,
    )
    whole = helper.make_model(
        graph, opset_imports=model.opset_import, ir_version=model.ir_version, producer_name="nas", doc_string=_USE
    )
    known = {CLASSES: json.dumps(list(preprocess.classes)), PREPROCESS: json.dumps(preprocess.to_dict())}
    helper.set_model_props(whole, known | dict(about or {}))
    onnx.checker.check_model(whole)
    return bytes(whole.SerializeToString())


def _plain(model: onnx.ModelProto) -> bool:
    return len(model.graph.input) == 1 and len(model.graph.output) == 1


def _network_input(w: Writer, preprocess: Preprocess, name: str) -> None:
    """Write what makes the network's input, called `name`, of pictures."""
    mean, std = preprocess.levels()
    pixels = w.add("Transpose", f"{PREFIX}planes", PIXELS, perm=(0, 3, 1, 2))
    levels = w.add("Cast", f"{PREFIX}levels", _covered(w, pixels, preprocess.shape), to=TensorProto.FLOAT)
    x = w.add("Sub", f"{PREFIX}centred", levels, w.constant(f"{PREFIX}mean", mean))
    x = w.add("Div", f"{PREFIX}normalised", x, w.constant(f"{PREFIX}std", std))
    resizing = preprocess.resizing()
    if resizing is not None:
        rows, columns = (
            w.constant(f"{PREFIX}{side}", m) for side, m in zip(("rows", "columns"), resizing, strict=True)
        )
        x = w.add("MatMul", f"{PREFIX}resized", w.add("MatMul", f"{PREFIX}resized_rows", rows, x), columns)
    w.add("Identity", name, x)


def _covered(w: Writer, pixels: str, shape: tuple[int, int, int]) -> str:
    """Scale pictures so that they cover a size, and cut them at the centre, as `predict.read_picture` does.

    The sizes are computed in float64, as there. A picture that has the size already stays as it is.
    """
    size = w.integers(f"{PREFIX}size", *shape[1:])
    old = w.add("Shape", f"{PREFIX}old_size", pixels, start=2, end=4)
    exact = w.add("Cast", f"{PREFIX}old_size_exact", old, to=TensorProto.DOUBLE)
    wanted = w.constant(f"{PREFIX}size_exact", np.array(shape[1:], dtype=np.float64))
    ratios = w.add("Div", f"{PREFIX}ratios", wanted, exact)
    scale = w.add("ReduceMax", f"{PREFIX}scale", ratios, w.integers(f"{PREFIX}axis", 0), keepdims=1)
    rounded = w.add("Round", f"{PREFIX}scaled_exact", w.add("Mul", f"{PREFIX}scaled_unrounded", exact, scale))
    new = w.add("Max", f"{PREFIX}new_size", w.add("Cast", f"{PREFIX}scaled", rounded, to=TensorProto.INT64), size)
    others = w.add("Shape", f"{PREFIX}batch_and_channels", pixels, start=0, end=2)
    sizes = w.add("Concat", f"{PREFIX}sizes", others, new, axis=0)
    scaled = w.add("Resize", f"{PREFIX}covering", pixels, "", "", sizes, mode="linear", antialias=1, exclude_outside=1)
    more = w.add("Sub", f"{PREFIX}more", new, size)
    start = w.add("Div", f"{PREFIX}start", more, w.integers(f"{PREFIX}two", 2))
    end = w.add("Add", f"{PREFIX}end", start, size)
    cut = w.add("Slice", f"{PREFIX}cut", scaled, start, end, w.integers(f"{PREFIX}axes", 2, 3))
    # It has this size; saying so tells runtimes every size behind it.
    return w.add("Reshape", f"{PREFIX}picture", cut, w.integers(f"{PREFIX}shape", -1, *shape))
