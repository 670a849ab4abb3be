"""Networks as data: architecture, graph, primitive operations and the blocks. Never loads torch."""

from nas.network import blocks
from nas.network.architecture import Architecture, Section
from nas.network.graph import Graph, Node
from nas.network.lower import lower
from nas.network.registry import Block, block, block_names

__all__ = ["Architecture", "Block", "Graph", "Node", "Section", "block", "block_names", "blocks", "lower"]
