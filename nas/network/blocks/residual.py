"""Residual blocks: He et al. 2016, "Deep residual learning for image recognition"."""

from __future__ import annotations

from typing import Literal

from nas.network import ops
from nas.network.blocks.pool import blur
from nas.network.blocks.squeeze_excite import squeeze_excite, squeeze_width
from nas.network.builder import GraphBuilder, Value
from nas.network.registry import block
from nas.network.settings import ActivationKind, Channels, Count, NormKind, OddKernel, Rate, Ratio, Reduction

Shortcut = Literal["projection", "zero_pad"]
"""How the input gets the shape of the branch: a 1x1 convolution (option B), or zeros (option A)."""


def _shortcut(
    g: GraphBuilder, x: Value, y: Value, *, stride: int, kind: str, norm: str | None, anti_alias: bool
) -> Value:
    """The input in the shape of `y`: as it is, by a 1x1 convolution (option B), or with zeros (option A)."""
    if x.shape == y.shape and stride == 1:
        return x
    if anti_alias and stride > 1:
        x, stride = blur(g, x, 3, stride, name="shortcut_blur"), 1
    if kind == "zero_pad":
        return g.add("shortcut", ops.ChannelPad(y.channels, stride), x)
    return g.conv_norm_act(x, y.channels, stride=stride, norm=norm, name="shortcut")


def _smoothed(g: GraphBuilder, y: Value, stride: int) -> Value:
    """Subsampled by blurring, where the convolution before it was made at stride 1 for that."""
    return blur(g, y, 3, stride) if stride > 1 else y


@block
def residual_basic(
    g: GraphBuilder,
    x: Value,
    *,
    out_channels: Channels,
    kernel: OddKernel = 3,
    stride: Count = 1,
    shortcut: Shortcut = "projection",
    se_ratio: Ratio = 0.0,
    se_divisor: Count = 1,
    dropout: Rate = 0.0,
    drop_path: Rate = 0.0,
    anti_alias: bool = False,
    norm: NormKind = "batch",
    activation: ActivationKind = "relu",
) -> Value:
    """act(se(conv2(act(conv1(x)))) + shortcut(x)): (C, H, W) -> (out_channels, H / stride, W / stride).

    He et al. 2016, figure 5 left. `se_ratio` is a share of `out_channels` (Hu et al. 2018); `anti_alias` blurs before
    it subsamples, also in the shortcut (Zhang 2019); `dropout` stands between the convolutions (Zagoruyko &
    Komodakis 2016, "Wide residual networks").
    """
    first = 1 if anti_alias else stride
    y = g.conv_norm_act(x, out_channels, kernel, stride=first, norm=norm, activation=activation, name="conv1")
    y = _smoothed(g, y, stride) if anti_alias else y
    y = g.conv_norm_act(g.dropout(y, dropout), out_channels, kernel, norm=norm, name="conv2")
    if se_ratio:
        y = squeeze_excite(g, y, squeeze_width(out_channels, se_ratio, se_divisor))
    x = _shortcut(g, x, y, stride=stride, kind=shortcut, norm=norm, anti_alias=anti_alias)
    return g.activation(g.add("add", ops.Add(), g.drop_path(y, drop_path), x), activation)


@block
def residual_bottleneck(
    g: GraphBuilder,
    x: Value,
    *,
    out_channels: Channels,
    kernel: OddKernel = 3,
    stride: Count = 1,
    reduction: Reduction = 4.0,
    groups: Count = 1,
    stride_in: Literal["conv", "reduce"] = "conv",
    shortcut: Shortcut = "projection",
    se_ratio: Ratio = 0.0,
    se_divisor: Count = 1,
    drop_path: Rate = 0.0,
    anti_alias: bool = False,
    norm: NormKind = "batch",
    activation: ActivationKind = "relu",
) -> Value:
    """act(se(expand(conv(reduce(x)))) + shortcut(x)): (C, H, W) -> (out_channels, H / stride, W / stride).

    He et al. 2016, figure 5 right, with the stride in the spatial convolution ("v1.5", 4.09 G multiply-adds for
    ResNet-50); `stride_in` reduce is the paper's (3.86 G). Inner width: out_channels / reduction, rounded to a multiple
    of `groups` (Xie et al. 2017, "ResNeXt"; below 4 it is wide). `anti_alias` blurs before it subsamples (Zhang 2019).
    """
    inner = max(1, round(out_channels / reduction / groups)) * groups
    early, late = (stride, 1) if stride_in == "reduce" else (1, stride)
    first, second = (1, 1) if anti_alias else (early, late)
    y = g.conv_norm_act(x, inner, stride=first, norm=norm, activation=activation, name="reduce")
    y = _smoothed(g, y, early) if anti_alias else y
    y = g.conv_norm_act(y, inner, kernel, stride=second, groups=groups, norm=norm, activation=activation, name="conv")
    y = _smoothed(g, y, late) if anti_alias else y
    y = g.conv_norm_act(y, out_channels, norm=norm, name="expand")
    if se_ratio:
        y = squeeze_excite(g, y, squeeze_width(out_channels, se_ratio, se_divisor))
    x = _shortcut(g, x, y, stride=stride, kind=shortcut, norm=norm, anti_alias=anti_alias)
    return g.activation(g.add("add", ops.Add(), g.drop_path(y, drop_path), x), activation)
