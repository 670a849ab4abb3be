"""The end of a network: classes from a map."""

from __future__ import annotations

from typing import Annotated, Literal

from nas.network import ops
from nas.network.builder import GraphBuilder, Value
from nas.network.registry import block
from nas.network.settings import ActivationKind, AtLeast, Below, Channels, Count, Rate


@block
def classifier(
    g: GraphBuilder,
    x: Value,
    *,
    dropout: Rate = 0.0,
    hidden: Channels | None = None,
    hidden_layers: Annotated[int, AtLeast(1), Below(65)] = 1,
    activation: ActivationKind = "relu",
    pool: Literal["avg", "max"] | None = "avg",
    pool_size: Count = 1,
) -> Value:
    """linear(dropout(mean over the map)): (C, H, W) -> (num_classes,), with `hidden_layers` of width `hidden` between.

    Global average pooling (Lin et al. 2013, "Network in network", section 3.2) takes any map size, and so does pooling
    to a map of `pool_size`; `pool` null flattens the map as it is.
    """
    ops.needs("classifier", x.shape, "map", *(() if pool else ("features",)))
    if pool is not None:
        size = (pool_size,) * x.spatial_dims
        x = g.global_pool(x, pool) if pool_size == 1 else g.add("pool", ops.AdaptiveAvgPool(size), x)
    x = g.flatten(x)
    for i in range(hidden_layers if hidden else 0):
        assert hidden is not None
        with g.scope(f"hidden.{i}"):
            x = g.dropout(g.activation(g.linear(x, hidden), activation), dropout)
    return g.linear(x if hidden else g.dropout(x, dropout), g.num_classes)


@block
def conv_classifier(g: GraphBuilder, x: Value, *, dropout: Rate = 0.0, activation: ActivationKind = "relu") -> Value:
    """mean over the map of act(1x1 convolution to one map a class): (C, H, W) -> (num_classes,).

    Iandola et al. 2016, "SqueezeNet", section 3.3, after Lin et al. 2013.
    """
    x = g.conv_norm_act(g.dropout(x, dropout), g.num_classes, norm=None, activation=activation)
    return g.flatten(g.global_pool(x))


@block
def pixel_classifier(g: GraphBuilder, x: Value, *, dropout: Rate = 0.0) -> Value:
    """A 1x1 convolution to one map a class: (C, H, W) -> (num_classes, H, W), for segmentation.

    Ronneberger et al. 2015, "U-Net", section 2.
    """
    return g.conv(g.dropout(x, dropout), g.num_classes, 1, bias=True)
