"""Residual blocks: He et al. 2016, "Deep residual learning for image recognition"."""

from __future__ import annotations

from nas.network import ops
from nas.network.blocks.squeeze_excite import squeeze_excite
from nas.network.graph import GraphBuilder, Value
from nas.network.registry import block
from nas.network.settings import ActivationKind, Channels, Count, OddKernel, Ratio


def _join(g: GraphBuilder, y: Value, x: Value, *, stride: int, se_ratio: float, activation: str | None) -> Value:
    """act(se(y) + shortcut(x)); the shortcut is a 1x1 convolution where the shape changes (option B)."""
    if se_ratio:
        y = squeeze_excite(g, y, max(1, int(y.channels * se_ratio)))
    if x.shape != y.shape:
        x = g.conv_norm_act(x, y.channels, stride=stride, name="shortcut")
    return g.activation(g.add("add", ops.Add(), y, x), activation)


@block
def residual_basic(
    g: GraphBuilder,
    x: Value,
    *,
    out_channels: Channels,
    kernel: OddKernel = 3,
    stride: Count = 1,
    se_ratio: Ratio = 0.0,
    activation: ActivationKind = "relu",
) -> Value:
    """act(conv2(act(conv1(x))) + shortcut(x)): (C, H, W) -> (out_channels, H / stride, W / stride).

    He et al. 2016, figure 5 left. `se_ratio` is a share of `out_channels` (Hu et al. 2018).
    """
    y = g.conv_norm_act(x, out_channels, kernel, stride=stride, activation=activation, name="conv1")
    y = g.conv_norm_act(y, out_channels, kernel, name="conv2")
    return _join(g, y, x, stride=stride, se_ratio=se_ratio, activation=activation)


@block
def residual_bottleneck(
    g: GraphBuilder,
    x: Value,
    *,
    out_channels: Channels,
    kernel: OddKernel = 3,
    stride: Count = 1,
    reduction: Count = 4,
    se_ratio: Ratio = 0.0,
    activation: ActivationKind = "relu",
) -> Value:
    """act(expand(conv(reduce(x))) + shortcut(x)): (C, H, W) -> (out_channels, H / stride, W / stride).

    He et al. 2016, figure 5 right, with the stride in the spatial convolution ("v1.5", 4.09 G multiply-adds for
    ResNet-50) where the paper has it in `reduce` (3.86 G). Inner width: out_channels / reduction.
    """
    inner = max(1, out_channels // reduction)
    y = g.conv_norm_act(x, inner, activation=activation, name="reduce")
    y = g.conv_norm_act(y, inner, kernel, stride=stride, activation=activation, name="conv")
    y = g.conv_norm_act(y, out_channels, name="expand")
    return _join(g, y, x, stride=stride, se_ratio=se_ratio, activation=activation)
