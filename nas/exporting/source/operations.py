"""Each primitive operation in plain torch: a layer that the constructor makes, or a formula in `forward`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch

from nas.exporting.source.definitions import DEFINITIONS
from nas.exporting.source.expressions import Argument, Make, Plain, Role, scalar
from nas.network import ops
from nas.network.ops import Shape


@dataclass(frozen=True, slots=True)
class Layer:
    """An operation that is a module, made in the constructor and called in `forward`."""

    make: Make
    """How it is made, e.g. `nn.Conv2d(16, 32, 3)`."""
    state: tuple[str, ...] = ()
    """Its entries in a state dict, e.g. `weight` and `bias`, named as in the module that `nas.build` makes."""
    definition: str = ""
    """Text of its class where torch has none."""


@dataclass(frozen=True, slots=True)
class Formula:
    """An operation without parameters or state, written where it is computed."""

    text: str
    """Python with `{0}`, `{1}`, ... for what it reads, `{inputs}` for all with commas between, `{terms}` for all with
    plus signs between, and the names of its arguments in braces."""
    arguments: tuple[Argument, ...] = ()
    """Values in the text."""
    definition: str = ""
    """Text of a function that it calls."""


@singledispatch
def write(op: ops.Op, shapes: tuple[Shape, ...]) -> Layer | Formula:
    """Say how an operation that reads values of these shapes stands in model.py.

    Register others with `write.register`.
    """
    raise AssertionError(f"no source for {op!r}")


def has_source(op: ops.Op) -> bool:
    """Whether there is a function that writes an operation; that of a base class of nas does not count for a user's."""
    written = next((kind for kind in type(op).__mro__ if kind in write.registry), object)
    return written is not object and (type(op) in ops.BUILT_IN or written not in ops.BUILT_IN)


def _given(name: str, value: Plain, role: Role = "other") -> Argument:
    """An argument without its name, as is usual for the first ones."""
    return Argument(name, scalar(value), role, positional=True)


def _named(name: str, value: Plain, role: Role = "other", default: Plain = None) -> Argument:
    """An argument with its name, left out at torch's default."""
    return Argument(name, scalar(value), role, default=default)


def _layer(head: str, *arguments: Argument, state: tuple[str, ...] = ()) -> Layer:
    return Layer(Make(head, arguments), state, DEFINITIONS.get(head, ""))


def _state(bias: bool) -> tuple[str, ...]:
    return ("weight", "bias") if bias else ("weight",)


@write.register
def _(op: ops.Conv, shapes: tuple[Shape, ...]) -> Layer:
    return _layer(
        f"nn.Conv{len(op.kernel)}d",
        _given("in_channels", op.in_channels, "in_channels"),
        _given("out_channels", op.out_channels, "out_channels"),
        _given("kernel_size", op.kernel, "kernel_size"),
        _named("stride", op.stride, "stride", 1),
        _named("padding", op.padding, "padding", 0),
        _named("dilation", op.dilation, "dilation", 1),
        _named("groups", op.groups, "groups", 1),
        _named("bias", op.bias, default=True),
        state=_state(op.bias),
    )


@write.register
def _(op: ops.ConvTranspose, shapes: tuple[Shape, ...]) -> Layer:
    return _layer(
        f"nn.ConvTranspose{len(op.kernel)}d",
        _given("in_channels", op.in_channels, "in_channels"),
        _given("out_channels", op.out_channels, "out_channels"),
        _given("kernel_size", op.kernel, "kernel_size"),
        _named("stride", op.stride, "stride", 1),
        _named("padding", op.padding, default=0),
        _named("bias", op.bias, default=True),
        state=_state(op.bias),
    )


@write.register
def _(op: ops.Linear, shapes: tuple[Shape, ...]) -> Layer:
    return _layer(
        "nn.Linear",
        _given("in_features", op.in_features, "in_channels"),
        _given("out_features", op.out_features, "out_channels"),
        _named("bias", op.bias, default=True),
        state=_state(op.bias),
    )


