"""Each primitive operation in torch: a module with its parameters or state, or calls of functions."""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from nas.network import ops
from nas.pytorch import layers

# Torch's stubs want one size a dimension; with `spatial_dims` known only here, `...` stands for that.
_CONV: dict[int, Callable[..., nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_CONV_TRANSPOSE: dict[int, Callable[..., nn.Module]] = {
    1: nn.ConvTranspose1d,
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}
_BATCH_NORM = {0: nn.BatchNorm1d, 1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_MAX_POOL = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
_AVG_POOL: dict[int, Callable[..., nn.Module]] = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
_ADAPTIVE_AVG_POOL: dict[int, Callable[..., nn.Module]] = {
    1: nn.AdaptiveAvgPool1d,
    2: nn.AdaptiveAvgPool2d,
    3: nn.AdaptiveAvgPool3d,
}
_GLOBAL_MAX_POOL = {1: nn.AdaptiveMaxPool1d, 2: nn.AdaptiveMaxPool2d, 3: nn.AdaptiveMaxPool3d}

_ACTIVATIONS: dict[str, Callable[[bool], nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": lambda inplace: layers.InPlaceInInference(F.relu6) if inplace else nn.ReLU6(),
    "silu": lambda inplace: layers.InPlaceInInference(F.silu) if inplace else nn.SiLU(),
    "hardswish": lambda inplace: layers.InPlaceInInference(F.hardswish) if inplace else nn.Hardswish(),
    "gelu": lambda inplace: nn.GELU(),
    "sigmoid": lambda inplace: nn.Sigmoid(),
    "hardsigmoid": lambda inplace: layers.InPlaceInInference(F.hardsigmoid) if inplace else nn.Hardsigmoid(),
    "tanh": lambda inplace: nn.Tanh(),
}


FUNCTIONS: dict[str, Callable[..., Any]] = {"add": torch.add, "mul": torch.mul}
"""The functions that `call_of` names by a word; other words are methods of a tensor."""


@singledispatch
def module_of(op: ops.Op, spatial_dims: int, inplace: bool) -> nn.Module | None:
    """Return the torch module of an operation, or None where it is a function of `call_of`.

    Args:
        op: the operation.
        spatial_dims: map dimensions of the value it reads.
        inplace: whether it may overwrite the value it reads.
    """
    return None


def _convolution(op: ops.Conv) -> Callable[..., nn.Module]:
    """Return the module of a convolution: torch's own, but where that is slow or wrong."""
    if len(op.kernel) != 2:
        return _CONV[len(op.kernel)]
    if op.groups == op.in_channels == op.out_channels > 1:
        return layers.DepthwiseConv2d
    return layers.StridedPointwiseConv2d if op.overwrites_memory else _CONV[2]


@module_of.register
def _(op: ops.Conv, spatial_dims: int, inplace: bool) -> nn.Module:
    return _convolution(op)(
        op.in_channels,
        op.out_channels,
        op.kernel,
        stride=op.stride,
        padding=op.padding,
        dilation=op.dilation,
        groups=op.groups,
        bias=op.bias,
    )


@module_of.register
def _(op: ops.ConvTranspose, spatial_dims: int, inplace: bool) -> nn.Module:
    return _CONV_TRANSPOSE[len(op.kernel)](
        op.in_channels, op.out_channels, op.kernel, stride=op.stride, padding=op.padding, bias=op.bias
    )


@module_of.register
def _(op: ops.Linear, spatial_dims: int, inplace: bool) -> nn.Module:
    return nn.Linear(op.in_features, op.out_features, bias=op.bias)


@module_of.register
def _(op: ops.Blur, spatial_dims: int, inplace: bool) -> nn.Module:
    return layers.Blur(op.channels, op.kernel, op.stride)


@module_of.register
def _(op: ops.BatchNorm, spatial_dims: int, inplace: bool) -> nn.Module:
    return _BATCH_NORM[op.spatial_dims](op.channels, affine=op.affine)


@module_of.register
def _(op: ops.GroupNorm, spatial_dims: int, inplace: bool) -> nn.Module:
    return nn.GroupNorm(op.groups, op.channels)


@module_of.register
def _(op: ops.LayerNorm, spatial_dims: int, inplace: bool) -> nn.Module:
    return layers.MapLayerNorm(op.channels, eps=1e-6) if op.of_map else nn.LayerNorm(op.channels, eps=1e-6)


@module_of.register
def _(op: ops.LocalResponseNorm, spatial_dims: int, inplace: bool) -> nn.Module:
    return nn.LocalResponseNorm(op.size, alpha=op.alpha, beta=op.beta, k=op.k)


@module_of.register
def _(op: ops.LayerScale, spatial_dims: int, inplace: bool) -> nn.Module:
    return layers.LayerScale(op.channels, op.initial, spatial_dims if op.of_map else 0)


@module_of.register
def _(op: ops.Activation, spatial_dims: int, inplace: bool) -> nn.Module:
    return _ACTIVATIONS[op.kind](inplace)


@module_of.register
def _(op: ops.MaxPool, spatial_dims: int, inplace: bool) -> nn.Module:
    return _MAX_POOL[len(op.kernel)](op.kernel, op.stride, op.padding, ceil_mode=op.ceil)


@module_of.register
def _(op: ops.AvgPool, spatial_dims: int, inplace: bool) -> nn.Module:
    return _AVG_POOL[len(op.kernel)](op.kernel, op.stride, op.padding, op.ceil, op.count_padding)


@module_of.register
def _(op: ops.AdaptiveAvgPool, spatial_dims: int, inplace: bool) -> nn.Module:
    return _ADAPTIVE_AVG_POOL[len(op.size)](op.size)


@module_of.register
def _(op: ops.GlobalAvgPool, spatial_dims: int, inplace: bool) -> nn.Module:
    return layers.GlobalAvgPool()


@module_of.register
def _(op: ops.GlobalMaxPool, spatial_dims: int, inplace: bool) -> nn.Module:
    return _GLOBAL_MAX_POOL[spatial_dims](1)


@module_of.register
def _(op: ops.Flatten, spatial_dims: int, inplace: bool) -> nn.Module:
    return nn.Flatten()


@module_of.register
def _(op: ops.Dropout, spatial_dims: int, inplace: bool) -> nn.Module:
    return nn.Dropout(op.rate)


@module_of.register
def _(op: ops.DropPath, spatial_dims: int, inplace: bool) -> nn.Module:
    return layers.DropPath(op.rate)


@module_of.register
def _(op: ops.ClassToken, spatial_dims: int, inplace: bool) -> nn.Module:
    return layers.ClassToken(op.features)


@module_of.register
def _(op: ops.PositionEmbedding, spatial_dims: int, inplace: bool) -> nn.Module:
    return layers.PositionEmbedding(op.tokens, op.features)


@module_of.register
def _(op: ops.SelfAttention, spatial_dims: int, inplace: bool) -> nn.Module:
    return layers.SelfAttention(op.heads)


def is_module(op: ops.Op) -> bool:
    """Whether the code of an operation is a module: that of its class, or of the nearest above it that has code."""
    coded = {*module_of.registry, *call_of.registry} - {ops.Op}
    return next((kind in module_of.registry for kind in type(op).__mro__ if kind in coded), True)


@singledispatch
def call_of(op: ops.Op, x: Any, *others: Any, inplace: bool, call: Callable[..., Any]) -> Any:
    """Write an operation without parameters or state as calls of torch functions.

    Args:
        op: the operation.
        x: what it reads first.
        others: what it reads beside that.
        inplace: whether it may overwrite `x`.
        call: `call(function, args, kwargs)` writes one call and returns its value.
    """
    raise AssertionError(f"no torch code for {op!r}")


@call_of.register
def _(op: ops.Add, x: Any, *others: Any, inplace: bool, call: Callable[..., Any]) -> Any:
    if not others:  # a value of its own, which what follows may overwrite
        return x if inplace else call("clone", (x,))
    for index, other in enumerate(others):
        x = call("add_" if inplace or index else "add", (x, other))
    return x


@call_of.register
def _(op: ops.Scale, x: Any, *others: Any, inplace: bool, call: Callable[..., Any]) -> Any:
    return call("mul", (x, *others))


@call_of.register
def _(op: ops.Zero, x: Any, *others: Any, inplace: bool, call: Callable[..., Any]) -> Any:
    return call(layers.zeros, (x, op.shape))


@call_of.register
def _(op: ops.Concat, x: Any, *others: Any, inplace: bool, call: Callable[..., Any]) -> Any:
    return call(torch.cat, ([x, *others], 1))


@call_of.register
def _(op: ops.Pad, x: Any, *others: Any, inplace: bool, call: Callable[..., Any]) -> Any:
    sides = [side for pair in zip(reversed(op.before), reversed(op.after), strict=True) for side in pair]
    return call(F.pad, (x, sides))


@call_of.register
def _(op: ops.Crop, x: Any, *others: Any, inplace: bool, call: Callable[..., Any]) -> Any:
    return call(layers.crop, (x, *others))


@call_of.register
def _(op: ops.ChannelPad, x: Any, *others: Any, inplace: bool, call: Callable[..., Any]) -> Any:
    return call(layers.channel_pad, (x, op.out_channels, op.stride))


@call_of.register
def _(op: ops.ChannelShuffle, x: Any, *others: Any, inplace: bool, call: Callable[..., Any]) -> Any:
    return call(layers.channel_shuffle, (x, op.groups))


@call_of.register
def _(op: ops.Upsample, x: Any, *others: Any, inplace: bool, call: Callable[..., Any]) -> Any:
    return call(F.interpolate, (x,), {"size": op.size, "mode": "nearest"})


@call_of.register
def _(op: ops.UpsampleBilinear, x: Any, *others: Any, inplace: bool, call: Callable[..., Any]) -> Any:
    return call(F.interpolate, (x,), {"size": op.size, "mode": "bilinear"})


@call_of.register
def _(op: ops.ToTokens, x: Any, *others: Any, inplace: bool, call: Callable[..., Any]) -> Any:
    return call("transpose", (call("flatten", (x, 2)), 1, 2))


@call_of.register
def _(op: ops.MeanToken, x: Any, *others: Any, inplace: bool, call: Callable[..., Any]) -> Any:
    return call("mean", (x, 1))


@call_of.register
def _(op: ops.TakeToken, x: Any, *others: Any, inplace: bool, call: Callable[..., Any]) -> Any:
    return call("select", (x, 1, 0))
