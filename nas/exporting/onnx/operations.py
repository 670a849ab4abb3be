"""Each primitive operation in ONNX's operators."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from math import prod

import numpy as np

from nas.exporting.onnx.writer import Writer
from nas.network import ops


@singledispatch
def write(op: ops.Op, w: Writer) -> str:
    """Write an operation and return the name of its output."""
    raise AssertionError(f"no ONNX for {op!r}")


def has_onnx(op: ops.Op) -> bool:
    """Whether there is a function that writes an operation; that of a base class of nas does not count for a user's."""
    written = next((kind for kind in type(op).__mro__ if kind in write.registry), object)
    return written is not object and (type(op) in ops.BUILT_IN or written not in ops.BUILT_IN)


@write.register
def _(op: ops.Conv, w: Writer) -> str:
    reads = [w.x, w.parameter("weight")]
    if op.bias:
        reads.append(w.parameter("bias"))
    return w.add(
        "Conv",
        w.name,
        *reads,
        kernel_shape=op.kernel,
        strides=op.stride,
        pads=(*op.padding, *op.padding),
        dilations=op.dilation,
        group=op.groups,
    )


@write.register
def _(op: ops.ConvTranspose, w: Writer) -> str:
    reads = [w.x, w.parameter("weight")]
    if op.bias:
        reads.append(w.parameter("bias"))
    return w.add(
        "ConvTranspose", w.name, *reads, kernel_shape=op.kernel, strides=op.stride, pads=(*op.padding, *op.padding)
    )


@write.register
def _(op: ops.Linear, w: Writer) -> str:
    weight = w.array("weight")
    bias = [w.parameter("bias")] if op.bias else []
    if len(w.shapes[0]) == 1:
        return w.add("Gemm", w.name, w.x, w.constant(f"{w.name}.weight", weight), *bias, transB=1)
    product = w.add("MatMul", f"{w.name}.product" if bias else w.name, w.x, w.constant(f"{w.name}.weight", weight.T))
    return w.add("Add", w.name, product, *bias) if bias else product


