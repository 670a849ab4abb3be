"""ConvNeXt: Liu et al. 2022, "A ConvNet for the 2020s"."""

from __future__ import annotations

from nas.network import ops
from nas.network.builder import GraphBuilder, Value
from nas.network.registry import block
from nas.network.settings import ActivationKind, Channels, Count, ExpandRatio, OddKernel, Rate


@block
def convnext(
    g: GraphBuilder,
    x: Value,
    *,
    out_channels: Channels,
    kernel: OddKernel = 7,
    stride: Count = 1,
    expand_ratio: ExpandRatio = 4.0,
    layer_scale: Rate = 1e-6,
    drop_path: Rate = 0.0,
    activation: ActivationKind = "gelu",
) -> Value:
    """x + scale(reduce(act(expand(norm(depthwise(x)))))): (C, H, W) -> (out_channels, H / stride, W / stride).

    Section 2.6, figure 4: layer normalisation over the channels, one activation. Where channels or map change,
    conv(norm(x)) with kernel and stride alike comes first (section 2.6, "separate downsampling layers").
    """
    if stride > 1 or x.channels != out_channels:
        with g.scope("downsample"):
            x = g.conv(g.norm(x, "layer"), out_channels, stride, stride=stride, padding=0, bias=True)
    y = g.conv(x, out_channels, kernel, groups=out_channels, bias=True, name="depthwise")
    y = g.conv(g.norm(y, "layer"), round(out_channels * expand_ratio), 1, bias=True, name="expand")
    y = g.conv(g.activation(y, activation), out_channels, 1, bias=True, name="reduce")
    if layer_scale:
        y = g.add("scale", ops.LayerScale(out_channels, layer_scale, of_map=True), y)
    return g.add("add", ops.Add(), g.drop_path(y, drop_path), x)
