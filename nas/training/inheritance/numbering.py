"""Nodes of a graph that give one and the same value, by what they compute."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

from nas.network import ops
from nas.network.graph import ANY, Graph, ValueRange
from nas.network.simplify import range_of, same_as_input
from nas.training.inheritance.correspondence import has_state

DROPS = (ops.Dropout, ops.DropPath)
"""They give their input in inference."""


class ValueNumbers:
    """For each node the first one that gives its value, and a look-up by operation and inputs."""

    def __init__(self, graph: Graph) -> None:
        self.first: list[int] = []
        """For each node the first that gives its value in inference."""
        self.ranges: list[ValueRange] = []
        """For each node the bounds of the numbers that it gives."""
        self._found: dict[Hashable, int] = {}
        for index, node in enumerate(graph.nodes):
            reads = [self.first[i] for i in node.inputs]
            self.ranges.append(range_of(node.op, [self.ranges[i] for i in node.inputs]) if index else ANY)
            same = index
            if type(node.op) in DROPS or (
                reads and same_as_input(node, graph.nodes[reads[0]].shape, self.ranges[reads[0]])
            ):
                same = reads[0]
            elif reads and not has_state(node.op):
                same = self._found.setdefault(_key(node.op, reads), index)
            self.first.append(same)

    def find(self, op: ops.Op, reads: Sequence[int]) -> int | None:
        """Return the node that computes an operation without weights of the values of some nodes; None for none."""
        return self._found.get(_key(op, reads))


def _key(op: ops.Op, reads: Sequence[int]) -> Hashable:
    """Name what an operation computes channel by channel, however many and in whatever order these are."""
    if type(op) is ops.ChannelPad:
        op = replace(op, out_channels=1)
    elif type(op) is ops.ChannelShuffle:
        op = replace(op, groups=1)
    elif type(op) is ops.Blur:
        op = replace(op, channels=1)
    return op, tuple(sorted(reads) if type(op) is ops.Add else reads)
