"""Inverted residual blocks of the MobileNet and EfficientNet families."""

from __future__ import annotations

from nas.network import ops
from nas.network.blocks.squeeze_excite import squeeze_excite
from nas.network.graph import GraphBuilder, Value
from nas.network.registry import block
from nas.network.settings import ActivationKind, Channels, Count, ExpandRatio, OddKernel, Ratio


def _with_shortcut(g: GraphBuilder, y: Value, x: Value, stride: int) -> Value:
    """Add the input where its shape is kept; the paper has no projection shortcut."""
    return g.add("add", ops.Add(), y, x) if stride == 1 and x.shape == y.shape else y


def _squeeze(g: GraphBuilder, y: Value, x: Value, se_ratio: float, activation: ActivationKind) -> Value:
    """Squeeze-and-excitation whose width is a share of the block's *input* channels, as in EfficientNet."""
    if not se_ratio:
        return y
    return squeeze_excite(g, y, max(1, int(x.channels * se_ratio)), activation=activation)


@block
def mbconv(
    g: GraphBuilder,
    x: Value,
    *,
    out_channels: Channels,
    kernel: OddKernel = 3,
    stride: Count = 1,
    expand_ratio: ExpandRatio = 6.0,
    se_ratio: Ratio = 0.0,
    activation: ActivationKind = "relu6",
) -> Value:
    """project(se(depthwise(expand(x)))) + x: (C, H, W) -> (out_channels, H / stride, W / stride).

    Sandler et al. 2018, "MobileNetV2", section 3.3; with `se_ratio` and silu the MBConv of Tan & Le 2019,
    "EfficientNet", section 4. No expansion convolution at `expand_ratio` 1; no activation after `project`.
    """
    hidden = round(x.channels * expand_ratio)
    y = x
    if hidden != x.channels:
        y = g.conv_norm_act(y, hidden, activation=activation, name="expand")
    y = g.conv_norm_act(y, hidden, kernel, stride=stride, groups=hidden, activation=activation, name="depthwise")
    y = _squeeze(g, y, x, se_ratio, activation)
    y = g.conv_norm_act(y, out_channels, name="project")
    return _with_shortcut(g, y, x, stride)


@block
def fused_mbconv(
    g: GraphBuilder,
    x: Value,
    *,
    out_channels: Channels,
    kernel: OddKernel = 3,
    stride: Count = 1,
    expand_ratio: ExpandRatio = 4.0,
    se_ratio: Ratio = 0.0,
    activation: ActivationKind = "silu",
) -> Value:
    """project(se(conv(x))) + x: (C, H, W) -> (out_channels, H / stride, W / stride).

    Tan & Le 2021, "EfficientNetV2", section 3.2: one full convolution in place of `expand` and `depthwise`;
    at `expand_ratio` 1 that convolution alone.
    """
    hidden = round(x.channels * expand_ratio)
    if hidden == x.channels:
        y = g.conv_norm_act(x, out_channels, kernel, stride=stride, activation=activation, name="fused")
        y = _squeeze(g, y, x, se_ratio, activation)
        return _with_shortcut(g, y, x, stride)
    y = g.conv_norm_act(x, hidden, kernel, stride=stride, activation=activation, name="fused")
    y = _squeeze(g, y, x, se_ratio, activation)
    y = g.conv_norm_act(y, out_channels, name="project")
    return _with_shortcut(g, y, x, stride)
