"""Around a network in ONNX: what makes its input of pictures of any size, and names and shares of its classes."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper

from nas.errors import NasError
from nas.exporting.onnx.writer import Writer
from nas.exporting.preprocess import Preprocess, resize_matrix
from nas.exporting.reading import COVER_CROP, PAD, SQUASH
from nas.exporting.series_preprocess import AnyPreprocess
from nas.training.tasks.registry import task_named
from nas.training.tasks.task import Scale, Task

PIXELS = "pixels"
"""The input of a model for pictures; its outputs are `Task.raw` and `Task.answer`, and `CLASS_MAP` of classes of pixels
(`Task.dense`)."""
CLASS_MAP = "class_map"
"""The likeliest class of each pixel."""
CLASSES, PREPROCESS = "classes", "preprocess"
"""Keys of a model's metadata, whose values are JSON: a list of names, and `Preprocess.to_dict`."""
PREFIX = "pictures."
"""Begins the name of every operation and constant that is not the network's own."""

_USE = (
    "Input pixels: uint8, (batch, height, width, channels), any size, channels in the order R, G, B. A picture is "
    "brought to the size that the network was trained on, as `resize` in the metadata under `preprocess` says, and "
    "normalised inside. Outputs: {raw} and {answer}, (batch, {outputs}{map}); the names of the {outputs} are a JSON "
    "list in the metadata, under `classes`."
)


def for_pictures(network: bytes, preprocess: Preprocess, about: Mapping[str, str] | None = None) -> bytes:
    """Put pictures in front of a network, and behind it what it says: shares of its classes, or numbers in their units.

    Args:
        network: an ONNX model with one input of `(batch, channels, *preprocess.size)`, fp32, and one output of
            `(batch, *Task.out_shapes)`, as `nas.exporting.onnx.graph.to_onnx` writes it, whole or quantised.
        preprocess: what was done to pictures in training.
        about: more that its metadata are to say, by keys.

    Returns:
        An ONNX model whose input and outputs are `_USE`; class names and `preprocess` are in its metadata.

    Raises:
        NasError: the network gives something else than a number for each class.
    """
    before, channels = Writer({}), preprocess.shape[0]
    taken = helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, ["batch", "height", "width", channels])
    _network_input(before, preprocess, onnx.ModelProto.FromString(network).graph.input[0].name)
    return around(network, before, taken=taken, preprocess=preprocess, use=_USE, about=about)


def around(
    network: bytes,
    before: Writer,
    *,
    taken: onnx.ValueInfoProto,
    preprocess: AnyPreprocess,
    use: str,
    about: Mapping[str, str] | None,
) -> bytes:
    """Return a network with what makes its input in front of it, and what it says behind it.

    Args:
        network: as of `for_pictures`.
        before: what makes its input.
        taken: the input of the whole.
        preprocess: what was done in training.
        use: how it is used, with the places `raw`, `answer` and `outputs` of the task.
        about: as of `for_pictures`.

    Raises:
        NasError: the network gives something else than a number for each class.
    """
    task = task_named(preprocess.task)
    model = onnx.ModelProto.FromString(network)
    (y,) = model.graph.output if len(model.graph.input) == len(model.graph.output) == 1 else (None,)
    gives = [] if y is None else [dim.dim_value for dim in y.type.tensor_type.shape.dim]
    if y is None or tuple(gives[1:]) != preprocess.network_gives:
        each = "a map" if task.dense else "a number"
        raise NasError(
            f"a network for {len(preprocess.classes)} {task.outputs} gives {each} for each, but this one gives "
            f"{[[dim.dim_value or dim.dim_param for dim in o.type.tensor_type.shape.dim] for o in model.graph.output]}"
        )
    after = Writer({})
    _raw(after, task, preprocess, y.name)
    _answer(after, task, preprocess.scale)
    size = ", height, width" if task.dense else ""
    use = use.format(raw=task.raw, answer=task.answer, outputs=task.outputs, map=size)
    use += f" {CLASS_MAP}: uint8, (batch, height, width), the place of the likeliest class." if task.dense else ""
    graph = helper.make_graph(
        [*before.nodes, *model.graph.node, *after.nodes],
        "network",
        [taken],
        _outputs(task, preprocess),
        [*before.constants, *model.graph.initializer, *after.constants],
        doc_string=use,
    )
    whole = helper.make_model(
        graph, opset_imports=model.opset_import, ir_version=model.ir_version, producer_name="nas", doc_string=use
    )
    known = {CLASSES: json.dumps(list(preprocess.classes)), PREPROCESS: json.dumps(preprocess.to_dict())}
    helper.set_model_props(whole, known | dict(about or {}))
    onnx.checker.check_model(whole)
    return bytes(whole.SerializeToString())


