"""Plain convolutions: LeNet (LeCun et al. 1998), AlexNet (Krizhevsky et al. 2012), VGG (Simonyan & Zisserman 2015), and
the parts between them.
"""

from __future__ import annotations

from typing import Literal

from nas.network import ops
from nas.network.builder import GraphBuilder, Value
from nas.network.registry import block
from nas.network.settings import ActivationKind, Channels, Count, Groups, NormKind, Padding, Rate


@block
def conv(
    g: GraphBuilder,
    x: Value,
    *,
    out_channels: Channels | None,
    kernel: Count = 3,
    stride: Count = 1,
    padding: Padding | None = None,
    dilation: Count = 1,
    groups: Groups = 1,
    bias: bool | None = None,
    norm: NormKind = "batch",
    activation: ActivationKind = "relu",
    order: Literal["conv_norm_act", "norm_act_conv", "act_conv_norm"] = "conv_norm_act",
) -> Value:
    """act(norm(conv(x))), or in another order: (C, H, W) -> (out_channels, H / stride, W / stride).

    `out_channels` null keeps the channels, `padding` null the map size at stride 1; `bias` null has one where no
    normalisation follows.
    """
    channels = out_channels or x.channels
    with_bias = bias if bias is not None else norm is None or order == "norm_act_conv"
    for step in order.split("_"):
        if step == "conv":
            x = g.conv(
                x, channels, kernel, stride=stride, padding=padding, dilation=dilation, groups=groups, bias=with_bias
            )
        else:
            x = g.norm(x, norm) if step == "norm" else g.activation(x, activation)
    return x


@block
def separable_conv(
    g: GraphBuilder,
    x: Value,
    *,
    out_channels: Channels,
    kernel: Count = 3,
    stride: Count = 1,
    dilation: Count = 1,
    norm: NormKind = "batch",
    activation: ActivationKind = "relu",
) -> Value:
    """pointwise(depthwise(x)), each with normalisation and activation: (C, H, W) -> (out_channels, H / stride, ...).

    Howard et al. 2017, "MobileNets", section 3.1: 1/N + 1/k^2 of the work of a full convolution to N channels.
    """
    y = g.conv_norm_act(
        x,
        x.channels,
        kernel,
        stride=stride,
        dilation=dilation,
        groups=x.channels,
        norm=norm,
        activation=activation,
        name="depthwise",
    )
    return g.conv_norm_act(y, out_channels, norm=norm, activation=activation, name="pointwise")


@block
def up_conv(
    g: GraphBuilder,
    x: Value,
    *,
    out_channels: Channels,
    kernel: Count = 2,
    stride: Count = 2,
    padding: Padding = 0,
    norm: NormKind = None,
    activation: ActivationKind = None,
) -> Value:
    """act(norm(transposed conv(x))): (C, H, W) -> (out_channels, (H - 1) stride - 2 padding + kernel, ...).

    Ronneberger et al. 2015, "U-Net", section 2 ("up-convolution").
    """
    each = x.spatial_dims
    op = ops.ConvTranspose(
        x.channels, out_channels, (kernel,) * each, (stride,) * each, (padding,) * each, norm is None
    )
    return g.activation(g.norm(g.add("conv", op, x), norm), activation)


@block
def norm_act(
    g: GraphBuilder, x: Value, *, norm: NormKind = "batch", activation: ActivationKind = "relu", dropout: Rate = 0.0
) -> Value:
    """dropout(act(norm(x))): the end of pre-activation networks. Keeps the shape."""
    return g.dropout(g.activation(g.norm(x, norm), activation), dropout)


@block
def local_response_norm(
    g: GraphBuilder, x: Value, *, size: Count = 5, alpha: Rate = 1e-4, beta: Rate = 0.75, k: Count = 2
) -> Value:
    """x / (k + alpha / size * sum of squares over `size` channels) ^ beta. Keeps the shape.

    Krizhevsky et al. 2012, section 3.3 (whose alpha is not divided by the size; as torch and Caffe do, it is here).
    """
    return g.add("lrn", ops.LocalResponseNorm(size, alpha, beta, float(k)), x)


@block
def linear(
    g: GraphBuilder,
    x: Value,
    *,
    out_channels: Channels,
    activation: ActivationKind = "relu",
    dropout: Rate = 0.0,
) -> Value:
    """dropout(act(W x)) of the flattened input: (C, H, W) -> (out_channels,)."""
    return g.dropout(g.activation(g.linear(g.flatten(x), out_channels), activation), dropout)