@write.register
def _(op: ops.Blur, shapes: tuple[Shape, ...]) -> Layer:
    return _layer(
        "BlurPool",
        _given("channels", op.channels, "channels"),
        Argument("kernel_size", op.kernel, positional=True),
        Argument("stride", op.stride),
        state=("filter",),
    )


@write.register
def _(op: ops.BatchNorm, shapes: tuple[Shape, ...]) -> Layer:
    return _layer(
        f"nn.BatchNorm{max(1, op.spatial_dims)}d",
        _given("num_features", op.channels, "channels"),
        _named("affine", op.affine, default=True),
        state=(*(_state(True) if op.affine else ()), "running_mean", "running_var", "num_batches_tracked"),
    )


@write.register
def _(op: ops.GroupNorm, shapes: tuple[Shape, ...]) -> Layer:
    groups, channels = _given("num_groups", op.groups), _given("num_channels", op.channels, "channels")
    return _layer("nn.GroupNorm", groups, channels, state=_state(True))


@write.register
def _(op: ops.LayerNorm, shapes: tuple[Shape, ...]) -> Layer:
    head = "MapLayerNorm" if op.of_map else "nn.LayerNorm"
    return _layer(head, _given("channels", op.channels, "channels"), _named("eps", 1e-6), state=_state(True))


@write.register
def _(op: ops.LocalResponseNorm, shapes: tuple[Shape, ...]) -> Layer:
    numbers = (_named(name, value) for name, value in (("alpha", op.alpha), ("beta", op.beta), ("k", op.k)))
    return _layer("nn.LocalResponseNorm", _given("size", op.size), *numbers)


@write.register
def _(op: ops.LayerScale, shapes: tuple[Shape, ...]) -> Layer:
    dims = len(shapes[0]) - 1 if op.of_map else 0
    return _layer(
        "LayerScale",
        _given("channels", op.channels, "channels"),
        _named("initial", op.initial),
        _named("map_dims", dims, default=0),
        state=("weight",),
    )


_ACTIVATIONS = {
    "relu": "ReLU",
    "relu6": "ReLU6",
    "silu": "SiLU",
    "hardswish": "Hardswish",
    "gelu": "GELU",
    "sigmoid": "Sigmoid",
    "hardsigmoid": "Hardsigmoid",
    "tanh": "Tanh",
}


@write.register
def _(op: ops.Activation, shapes: tuple[Shape, ...]) -> Layer:
    """`in_place` of the node becomes the argument `inplace`, where torch has one."""
    in_place = (_named("inplace", False, "inplace", False),) if op.memory == "in_place" else ()
    return _layer(f"nn.{_ACTIVATIONS[op.kind]}", *in_place)


@write.register
def _(op: ops.MaxPool, shapes: tuple[Shape, ...]) -> Layer:
    return _layer(
        f"nn.MaxPool{len(op.kernel)}d",
        _given("kernel_size", op.kernel, "kernel_size"),
        _named("stride", op.stride, "stride"),
        _named("padding", op.padding, "padding", 0),
        _named("ceil_mode", op.ceil, default=False),
    )


@write.register
def _(op: ops.AvgPool, shapes: tuple[Shape, ...]) -> Layer:
    return _layer(
        f"nn.AvgPool{len(op.kernel)}d",
        _given("kernel_size", op.kernel, "kernel_size"),
        _named("stride", op.stride, "stride"),
        _named("padding", op.padding, "padding", 0),
        _named("ceil_mode", op.ceil, default=False),
        _named("count_include_pad", op.count_padding, default=True),
    )


@write.register
def _(op: ops.AdaptiveAvgPool, shapes: tuple[Shape, ...]) -> Layer:
    return _layer(f"nn.AdaptiveAvgPool{len(op.size)}d", _given("output_size", op.size))


@write.register(ops.GlobalAvgPool)
@write.register(ops.GlobalMaxPool)
def _(op: ops.Op, shapes: tuple[Shape, ...]) -> Layer:
    kind = "Avg" if isinstance(op, ops.GlobalAvgPool) else "Max"
    return _layer(f"nn.Adaptive{kind}Pool{len(shapes[0]) - 1}d", _given("output_size", 1))


