"""Densely connected networks: Huang et al. 2017, "Densely connected convolutional networks"."""

from __future__ import annotations

from nas.network.builder import GraphBuilder, Value
from nas.network.registry import block
from nas.network.settings import ActivationKind, Channels, Count, NormKind, OddKernel, Rate, Ratio


@block
def dense_layer(
    g: GraphBuilder,
    x: Value,
    *,
    growth: Channels,
    bottleneck: Count | None = 4,
    kernel: OddKernel = 3,
    dropout: Rate = 0.0,
    norm: NormKind = "batch",
    activation: ActivationKind = "relu",
) -> Value:
    """[x, conv(reduce(x))]: (C, H, W) -> (C + growth, H, W), so that every layer reads all before it.

    Section 3, DenseNet-B: a 1x1 convolution to `bottleneck` x `growth` channels first, none where that is null;
    normalisation and activation come before each convolution.
    """
    y = x
    if bottleneck is not None:
        y = g.norm_act_conv(y, bottleneck * growth, norm=norm, activation=activation, name="reduce")
    y = g.norm_act_conv(y, growth, kernel, norm=norm, activation=activation, name="conv")
    return g.concat([x, g.dropout(y, dropout)])


@block
def transition(
    g: GraphBuilder,
    x: Value,
    *,
    compression: Ratio = 0.5,
    stride: Count = 2,
    norm: NormKind = "batch",
    activation: ActivationKind = "relu",
) -> Value:
    """mean over 2x2 of a 1x1 convolution: (C, H, W) -> (compression C, H / stride, W / stride).

    Section 3, "pooling layers" and DenseNet-C.
    """
    y = g.norm_act_conv(x, max(1, int(x.channels * compression)), norm=norm, activation=activation, name="reduce")
    return g.avg_pool(y, stride, stride)
