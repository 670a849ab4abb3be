"""The end of a classification network."""

from __future__ import annotations

from nas.network import ops
from nas.network.graph import GraphBuilder, Value
from nas.network.registry import block
from nas.network.settings import Count, Rate


@block
def classifier(g: GraphBuilder, x: Value, *, num_classes: Count, dropout: Rate = 0.0) -> Value:
    """linear(dropout(mean over the map)): (C, H, W) -> (num_classes,).

    Global average pooling (Lin et al. 2013, "Network in network", section 3.2) takes any map size.
    """
    x = g.add("pool", ops.GlobalAvgPool(), x)
    x = g.add("flatten", ops.Flatten(), x)
    if dropout:
        x = g.add("dropout", ops.Dropout(dropout), x)
    return g.add("linear", ops.Linear(x.channels, num_classes), x)
