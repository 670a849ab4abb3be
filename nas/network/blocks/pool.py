"""Pooling between convolutions."""

from __future__ import annotations

from nas.network.graph import GraphBuilder, Value
from nas.network.registry import block
from nas.network.settings import Count, Padding


@block
def max_pool(g: GraphBuilder, x: Value, *, kernel: Count = 2, stride: Count = 2, padding: Padding = 0) -> Value:
    """Maximum over a sliding window: (C, H, W) -> (C, (H + 2 padding - kernel) / stride + 1, ...)."""
    return g.max_pool(x, kernel, stride, padding)
