"""Whether two networks are one, mostly told without their ids, which take the whole graph of each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from itertools import count, repeat
from typing import NamedTuple

from nas.network import ops
from nas.network.architecture import Architecture
from nas.network.graph import ANY, Graph
from nas.network.identity import graph_id
from nas.network.registry import block_graph
from nas.network.user_operations import label

_PRIME = 2**61 - 1
"""Modulus of lines."""
_MAX_KEPT = 16384
"""Networks and graphs of which it is remembered what was worked out: a search compares some again and again."""


def same_network(first: Architecture, second: Architecture) -> bool:
    """Whether two architectures have one `arch_id`.

    Raises:
        ShapeError: one of them is no network.
    """
    if _sketch(first) != _sketch(second):
        return False
    return _written_alike(first, second) or first.arch_id == second.arch_id


@lru_cache(maxsize=_MAX_KEPT)
def _graphs(arch: Architecture) -> tuple[Graph, ...]:
    """Return the graph of each block, as `lower` joins them."""
    graphs = []
    shape, value_range = arch.input_shape, ANY
    for block in arch.blocks():
        graph = block_graph(block, shape, arch.num_classes, True, value_range)
        graphs.append(graph)
        shape, value_range = graph.out_shape, graph.out_range
    return tuple(graphs)


def _written_alike(first: Architecture, second: Architecture) -> bool:
    """Whether both have the same operations, block by block: in the same order, or in another one that is canonical."""
    graphs, others = _graphs(first), _graphs(second)
    if first.input_shape != second.input_shape or len(graphs) != len(others):
        return False
    pairs = set(zip(graphs, others, strict=True))
    return all(
        (_written(graph), graph.outputs, graph.auxiliary) == (_written(other), other.outputs, other.auxiliary)
        or _block_id(graph) == _block_id(other)
        for graph, other in pairs
        if graph is not other
    )


@lru_cache(maxsize=_MAX_KEPT)
def _block_id(graph: Graph) -> str:
    return graph_id(graph)


@lru_cache(maxsize=_MAX_KEPT)
def _written(graph: Graph) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Return the operations of a graph with the indices of what they read, without names."""
    return tuple([(label(node.op), node.inputs) for node in graph.nodes[1:]])


class _Line(NamedTuple):
    """`shift + slope x`, modulo a prime."""

    shift: int
    slope: int

    def at(self, x: int) -> int:
        return (self.shift + self.slope * x) % _PRIME


@lru_cache(maxsize=_MAX_KEPT)
def _sketch(arch: Architecture) -> tuple[int, int]:
    """Return two numbers that are equal for networks with one `arch_id`, and hardly ever for others that cost the same.

    What a network gives, and what it gives in training only, as numbers: an operation is a line over the sum of what it
    reads, and so a block is a line over its input. A sum of sums is the sum of all terms, whatever blocks they stand
    in. Not seen is sharing, by which `f(x) + f(x)` can be one operation or two.
    """
    value, in_training = 1, 0
    for graph in _graphs(arch):
        output, auxiliary = _lines(graph)
        value, in_training = output.at(value), (in_training + auxiliary.at(value)) % _PRIME
    return value, in_training


@lru_cache(maxsize=_MAX_KEPT)
def _lines(graph: Graph) -> tuple[_Line, _Line]:
    """Return what a graph gives, and what it gives in training only, over its input."""
    lines = [_Line(0, 1)]
    for node, (text, inputs) in zip(graph.nodes[1:], _written(graph), strict=True):
        # The inputs of a sum have no order, and those of a join mostly none that counts.
        read = _sum([lines[i] for i in inputs], repeat(1) if type(node.op) in (ops.Add, ops.Concat) else count(1))
        if type(node.op) is not ops.Add:
            line = _line(text)
            read = _Line(line.at(read.shift), line.slope * read.slope % _PRIME)
        lines.append(read)
    outputs, auxiliary = [lines[i] for i in graph.outputs], [lines[i] for i in graph.auxiliary]
    return _sum(outputs, count(1)), _sum(auxiliary, repeat(1))


def _sum(lines: Iterable[_Line], weights: Iterable[int]) -> _Line:
    shift = slope = 0
    for line, weight in zip(lines, weights, strict=False):
        shift += weight * line.shift
        slope += weight * line.slope
    return _Line(shift % _PRIME, slope % _PRIME)


@lru_cache(maxsize=_MAX_KEPT)
def _line(text: str) -> _Line:
    """Return the line of an operation with this label."""
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    return _Line(int.from_bytes(digest[:8]) % _PRIME, int.from_bytes(digest[8:]) % _PRIME)