@write.register
def _(op: ops.Blur, w: Writer) -> str:
    sides = [(k - 1) // 2 for k in op.kernel]
    pads = w.integers(f"{w.name}.pads", 0, 0, *sides, 0, 0, *sides)
    padded = w.add("Pad", f"{w.name}.padded", w.x, pads, mode="reflect")
    kernel = w.parameter("filter")
    return w.add("Conv", w.name, padded, kernel, kernel_shape=op.kernel, strides=op.stride, group=op.channels)


@write.register
def _(op: ops.BatchNorm, w: Writer) -> str:
    mean, var = w.array("running_mean"), w.array("running_var")
    scale = w.array("weight") if op.affine else np.ones_like(mean)
    shift = w.array("bias") if op.affine else np.zeros_like(mean)
    named = {"weight": scale, "bias": shift, "running_mean": mean, "running_var": var}
    return w.add(
        "BatchNormalization",
        w.name,
        w.x,
        *(w.constant(f"{w.name}.{key}", value) for key, value in named.items()),
        epsilon=1e-5,
    )


@write.register
def _(op: ops.GroupNorm, w: Writer) -> str:
    ones, zeros = np.ones(op.groups, dtype=np.float32), np.zeros(op.groups, dtype=np.float32)
    grouped = w.add("Reshape", f"{w.name}.groups", w.x, w.integers(f"{w.name}.grouped", 0, op.groups, -1))
    normal = w.add(
        "InstanceNormalization",
        f"{w.name}.normal",
        grouped,
        w.constant(f"{w.name}.ones", ones),
        w.constant(f"{w.name}.zeros", zeros),
        epsilon=1e-5,
    )
    back = w.add("Reshape", f"{w.name}.back", normal, w.integers(f"{w.name}.shape", -1, *w.out_shape))
    tail = (1,) * (len(w.out_shape) - 1)
    scale, shift = (w.array(key).reshape(-1, *tail) for key in ("weight", "bias"))
    scaled = w.add("Mul", f"{w.name}.scaled", back, w.constant(f"{w.name}.weight", scale))
    return w.add("Add", w.name, scaled, w.constant(f"{w.name}.bias", shift))


@write.register
def _(op: ops.LayerNorm, w: Writer) -> str:
    scale, shift = w.parameter("weight"), w.parameter("bias")
    if not op.of_map:
        return w.add("LayerNormalization", w.name, w.x, scale, shift, axis=-1, epsilon=1e-6)
    rank = len(w.out_shape) + 1
    last = w.add("Transpose", f"{w.name}.last", w.x, perm=(0, *range(2, rank), 1))
    normal = w.add("LayerNormalization", f"{w.name}.normal", last, scale, shift, axis=-1, epsilon=1e-6)
    return w.add("Transpose", w.name, normal, perm=(0, rank - 1, *range(1, rank - 1)))


@write.register
def _(op: ops.LocalResponseNorm, w: Writer) -> str:
    return w.add("LRN", w.name, w.x, size=op.size, alpha=op.alpha, beta=op.beta, bias=op.k)


@write.register
def _(op: ops.LayerScale, w: Writer) -> str:
    weight = w.array("weight")
    if op.of_map:
        weight = weight.reshape(-1, *(1,) * (len(w.out_shape) - 1))
    return w.add("Mul", w.name, w.x, w.constant(f"{w.name}.weight", weight))


@write.register
def _(op: ops.Activation, w: Writer) -> str:
    x = w.x
    if op.kind == "silu":
        return w.add("Mul", w.name, x, w.add("Sigmoid", f"{w.name}.gate", x))
    if op.kind == "relu6":
        low, high = (w.number(f"clip.{value}", value) for value in (0, 6))
        return w.add("Clip", w.name, x, low, high)
    if op.kind == "gelu":
        root, one, half = (w.number(f"gelu.{i}", value) for i, value in enumerate((2**0.5, 1, 0.5)))
        erf = w.add("Erf", f"{w.name}.erf", w.add("Div", f"{w.name}.scaled", x, root))
        return w.add("Mul", w.name, w.add("Mul", f"{w.name}.x", x, w.add("Add", f"{w.name}.one", erf, one)), half)
    if op.kind == "hardsigmoid":
        return w.add("HardSigmoid", w.name, x, alpha=1 / 6, beta=0.5)
    kinds = {"relu": "Relu", "hardswish": "HardSwish", "sigmoid": "Sigmoid", "tanh": "Tanh"}
    return w.add(kinds[op.kind], w.name, x)


@write.register
def _(op: ops.MaxPool, w: Writer) -> str:
    pads = (*op.padding, *op.padding)
    return w.add("MaxPool", w.name, w.x, kernel_shape=op.kernel, strides=op.stride, pads=pads, ceil_mode=int(op.ceil))


@write.register
def _(op: ops.AvgPool, w: Writer) -> str:
    return w.add(
        "AveragePool",
        w.name,
        w.x,
        kernel_shape=op.kernel,
        strides=op.stride,
        pads=(*op.padding, *op.padding),
        ceil_mode=int(op.ceil),
        count_include_pad=int(op.count_padding),
    )


@write.register
def _(op: ops.AdaptiveAvgPool, w: Writer) -> str:
    """A matrix product in each dimension, whose rows are the windows."""
    x, dims = w.x, len(op.size)
    for dim, (n, m) in enumerate(zip(w.shapes[0][1:], op.size, strict=True)):
        windows = np.zeros((n, m), dtype=np.float32)
        for i in range(m):
            start, end = i * n // m, -(-(i + 1) * n // m)
            windows[start:end, i] = 1 / (end - start)
        order = [*range(dims + 2)]
        order[dim + 2], order[-1] = order[-1], order[dim + 2]
        moved = w.add("Transpose", f"{w.name}.{dim}.to", x, perm=order)
        means = w.add("MatMul", f"{w.name}.{dim}.means", moved, w.constant(f"{w.name}.{dim}.windows", windows))
        x = w.add("Transpose", f"{w.name}.{dim}.back", means, perm=order)
    return x


@write.register
def _(op: ops.GlobalAvgPool, w: Writer) -> str:
    return w.add("GlobalAveragePool", w.name, w.x)


@write.register
def _(op: ops.GlobalMaxPool, w: Writer) -> str:
    return w.add("GlobalMaxPool", w.name, w.x)


@write.register
def _(op: ops.Flatten, w: Writer) -> str:
    return w.add("Flatten", w.name, w.x, axis=1)


@write.register(ops.Dropout)
@write.register(ops.DropPath)
def _(op: ops.Op, w: Writer) -> str:
    return w.x


@write.register
def _(op: ops.Add, w: Writer) -> str:
    return w.add("Add" if len(w.inputs) == 2 else "Sum", w.name, *w.inputs)


@write.register
def _(op: ops.Scale, w: Writer) -> str:
    return w.add("Mul", w.name, *w.inputs)


@write.register
def _(op: ops.Zero, w: Writer) -> str:
    """Zeros for each example: its first number times zero, shown everywhere."""
    flat = w.add("Reshape", f"{w.name}.flat", w.x, w.integers(f"{w.name}.row", 0, prod(w.shapes[0])))
    first = w.add("Slice", f"{w.name}.first", flat, *(w.integers(f"{w.name}.{i}", i) for i in (0, 1, 1)))
    nothing = w.add("Mul", f"{w.name}.nothing", first, w.number("zero", 0))
    point = w.add("Reshape", f"{w.name}.point", nothing, w.integers(f"{w.name}.ones", 0, *(1 for _ in w.out_shape)))
    return w.add("Expand", w.name, point, w.integers(f"{w.name}.shape", 1, *w.out_shape))


@write.register
def _(op: ops.Concat, w: Writer) -> str:
    return w.add("Concat", w.name, *w.inputs, axis=1)


@write.register
def _(op: ops.Pad, w: Writer) -> str:
    return w.add("Pad", w.name, w.x, w.integers(f"{w.name}.pads", 0, 0, *op.before, 0, 0, *op.after))


def _slice(w: Writer, name: str, *, starts: Sequence[int], ends: Sequence[int], steps: Sequence[int]) -> str:
    """Slice what an operation reads, in the dimensions behind batch and channels."""
    axes = range(2, 2 + len(starts))
    named = {"starts": starts, "ends": ends, "axes": axes, "steps": steps}
    return w.add("Slice", name, w.x, *(w.integers(f"{name}.{key}", *values) for key, values in named.items()))


@write.register
def _(op: ops.Crop, w: Writer) -> str:
    starts = [(big - small) // 2 for big, small in zip(w.shapes[0][1:], w.out_shape[1:], strict=True)]
    ends = [start + small for start, small in zip(starts, w.out_shape[1:], strict=True)]
    return _slice(w, w.name, starts=starts, ends=ends, steps=[1] * len(starts))


@write.register
def _(op: ops.ChannelPad, w: Writer) -> str:
    dims = len(w.out_shape) - 1
    thinned = _slice(w, f"{w.name}.thinned", starts=[0] * dims, ends=list(w.shapes[0][1:]), steps=[op.stride] * dims)
    more = op.out_channels - w.shapes[0][0]
    return w.add("Pad", w.name, thinned, w.integers(f"{w.name}.pads", *[0] * (dims + 2), 0, more, *[0] * dims))


@write.register
def _(op: ops.ChannelShuffle, w: Writer) -> str:
    groups, each, rest = op.groups, w.out_shape[0] // op.groups, prod(w.out_shape[1:])
    split = w.add("Reshape", f"{w.name}.split", w.x, w.integers(f"{w.name}.groups", 0, groups, each, rest))
    mixed = w.add("Transpose", f"{w.name}.mixed", split, perm=(0, 2, 1, 3))
    return w.add("Reshape", w.name, mixed, w.integers(f"{w.name}.shape", 0, *w.out_shape))


@write.register
def _(op: ops.Upsample, w: Writer) -> str:
    how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return w.add("Resize", w.name, w.x, "", _scales(w), mode="nearest", **how)


@write.register
def _(op: ops.UpsampleBilinear, w: Writer) -> str:
    how = {"coordinate_transformation_mode": "pytorch_half_pixel"}
    return w.add("Resize", w.name, w.x, "", _scales(w), mode="linear", **how)


def _scales(w: Writer) -> str:
    """Write the factors of a resize: onnxruntime's quantisation knows no sizes in their place.

    A size is the factor, which has 32 bits, times what there is, rounded down: one that falls short is taken up.
    """
    scales = [np.float32(1), np.float32(1)]
    for new, old in zip(w.out_shape[1:], w.shapes[0][1:], strict=True):
        scale = np.float32(new / old)
        if float(scale) * old < new:
            scale = np.nextafter(scale, np.float32(np.inf))
        scales.append(scale)
    return w.constant(f"{w.name}.scales", np.array(scales, dtype=np.float32))


@write.register
def _(op: ops.ToTokens, w: Writer) -> str:
    flat = w.add("Reshape", f"{w.name}.flat", w.x, w.integers(f"{w.name}.shape", 0, w.shapes[0][0], -1))
    return w.add("Transpose", w.name, flat, perm=(0, 2, 1))


@write.register
def _(op: ops.ClassToken, w: Writer) -> str:
    """The token for each example: its first token times zero, plus the learned one."""
    first = w.add(
        "Slice", f"{w.name}.first", w.x, *(w.integers(f"{w.name}.{i}", i) for i in (0, 1)), w.integers(f"{w.name}.1", 1)
    )
    nothing = w.add("Mul", f"{w.name}.nothing", first, w.number("zero", 0))
    token = w.add("Add", f"{w.name}.each", nothing, w.parameter("token"))
    return w.add("Concat", w.name, token, w.x, axis=1)


@write.register
def _(op: ops.PositionEmbedding, w: Writer) -> str:
    return w.add("Add", w.name, w.x, w.parameter("weight"))


@write.register
def _(op: ops.MeanToken, w: Writer) -> str:
    return w.add("ReduceMean", w.name, w.x, w.integers(f"{w.name}.axes", 1), keepdims=0)


@write.register
def _(op: ops.TakeToken, w: Writer) -> str:
    return w.add("Gather", w.name, w.x, w.constant(f"{w.name}.index", np.array(0, dtype=np.int64)), axis=1)


@write.register
def _(op: ops.SelfAttention, w: Writer) -> str:
    tokens, features = w.out_shape
    each = features // op.heads
    split = w.add("Reshape", f"{w.name}.split", w.x, w.integers(f"{w.name}.heads", 0, tokens, 3, op.heads, each))
    parts = w.add("Transpose", f"{w.name}.parts", split, perm=(2, 0, 3, 1, 4))
    q, k, v = (
        w.add("Gather", f"{w.name}.{part}", parts, w.constant(f"index.{i}", np.array(i, dtype=np.int64)), axis=0)
        for i, part in enumerate("qkv")
    )
    scores = w.add("MatMul", f"{w.name}.scores", q, w.add("Transpose", f"{w.name}.kt", k, perm=(0, 1, 3, 2)))
    scaled = w.add("Mul", f"{w.name}.scaled", scores, w.number(f"{w.name}.scale", each**-0.5))
    mixed = w.add("MatMul", f"{w.name}.mixed", w.add("Softmax", f"{w.name}.shares", scaled, axis=-1), v)
    together = w.add("Transpose", f"{w.name}.together", mixed, perm=(0, 2, 1, 3))
    return w.add("Reshape", w.name, together, w.integers(f"{w.name}.shape", 0, tokens, features))
