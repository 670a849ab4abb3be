"""Blocks that are made of other blocks: branches, cells, pyramids, auxiliary outputs; and the two that do nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from nas.errors import ShapeError
from nas.network import ops
from nas.network.builder import GraphBuilder, Value
from nas.network.registry import add_section, block
from nas.network.section import Section
from nas.network.settings import ActivationKind, Branches, Channels, Count


@block
def identity(g: GraphBuilder, x: Value, *, out_channels: Channels | None = None, stride: Count = 1) -> Value:
    """x, or where channels or map change norm(1x1 conv(x)): (C, H, W) -> (out_channels, H / stride, W / stride)."""
    if stride == 1 and out_channels in (None, x.channels):
        return x
    return g.conv_norm_act(x, out_channels or x.channels, stride=stride)


@block
def zero(g: GraphBuilder, x: Value, *, stride: Count = 1) -> Value:
    """Zeros: (C, H, W) -> (C, ceil(H / stride), ceil(W / stride)). In a cell, an edge that is not there."""
    if stride == 1:
        return g.zero(x)
    channels, size = ops.needs_map("zero", x.shape)
    return g.zero(x, (channels, *(-(-n // stride) for n in size)))


@block
def parallel(
    g: GraphBuilder,
    x: Value,
    *,
    branches: Branches,
    join: Literal["concat", "add"] = "concat",
    crop: bool = False,
    activation: ActivationKind = None,
) -> Value:
    """act(join of the branches), which all read x: (C, *map) -> (sum or common channels of the branches, *their map).

    An empty branch is x itself.

    Two branches added, one of them empty, are a residual connection; concatenated, a dense one (Huang et al. 2017), and
    where the other branch goes down and up again a level of U-Net (Ronneberger et al. 2015), whose `crop` cuts all maps
    to the smallest.
    """
    if not branches:
        raise ShapeError("parallel: needs at least one branch")
    values = [add_section(g, x, branch, f"branches.{i}") for i, branch in enumerate(branches)]
    if crop:
        smallest = min(values, key=lambda value: value.map_size)
        values = [
            value if value.map_size == smallest.map_size else g.add(f"crop{i}", ops.Crop(), value, smallest)
            for i, value in enumerate(values)
        ]
    y = g.concat(values) if join == "concat" else g.add("add", ops.Add(), *values)
    return g.activation(y, activation)


@block
def upsampled(g: GraphBuilder, x: Value, *, body: Section, mode: Literal["nearest", "bilinear"] = "nearest") -> Value:
    """`body` of x, its map enlarged to that of x: (C, H, W) -> (channels of the body, H, W).

    In a branch of `parallel` beside an empty one it is a level of U-Net (Ronneberger et al. 2015) that fits any map,
    beside a convolution, added, one of a feature pyramid (Lin et al. 2017); around a global pooling the image-level
    branch of ASPP (Chen et al. 2017, "Rethinking atrous convolution", section 3.3); around a whole network it brings
    classes to the pixels of the input.
    """
    ops.needs("upsampled", x.shape, "map")
    y = add_section(g, x, body, "body")
    ops.needs("upsampled", y.shape, "map")
    if len(y.map_size) != len(x.map_size) or any(new > old for new, old in zip(y.map_size, x.map_size, strict=False)):
        raise ShapeError(f"upsampled: its body must give a map of {x.map_size} or smaller, but gives {y.map_size}")
    op = ops.Upsample(x.map_size) if mode == "nearest" else ops.UpsampleBilinear(x.map_size)
    return g.add("larger", op, y)


@block
def cell(
    g: GraphBuilder,
    x: Value,
    *,
    nodes: Count,
    edges: Branches,
    output: Literal["last", "concat"] = "last",
) -> Value:
    """A graph of `nodes`, the first x, each later one a sum of edges from all before: (C, *map) -> what its edges give.

    Dong & Yang 2020, "NAS-Bench-201", section 2.1 (`output` last); Liu et al. 2019, "DARTS", section 2.1, with one
    input (`output` concat joins all later nodes). `edges` come in the order 0-1, 0-2, 1-2, 0-3, 1-3, 2-3, ..., so there
    are nodes (nodes - 1) / 2 of them; `zero` is an edge that is not there.
    """
    expected = nodes * (nodes - 1) // 2
    if len(edges) != expected or nodes < 2:
        raise ShapeError(f"cell: {nodes} nodes have {expected} edges, but got {len(edges)}")
    values = [x]
    sections = iter(edges)
    for target in range(1, nodes):
        ends = [add_section(g, values[i], next(sections), f"edges.{i}-{target}") for i in range(target)]
        values.append(ends[0] if target == 1 else g.add(f"node{target}", ops.Add(), *ends))
    return values[-1] if output == "last" else g.concat(values[1:])


@block
def auxiliary(g: GraphBuilder, x: Value, *, body: Section) -> Value:
    """x as it is: (C, *map) -> (C, *map); in training `body` of it is a further prediction, whose loss is added.

    Szegedy et al. 2015, "Going deeper with convolutions", section 5.
    """
    before = g.has_auxiliary
    prediction = add_section(g, x, body, "body")
    if g.has_auxiliary != before:
        raise ShapeError("auxiliary: a classifier inside an auxiliary classifier is not possible")
    if prediction.shape != (g.num_classes,):
        raise ShapeError(f"auxiliary: its body must end in {g.num_classes} classes, but gives {prediction.shape}")
    g.auxiliary(prediction)
    return x


@block
def feature_pyramid(
    g: GraphBuilder, x: Value, *, stages: Branches, out_channels: Channels = 256, extra_level: bool = False
) -> Sequence[Value]:
    """One map for each stage, finest first, each summed with the coarser ones: (C, H, W) -> (out_channels, h, w) each.

    Lin et al. 2017, "Feature pyramid networks", section 3: 1x1 convolutions of every stage, added from the top down
    after nearest-neighbour enlargement, then a 3x3 convolution each. `extra_level` subsamples the last once more.
    """
    bottom_up = []
    for i, stage in enumerate(stages):
        x = add_section(g, x, stage, f"stages.{i}")
        bottom_up.append(x)
    top: Value | None = None
    pyramid: list[Value] = []
    for i in reversed(range(len(bottom_up))):
        lateral = g.conv(bottom_up[i], out_channels, 1, bias=True, name=f"lateral.{i}")
        if top is not None:
            larger = g.add(f"larger.{i}", ops.Upsample(lateral.map_size), top)
            lateral = g.add(f"add.{i}", ops.Add(), lateral, larger)
        top = lateral
        pyramid.insert(0, g.conv(top, out_channels, 3, bias=True, name=f"smooth.{i}"))
    if not pyramid:
        raise ShapeError("feature_pyramid: needs at least one stage")
    if extra_level:
        pyramid.append(g.max_pool(pyramid[-1], 1, 2, name="extra"))
    return pyramid