def _outputs(task: Task, preprocess: AnyPreprocess) -> list[onnx.ValueInfoProto]:
    """Return what a model gives."""
    shape: list[str | int | None] = ["batch", *preprocess.gives]
    found = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in (task.raw, task.answer)]
    if task.dense:
        found.append(helper.make_tensor_value_info(CLASS_MAP, TensorProto.UINT8, ["batch", *preprocess.shape[1:]]))
    return found


def _raw(w: Writer, task: Task, preprocess: AnyPreprocess, name: str) -> None:
    """Write what the network gives, called `name`: maps are brought to the size of the pictures, as in training."""
    if task.dense and preprocess.size != preprocess.shape[1:]:
        sizes = zip(preprocess.size, preprocess.shape[1:], strict=True)
        rows, columns = (resize_matrix(*both) for both in sizes)
        left = w.constant(f"{PREFIX}map_rows", np.ascontiguousarray(rows.T))
        taller = w.add("MatMul", f"{PREFIX}map_resized_rows", left, name)
        w.add("MatMul", task.raw, taller, w.constant(f"{PREFIX}map_columns", columns))
    else:
        w.add("Identity", task.raw, name)


def _answer(w: Writer, task: Task, scale: Scale | None) -> None:
    """Write what makes answers of what the network gives."""
    if task.activation == "scale":
        assert scale is not None
        std, mean = (np.array([values], dtype=np.float32) for values in (scale.std, scale.mean))
        larger = w.add("Mul", f"{PREFIX}unscaled", task.raw, w.constant(f"{PREFIX}target_std", std))
        w.add("Add", task.answer, larger, w.constant(f"{PREFIX}target_mean", mean))
    elif task.activation == "sigmoid":
        w.add("Sigmoid", task.answer, task.raw)
    else:
        w.add("Softmax", task.answer, task.raw, axis=1)
    if task.dense:
        place = w.add("ArgMax", f"{PREFIX}likeliest", task.raw, axis=1, keepdims=0)
        w.add("Cast", CLASS_MAP, place, to=TensorProto.UINT8)


def _network_input(w: Writer, preprocess: Preprocess, name: str) -> None:
    """Write what makes the network's input, called `name`, of pictures."""
    mean, std = preprocess.levels()
    pixels = w.add("Transpose", f"{PREFIX}planes", PIXELS, perm=(0, 3, 1, 2))
    levels = w.add("Cast", f"{PREFIX}levels", _sized(w, pixels, preprocess), to=TensorProto.FLOAT)
    x = w.add("Sub", f"{PREFIX}centred", levels, w.constant(f"{PREFIX}mean", mean))
    x = w.add("Div", f"{PREFIX}normalised", x, w.constant(f"{PREFIX}std", std))
    resizing = preprocess.resizing()
    if resizing is not None:
        rows, columns = (
            w.constant(f"{PREFIX}{side}", m) for side, m in zip(("rows", "columns"), resizing, strict=True)
        )
        x = w.add("MatMul", f"{PREFIX}resized", w.add("MatMul", f"{PREFIX}resized_rows", rows, x), columns)
    w.add("Identity", name, x)


