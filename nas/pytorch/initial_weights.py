"""Initial weights as in the papers."""

from __future__ import annotations

import re

from torch import nn

from nas.network import ops
from nas.network.graph import Graph
from nas.pytorch.layers import PositionEmbedding

_CONVOLUTIONS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)


def initialise(module: nn.Module, graph: Graph, *, zero_init_last: bool = False) -> None:
    """Initialise in place: convolutions by He et al. 2015 (normal, fan out), linear layers normal with standard
    deviation 0.01, biases zero, normalisation scale one and shift zero.

    Args:
        module: what `build_graph` made of `graph`.
        graph: the graph it was made of.
        zero_init_last: scale zero for the last normalisation of every residual branch, so that the network starts
            as if it had the shortcuts only (Goyal et al. 2017, "Accurate, large minibatch SGD", section 5.1).
    """
    for part in module.modules():
        if isinstance(part, _CONVOLUTIONS):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=0.01)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, PositionEmbedding):
            nn.init.trunc_normal_(part.weight, std=0.02)
    if zero_init_last:
        wanted = set(last_norms(graph))
        for name, weight in module.named_parameters():
            # An auxiliary classifier is a module of its own, with the names inside it.
            if re.sub(r"^auxiliary\.\d+\.part\.", "", name).removesuffix(".weight") in wanted:
                nn.init.zeros_(weight)


def last_norms(graph: Graph) -> list[str]:
    """Return the names of the normalisations that end a residual branch, which is the first input of its sum."""
    names = []
    for node in graph.nodes:
        if type(node.op) is ops.Add and len(node.inputs) > 1:
            branch = graph.nodes[node.inputs[0]]
            while type(branch.op) in (ops.Dropout, ops.DropPath):
                branch = graph.nodes[branch.inputs[0]]
            if type(branch.op) is ops.BatchNorm:
                names.append(branch.name)
    return names
