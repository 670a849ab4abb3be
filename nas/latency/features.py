"""The features of a network from which its latency is predicted: its operations, each as a kind and some numbers."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from math import log, prod
from typing import NamedTuple

from nas.cost.measured_costs import assumptions, completed
from nas.network import ops
from nas.network.architecture import Architecture
from nas.network.graph import Graph, Node
from nas.network.ops import Shape
from nas.network.registry import Block, block_graph
from nas.network.user_operations import name_of

_NO_WORK = (ops.Dropout, ops.DropPath, ops.Flatten)
"""Operations that compute nothing in inference."""


class OpNumbers(NamedTuple):
    """The numbers of an operation in the order of device profiles; logarithms are natural ones of 1 + what is named."""

    log_macs: float
    """Multiply-adds, those of attention too."""
    log_read: float
    """Numbers that it reads, all inputs taken as large as the first."""
    log_written: float
    """Numbers of its output."""
    log_params: float
    """Learned numbers."""
    log_in_channels: float
    """First dimension of the first input."""
    log_out_channels: float
    """First dimension of the output."""
    log_out_positions: float
    """Positions of the output, 1 of features."""
    log_in_positions: float
    """Positions of the first input, 1 of features."""
    kernel: float
    """Size of its window in the first dimension, 1 without."""
    dims: float
    """Dimensions of the output, channels among them."""
    inputs: float
    """How many values it reads."""
    strided: float
    """1 where its window moves by more than one position, else 0."""
    log_groups: float
    """Groups of a convolution or heads of attention; here the logarithm of the number itself."""
    in_channels_by_8: float
    """1 where 8 divides the input channels of a group, so that vector instructions fit, else 0."""
    in_channels_by_16: float
    """1 where 16 divides the input channels of a group, else 0."""
    out_channels_by_8: float
    """1 where 8 divides the output channels of a group, else 0."""
    out_channels_by_16: float
    """1 where 16 divides the output channels of a group, else 0."""
    counts_padding: float
    """0 for a mean that leaves the padding out, else 1."""
    after_conv: float
    """1 where it is the only reader of a convolution, with which it may be fused, else 0."""
    after_batch_norm: float
    """1 where it is the only reader of a batch normalisation, else 0."""
    after_sum: float
    """1 where it is the only reader of a sum, else 0."""


class OpFeatures(NamedTuple):
    """One operation as the predictor has it."""

    kind: str
    """Its operator, where that decides which code runs, e.g. `depthwise`."""
    numbers: OpNumbers
    """What decides how long the code of that kind takes."""


def network_features(architecture: Architecture) -> list[OpFeatures]:
    """Return the operations of a network, block by block.

    Raises:
        ShapeError: the architecture is not a network.
    """
    features: list[OpFeatures] = []
    assumed_before = assumptions()
    shape = architecture.input_shape
    for block in architecture.blocks():
        features += block_features(block, shape, architecture.num_classes)
        shape = block_graph(block, shape, architecture.num_classes).out_shape
    if assumptions() > assumed_before:
        block_features.cache_clear()  # what is only assumed now may be measured next time
    return features


@lru_cache(maxsize=65536, typed=True)
def block_features(block: Block, in_shape: Shape, num_classes: int) -> tuple[OpFeatures, ...]:
    """Return the operations of a block; raises `ShapeError` where it cannot take that input."""
    return graph_features(block_graph(block, in_shape, num_classes))


def graph_features(graph: Graph) -> tuple[OpFeatures, ...]:
    """Return the operations that run in inference."""
    live, counted = graph.live(), completed(graph).nodes
    readers = Counter(i for index in live for i in graph.nodes[index].inputs)
    features = []
    for index in live[1:]:
        node = graph.nodes[index]
        if type(node.op) in _NO_WORK:
            continue
        source = graph.nodes[node.inputs[0]] if node.inputs else node
        only_reader = readers[node.inputs[0]] == 1 if node.inputs else False
        numbers = _numbers(node, counted[index].op, source, only_reader)
        features.append(OpFeatures(_kind(node.op, node.shape), numbers))
    return tuple(features)


def _numbers(node: Node, counted: ops.Op, source: Node, only_reader: bool) -> OpNumbers:
    """Describe an operation.

    Args:
        node: the operation.
        counted: it together with the costs that it does not state.
        source: the node that it reads first.
        only_reader: whether nothing else reads that, so that the two may be fused.
    """
    op, shape, in_shape = node.op, node.shape, source.shape
    stride = getattr(op, "stride", (1,))
    groups = getattr(op, "groups", getattr(op, "heads", 1))
    return OpNumbers(
        log_macs=log(1 + counted.macs(shape) + counted.attention_macs(shape)),
        log_read=log(1 + len(node.inputs) * prod(in_shape)),
        log_written=log(1 + prod(shape)),
        log_params=log(1 + counted.params),
        log_in_channels=log(1 + in_shape[0]),
        log_out_channels=log(1 + shape[0]),
        log_out_positions=log(1 + prod(shape[1:])),
        log_in_positions=log(1 + prod(in_shape[1:])),
        kernel=float(getattr(op, "kernel", (1,))[0]),
        dims=float(len(shape)),
        inputs=float(len(node.inputs)),
        strided=float(stride != (1,) * len(stride) if isinstance(stride, tuple) else stride > 1),
        log_groups=log(groups),
        in_channels_by_8=float(in_shape[0] // groups % 8 == 0),
        in_channels_by_16=float(in_shape[0] // groups % 16 == 0),
        out_channels_by_8=float(shape[0] // groups % 8 == 0),
        out_channels_by_16=float(shape[0] // groups % 16 == 0),
        counts_padding=float(getattr(op, "count_padding", True)),
        after_conv=float(only_reader and type(source.op) is ops.Conv),
        after_batch_norm=float(only_reader and type(source.op) is ops.BatchNorm),
        after_sum=float(only_reader and type(source.op) is ops.Add),
    )


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
