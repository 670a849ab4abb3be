"""Pooling between convolutions."""

from __future__ import annotations

from typing import Literal

from nas.network import ops
from nas.network.builder import GraphBuilder, Value
from nas.network.registry import block
from nas.network.settings import Count, OddKernel, Padding


@block
def max_pool(
    g: GraphBuilder, x: Value, *, kernel: Count = 2, stride: Count = 2, padding: Padding = 0, ceil: bool = False
) -> Value:
    """Maximum over a sliding window: (C, H, W) -> (C, (H + 2 padding - kernel) / stride + 1, ...), rounded down, or up
    with `ceil`.
    """
    return g.max_pool(x, kernel, stride, padding, ceil=ceil)


@block
def avg_pool(
    g: GraphBuilder,
    x: Value,
    *,
    kernel: Count = 2,
    stride: Count = 2,
    padding: Padding = 0,
    count_padding: bool = True,
) -> Value:
    """Mean over a sliding window: (C, H, W) -> (C, (H + 2 padding - kernel) / stride + 1, ...); the padding counts as
    zeros unless `count_padding` is false.
    """
    return g.avg_pool(x, kernel, stride, padding, count_padding=count_padding)


@block
def blur_pool(g: GraphBuilder, x: Value, *, kernel: OddKernel = 3, stride: Count = 2) -> Value:
    """Subsampling after a fixed binomial filter: (C, H, W) -> (C, ceil(H / stride), ceil(W / stride)).

    Zhang 2019, "Making convolutional networks shift-invariant again".
    """
    return blur(g, x, kernel, stride)


def blur(g: GraphBuilder, x: Value, kernel: int, stride: int, name: str = "blur") -> Value:
    """The filter of `blur_pool`, a part of other blocks."""
    each = x.spatial_dims
    return g.add(name, ops.Blur(x.channels, (kernel,) * each, (stride,) * each), x)


@block
def max_blur_pool(g: GraphBuilder, x: Value, *, kernel: OddKernel = 3, stride: Count = 2) -> Value:
    """blur_pool(maximum at stride 1): (C, H, W) -> (C, ceil(H / stride), ...). Zhang 2019, section 3.2."""
    return blur(g, g.max_pool(x, kernel, 1, kernel // 2), kernel, stride)


@block
def global_pool(g: GraphBuilder, x: Value, *, kind: Literal["avg", "max"] = "avg") -> Value:
    """Mean or maximum over the whole map: (C, H, W) -> (C, 1, 1), so that any input size works."""
    return g.global_pool(x, kind)


@block
def adaptive_pool(g: GraphBuilder, x: Value, *, size: Count) -> Value:
    """Mean over windows laid out to give a map of `size`: (C, H, W) -> (C, size, size)."""
    return g.add("pool", ops.AdaptiveAvgPool((size,) * x.spatial_dims), x)
