"""Networks as data: architecture, graph, primitive operations and the blocks. Never loads torch."""

from nas.network import blocks
from nas.network.architecture import Architecture
from nas.network.builder import GraphBuilder, Value
from nas.network.graph import Graph, Node
from nas.network.lower import lower
from nas.network.registry import Block, block, block_names
from nas.network.section import Section

__all__ = [
    "Architecture",
    "Block",
    "Graph",
    "GraphBuilder",
    "Node",
    "Section",
    "Value",
    "block",
    "block_names",
    "blocks",
    "lower",
]
