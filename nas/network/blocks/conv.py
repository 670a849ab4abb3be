"""Plain convolution."""

from __future__ import annotations

from nas.network.graph import GraphBuilder, Value
from nas.network.registry import block
from nas.network.settings import ActivationKind, Channels, Count, Padding


@block
def conv(
    g: GraphBuilder,
    x: Value,
    *,
    out_channels: Channels,
    kernel: Count = 3,
    stride: Count = 1,
    padding: Padding | None = None,
    dilation: Count = 1,
    groups: Count = 1,
    activation: ActivationKind = "relu",
) -> Value:
    """act(norm(conv(x))): (C, H, W) -> (out_channels, H / stride, W / stride); `padding` null keeps the map
    size at stride 1 for odd kernels.
    """
    return g.conv_norm_act(
        x,
        out_channels,
        kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        activation=activation,
    )
