"""Inverted residual blocks of the MobileNet and EfficientNet families."""

from __future__ import annotations

from typing import Literal

from nas.network import ops
from nas.network.blocks.squeeze_excite import squeeze_excite, squeeze_width
from nas.network.builder import GraphBuilder, Value
from nas.network.registry import block
from nas.network.settings import ActivationKind, Channels, Count, ExpandRatio, OddKernel, Rate, Ratio


def _with_shortcut(g: GraphBuilder, y: Value, x: Value, stride: int, drop_path: float) -> Value:
    """Add the input where its shape is kept; the paper has no projection shortcut."""
    return g.add("add", ops.Add(), g.drop_path(y, drop_path), x) if stride == 1 and x.shape == y.shape else y


@block
def mbconv(
    g: GraphBuilder,
    x: Value,
    *,
    out_channels: Channels,
    kernel: OddKernel = 3,
    stride: Count = 1,
    expand_ratio: ExpandRatio = 6.0,
    hidden_channels: Channels | None = None,
    se_ratio: Ratio = 0.0,
    se_of: Literal["input", "hidden"] = "input",
    se_divisor: Count = 1,
    se_activation: ActivationKind = None,
    se_gate: ActivationKind = "sigmoid",
    activation: ActivationKind = "relu6",
    drop_path: Rate = 0.0,
) -> Value:
    """project(se(depthwise(expand(x)))) + x: (C, H, W) -> (out_channels, H / stride, W / stride).

    Sandler et al. 2018, "MobileNetV2", section 3.3; with `se_ratio` and silu the MBConv of Tan & Le 2019,
    "EfficientNet", section 4, whose squeeze is a share of the block's input; with `se_of` hidden, `se_divisor` 8 and
    hardsigmoid that of Howard et al. 2019, "MobileNetV3", section 5.3. No expansion convolution where nothing expands;
    no activation after `project`. `hidden_channels` stands for `expand_ratio`, `se_activation` null for `activation`.
    """
    hidden = hidden_channels or round(x.channels * expand_ratio)
    y = x
    if hidden != x.channels:
        y = g.conv_norm_act(y, hidden, activation=activation, name="expand")
    y = g.conv_norm_act(y, hidden, kernel, stride=stride, groups=hidden, activation=activation, name="depthwise")
    if se_ratio:
        width = squeeze_width(x.channels if se_of == "input" else hidden, se_ratio, se_divisor)
        y = squeeze_excite(g, y, width, activation=se_activation or activation, gate=se_gate)
    y = g.conv_norm_act(y, out_channels, name="project")
    return _with_shortcut(g, y, x, stride, drop_path)


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
    drop_path: Rate = 0.0,
) -> Value:
    """project(se(conv(x))) + x: (C, H, W) -> (out_channels, H / stride, W / stride).

    Tan & Le 2021, "EfficientNetV2", section 3.2: one full convolution in place of `expand` and `depthwise`;
    at `expand_ratio` 1 that convolution alone.
    """
    hidden = round(x.channels * expand_ratio)
    alone = hidden == x.channels
    y = g.conv_norm_act(
        x, out_channels if alone else hidden, kernel, stride=stride, activation=activation, name="fused"
    )
    if se_ratio:
        y = squeeze_excite(g, y, squeeze_width(x.channels, se_ratio, 1), activation=activation)
    if not alone:
        y = g.conv_norm_act(y, out_channels, name="project")
    return _with_shortcut(g, y, x, stride, drop_path)