@write.register
def _(op: ops.Flatten, shapes: tuple[Shape, ...]) -> Layer:
    return _layer("nn.Flatten")


@write.register
def _(op: ops.Dropout, shapes: tuple[Shape, ...]) -> Layer:
    return _layer("nn.Dropout", _given("p", op.rate))


@write.register
def _(op: ops.DropPath, shapes: tuple[Shape, ...]) -> Layer:
    return _layer("DropPath", _given("p", op.rate))


@write.register
def _(op: ops.ClassToken, shapes: tuple[Shape, ...]) -> Layer:
    return _layer("ClassToken", _given("features", op.features, "channels"), state=("token",))


@write.register
def _(op: ops.PositionEmbedding, shapes: tuple[Shape, ...]) -> Layer:
    features = _given("features", op.features, "channels")
    return _layer("PositionEmbedding", _given("tokens", op.tokens), features, state=("weight",))


@write.register
def _(op: ops.SelfAttention, shapes: tuple[Shape, ...]) -> Layer:
    return _layer("MultiHeadAttention", _named("num_heads", op.heads))


@write.register
def _(op: ops.Add, shapes: tuple[Shape, ...]) -> Formula:
    return Formula("{terms}" if len(shapes) > 1 else "{0}.clone()")


@write.register
def _(op: ops.Scale, shapes: tuple[Shape, ...]) -> Formula:
    return Formula("{0} * {1}")


@write.register
def _(op: ops.Zero, shapes: tuple[Shape, ...]) -> Formula:
    return Formula("zeros({0}, {shape})", (Argument("shape", op.shape),), DEFINITIONS["zeros"])


@write.register
def _(op: ops.Concat, shapes: tuple[Shape, ...]) -> Formula:
    return Formula("torch.cat([{inputs}], dim=1)")


@write.register
def _(op: ops.Pad, shapes: tuple[Shape, ...]) -> Formula:
    sides = tuple(side for pair in zip(reversed(op.before), reversed(op.after), strict=True) for side in pair)
    return Formula("F.pad({0}, {pad})", (Argument("pad", sides),))


@write.register
def _(op: ops.Crop, shapes: tuple[Shape, ...]) -> Formula:
    return Formula("crop({0}, like={1})", (), DEFINITIONS["crop"])


@write.register
def _(op: ops.ChannelPad, shapes: tuple[Shape, ...]) -> Formula:
    return Formula(
        "pad_channels({0}, {channels}, stride={stride})",
        (Argument("channels", op.out_channels, "out_channels"), Argument("stride", op.stride, "stride")),
        DEFINITIONS["pad_channels"],
    )


@write.register
def _(op: ops.ChannelShuffle, shapes: tuple[Shape, ...]) -> Formula:
    groups = Argument("groups", op.groups, "groups")
    return Formula("shuffle_channels({0}, {groups})", (groups,), DEFINITIONS["shuffle_channels"])


@write.register
def _(op: ops.Upsample, shapes: tuple[Shape, ...]) -> Formula:
    return Formula('F.interpolate({0}, size={size}, mode="nearest")', (Argument("size", op.size),))


@write.register
def _(op: ops.UpsampleBilinear, shapes: tuple[Shape, ...]) -> Formula:
    return Formula('F.interpolate({0}, size={size}, mode="bilinear")', (Argument("size", op.size),))


@write.register
def _(op: ops.ToTokens, shapes: tuple[Shape, ...]) -> Formula:
    return Formula("{0}.flatten(2).transpose(1, 2)")


@write.register
def _(op: ops.MeanToken, shapes: tuple[Shape, ...]) -> Formula:
    return Formula("{0}.mean(dim=1)")


@write.register
def _(op: ops.TakeToken, shapes: tuple[Shape, ...]) -> Formula:
    return Formula("{0}[:, 0]")
