"""What a network's latency is predicted from: its operations, each as a kind and some numbers."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from math import log, prod
from typing import NamedTuple

from nas.cost.unstated import assumptions, completed
from nas.network import ops
from nas.network.architecture import Architecture
from nas.network.graph import Graph, Node
from nas.network.ops import Shape
from nas.network.own import name_of
from nas.network.registry import Block, block_graph

_NOTHING = (ops.Dropout, ops.DropPath, ops.Flatten)
"""Operations that do nothing in inference."""
_ALIGNED = (8, 16)
"""Vector lengths: channels that are a multiple of them take other kernels."""


class OpRow(NamedTuple):
    """One operation as the predictor sees it."""

    kind: str
    numbers: tuple[float, ...]
    """Logarithms of its multiply-adds, of the numbers that it reads and writes, of its parameters, of its channels and
    positions; its kernel; then flags."""


def network_rows(architecture: Architecture) -> list[OpRow]:
    """Return the operations of a network, block by block.

    Raises:
        ShapeError: the architecture is not a network.
    """
    rows: list[OpRow] = []
    before = assumptions()
    shape = architecture.input_shape
    for _, section in architecture.sections():
        for block in section.blocks:
            rows += block_rows(block, shape, architecture.num_classes)
            shape = block_graph(block, shape, architecture.num_classes).out_shape
    if assumptions() > before:
        block_rows.cache_clear()  # what is only assumed now may be measured next time
    return rows


@lru_cache(maxsize=65536, typed=True)
def block_rows(block: Block, in_shape: Shape, num_classes: int) -> tuple[OpRow, ...]:
    """Return the operations of a block; raises `ShapeError` where it cannot take that input."""
    return graph_rows(block_graph(block, in_shape, num_classes))


def graph_rows(graph: Graph) -> tuple[OpRow, ...]:
    """Return the operations that run in inference."""
    live, counted = graph.live(), completed(graph).nodes
    readers = Counter(i for index in live for i in graph.nodes[index].inputs)
    rows = []
    for index in live[1:]:
        node = graph.nodes[index]
        if type(node.op) in _NOTHING:
            continue
        before = graph.nodes[node.inputs[0]] if node.inputs else node
        alone = readers[node.inputs[0]] == 1 if node.inputs else False
        rows.append(_row(node, counted[index].op, before, alone))
    return tuple(rows)


def _row(node: Node, counted: ops.Op, before: Node, alone: bool) -> OpRow:
    """Describe an operation, which is `counted` with what it does not state; `alone` where nothing else reads what it
    reads, so that it may be fused.
    """
    op, shape, given = node.op, node.shape, before.shape
    kernel = getattr(op, "kernel", (1,))
    stride = getattr(op, "stride", (1,))
    groups = getattr(op, "groups", getattr(op, "heads", 1))
    numbers = [
        log(1 + counted.macs(shape) + counted.attention_macs(shape)),
        log(1 + len(node.inputs) * prod(given)),
        log(1 + prod(shape)),
        log(1 + counted.params),
        log(1 + given[0]),
        log(1 + shape[0]),
        log(1 + prod(shape[1:])),
        log(1 + prod(given[1:])),
        float(kernel[0]),
        float(len(shape)),
        float(len(node.inputs)),
        float(stride != (1,) * len(stride) if isinstance(stride, tuple) else stride > 1),
        log(groups),
        *(float(channels // groups % length == 0) for channels in (given[0], shape[0]) for length in _ALIGNED),
        float(getattr(op, "count_padding", True)),
        float(alone and type(before.op) is ops.Conv),
        float(alone and type(before.op) is ops.BatchNorm),
        float(alone and type(before.op) is ops.Add),
    ]
    return OpRow(_kind(op, shape), tuple(numbers))


def _kind(op: ops.Op, shape: Shape) -> str:
    if type(op) is ops.Activation:
        return op.kind
    if type(op) is not ops.Conv:
        return type(op).__name__ if type(op) in ops.BUILT_IN else name_of(type(op))
    if op.groups == op.in_channels and op.groups > 1:
        return "depthwise"
    if op.groups > 1:
        return "grouped"
    if prod(op.kernel) > 1:
        return "conv"
    return "pointwise" if prod(shape[1:]) > 1 else "pointwise on one"