def _sized(w: Writer, pixels: str, preprocess: Preprocess) -> str:
    """Bring pictures to a size as `nas.exporting.reading.fitted` does.

    The sizes are computed in float64, as there. A picture that has the size already stays as it is.
    """
    shape = preprocess.shape
    size = w.integers(f"{PREFIX}size", *shape[1:])
    new = size if preprocess.resize == SQUASH else _scaled_size(w, pixels, preprocess, size)
    others = w.add("Shape", f"{PREFIX}batch_and_channels", pixels, start=0, end=2)
    sizes = w.add("Concat", f"{PREFIX}sizes", others, new, axis=0)
    picture = w.add("Resize", f"{PREFIX}scaled", pixels, "", "", sizes, mode="linear", antialias=1, exclude_outside=1)
    if preprocess.resize == COVER_CROP:
        start = _half(w, w.add("Sub", f"{PREFIX}more", new, size))
        end = w.add("Add", f"{PREFIX}end", start, size)
        picture = w.add("Slice", f"{PREFIX}cut", picture, start, end, w.integers(f"{PREFIX}axes", 2, 3))
    elif preprocess.resize == PAD:
        picture = _padded(w, picture, sizes, preprocess, (size, new))
    # It has this size; saying so tells runtimes every size behind it.
    return w.add("Reshape", f"{PREFIX}picture", picture, w.integers(f"{PREFIX}shape", -1, *shape))


def _scaled_size(w: Writer, pixels: str, preprocess: Preprocess, size: str) -> str:
    """Write what computes the height and width that pictures are scaled to, to cover a size or to fit into it."""
    covers = preprocess.resize == COVER_CROP
    old = w.add("Shape", f"{PREFIX}old_size", pixels, start=2, end=4)
    exact = w.add("Cast", f"{PREFIX}old_size_exact", old, to=TensorProto.DOUBLE)
    wanted = w.constant(f"{PREFIX}size_exact", np.array(preprocess.shape[1:], dtype=np.float64))
    ratios = w.add("Div", f"{PREFIX}ratios", wanted, exact)
    axis = w.integers(f"{PREFIX}axis", 0)
    scale = w.add("ReduceMax" if covers else "ReduceMin", f"{PREFIX}scale", ratios, axis, keepdims=1)
    rounded = w.add("Round", f"{PREFIX}scaled_exact", w.add("Mul", f"{PREFIX}scaled_unrounded", exact, scale))
    new = w.add("Cast", f"{PREFIX}scaled_size", rounded, to=TensorProto.INT64)
    if covers:
        return w.add("Max", f"{PREFIX}new_size", new, size)
    some = w.add("Max", f"{PREFIX}some_size", new, w.integers(f"{PREFIX}one", 1))
    return w.add("Min", f"{PREFIX}new_size", some, size)


def _half(w: Writer, size: str) -> str:
    return w.add("Div", f"{PREFIX}start", size, w.integers(f"{PREFIX}two", 2))


def _padded(w: Writer, picture: str, sizes: str, preprocess: Preprocess, size_and_new: tuple[str, str]) -> str:
    """Write what lays pictures in the middle of the background.

    Args:
        w: what is written to.
        picture: the pictures.
        sizes: their shape.
        preprocess: says the background.
        size_and_new: height and width of the result, and of the pictures.
    """
    size, new = size_and_new
    missing = w.add("Sub", f"{PREFIX}missing", size, new)
    before = _half(w, missing)
    after = w.add("Sub", f"{PREFIX}after", missing, before)
    none = w.integers(f"{PREFIX}none", 0, 0)
    pads = w.add("Concat", f"{PREFIX}pads", none, before, none, after, axis=0)
    one = helper.make_tensor("value", TensorProto.UINT8, [1], [1])
    inside = w.add("Pad", f"{PREFIX}inside", w.add("ConstantOfShape", f"{PREFIX}ones", sizes, value=one), pads)
    wide = w.add("Pad", f"{PREFIX}wide", picture, pads)
    colour = np.array(preprocess.reading.colour, dtype=np.uint8).reshape(-1, 1, 1)
    background = w.constant(f"{PREFIX}background", colour)
    return w.add(
        "Where", f"{PREFIX}padded", w.add("Cast", f"{PREFIX}mask", inside, to=TensorProto.BOOL), wide, background
    )
