"""Residual blocks with the activation before the convolution: He et al. 2016, "Identity mappings in deep residual
networks". A network of them ends with `norm_act`.
"""

from __future__ import annotations

from nas.network import ops
from nas.network.builder import GraphBuilder, Value
from nas.network.registry import block
from nas.network.settings import ActivationKind, Channels, Count, NormKind, OddKernel, Rate, Reduction


def _ready(g: GraphBuilder, x: Value, norm: str | None, activation: str | None) -> Value:
    with g.scope("preact"):
        return g.activation(g.norm(x, norm), activation)


def _shortcut(g: GraphBuilder, x: Value, ready: Value, out_channels: int, stride: int) -> Value:
    """The input itself, or where the shape changes a 1x1 convolution of its activation."""
    if stride == 1 and x.channels == out_channels:
        return x
    return g.conv(ready, out_channels, 1, stride=stride, name="shortcut")


@block
def preact_basic(
    g: GraphBuilder,
    x: Value,
    *,
    out_channels: Channels,
    kernel: OddKernel = 3,
    stride: Count = 1,
    dropout: Rate = 0.0,
    drop_path: Rate = 0.0,
    norm: NormKind = "batch",
    activation: ActivationKind = "relu",
) -> Value:
    """conv2(act(norm(conv1(act(norm(x)))))) + x: (C, H, W) -> (out_channels, H / stride, W / stride).

    He et al. 2016, figure 4e; with wide channels and `dropout` the block of Zagoruyko & Komodakis 2016.
    """
    ready = _ready(g, x, norm, activation)
    y = g.conv(ready, out_channels, kernel, stride=stride, name="conv1")
    with g.scope("middle"):
        y = g.dropout(g.activation(g.norm(y, norm), activation), dropout)
    y = g.conv(y, out_channels, kernel, name="conv2")
    return g.add("add", ops.Add(), g.drop_path(y, drop_path), _shortcut(g, x, ready, out_channels, stride))


@block
def preact_bottleneck(
    g: GraphBuilder,
    x: Value,
    *,
    out_channels: Channels,
    kernel: OddKernel = 3,
    stride: Count = 1,
    reduction: Reduction = 4.0,
    drop_path: Rate = 0.0,
    norm: NormKind = "batch",
    activation: ActivationKind = "relu",
) -> Value:
    """expand(conv(reduce(x))) + x with norm and activation before each: (C, H, W) -> (out_channels, H / stride, ...).

    He et al. 2016, section 5 (ResNet-164 and deeper). Inner width: out_channels / reduction.
    """
    inner = max(1, round(out_channels / reduction))
    ready = _ready(g, x, norm, activation)
    y = g.conv(ready, inner, 1, name="reduce")
    y = g.norm_act_conv(y, inner, kernel, stride=stride, norm=norm, activation=activation, name="conv")
    y = g.norm_act_conv(y, out_channels, norm=norm, activation=activation, name="expand")
    return g.add("add", ops.Add(), g.drop_path(y, drop_path), _shortcut(g, x, ready, out_channels, stride))
