"""What each primitive operation is in torch: a module with its parameters, or a plain function."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import singledispatch
from typing import Any

from torch import nn

from nas.network import ops

# Torch's stubs want one size a dimension; with `spatial_dims` known only here, `...` stands for that.
_CONV: dict[int, Callable[..., nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_BATCH_NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_MAX_POOL = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
_GLOBAL_AVG_POOL = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}

_ACTIVATIONS: dict[str, Callable[[bool], nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "silu": nn.SiLU,
    "hardswish": nn.Hardswish,
    "gelu": lambda inplace: nn.GELU(),
    "sigmoid": lambda inplace: nn.Sigmoid(),
    "hardsigmoid": nn.Hardsigmoid,
}

FUNCTIONS: dict[type[ops.Op], Callable[..., Any]] = {ops.Add: operator.add, ops.Scale: operator.mul}
"""Operations without parameters or state that read several values."""


@singledispatch
def module_of(op: ops.Op, spatial_dims: int, inplace: bool) -> nn.Module:
    """Return the torch module of an operation.

    Args:
        op: the operation; one of `FUNCTIONS` has none.
        spatial_dims: map dimensions of the value it reads.
        inplace: whether an activation may overwrite the value it reads.
    """
    raise AssertionError(f"no torch module for {op!r}")


@module_of.register
def _(op: ops.Conv, spatial_dims: int, inplace: bool) -> nn.Module:
    return _CONV[spatial_dims](
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
def _(op: ops.Linear, spatial_dims: int, inplace: bool) -> nn.Module:
    return nn.Linear(op.in_features, op.out_features, bias=op.bias)


@module_of.register
def _(op: ops.BatchNorm, spatial_dims: int, inplace: bool) -> nn.Module:
    return _BATCH_NORM[op.spatial_dims](op.channels)


@module_of.register
def _(op: ops.Activation, spatial_dims: int, inplace: bool) -> nn.Module:
    return _ACTIVATIONS[op.kind](inplace)


@module_of.register
def _(op: ops.MaxPool, spatial_dims: int, inplace: bool) -> nn.Module:
    return _MAX_POOL[spatial_dims](op.kernel, op.stride, op.padding)


@module_of.register
def _(op: ops.GlobalAvgPool, spatial_dims: int, inplace: bool) -> nn.Module:
    return _GLOBAL_AVG_POOL[spatial_dims](1)


@module_of.register
def _(op: ops.Flatten, spatial_dims: int, inplace: bool) -> nn.Module:
    return nn.Flatten()


@module_of.register
def _(op: ops.Dropout, spatial_dims: int, inplace: bool) -> nn.Module:
    return nn.Dropout(op.rate)
