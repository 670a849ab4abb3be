"""Cost of a network, from its graph: counted for each block once and put together along the chain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from math import ceil, inf, prod
from types import NoneType
from typing import NamedTuple

from nas.cost.measured_costs import assumptions, completed
from nas.cost.memory import (
    FLOAT_BYTES,
    MIB,
    RANDOM,
    PeakMemory,
    SavedMemory,
    chain_peak,
    chain_saved,
    held_bytes,
    peak_memory,
    saved_memory,
    storages,
)
from nas.cost.memory_layout import IN_ORDER, Layout, layouts
from nas.cost.receptive_field import FieldGrowth, chain_growth, field_growth
from nas.errors import ShapeError
from nas.network import ops
from nas.network.architecture import Architecture, checked_architecture
from nas.network.graph import ANY, ONE_OUTPUT, TAKES_ONE, Graph, ValueRange
from nas.network.ops import Shape, Tokens
from nas.network.registry import Block, block_graph


@dataclass(frozen=True, slots=True)
class Cost:
    """Costs that follow from the graph alone, at batch 1 and the architecture's input size."""

    params: int = 0
    """Learned numbers, those of auxiliary classifiers too."""
    macs: int = 0
    """Multiply-adds of convolution, linear and attention products in inference; bias, normalisation, activation and
    pooling not counted. Papers mostly call this FLOPs; FLOPs are 2 x MACs."""
    activations: int = 0
    """Numbers that all operations write to new memory in inference, together: what works in place, views and the input
    are not counted."""
    size_bytes: int = 0
    """Bytes of the stored state: parameters and running statistics, in fp32."""
    attention_macs: int = 0
    """The share of `macs` that the two matrix products of attention have."""
    param_tensors: int = 0
    """Learned tensors."""
    size_fp16_bytes: int = 0
    """Stored size with every floating-point number in 16 bits."""
    size_int8_bytes: int = 0
    """Stored size with the weights of convolution and linear layers in 8 bits and a 32-bit scale for each output
    channel; everything else in fp32."""
    peak_memory_bytes: int = 0
    """Most memory that activations take at one time in inference, fp32, with the positions of maxima that torch writes
    in max pooling; input, parameters and what a library uses inside an operation not counted."""
    training_memory_bytes: int = 0
    """What training keeps of one example for the backward pass, fp32, parameters not counted."""
    receptive_field: int | None = None
    """Positions of the input, along its longest side, that a position of the last map depends on in theory; None: all
    of them, as with attention."""
    stride: tuple[float, ...] = ()
    """Distance of neighbours of the last map in the input, for each dimension."""
    input_bytes: int = 0
    """Of one example, fp32."""

    @property
    def size_mib(self) -> float:
        """Stored size in MiB (2^20 bytes), fp32."""
        return self.size_bytes / MIB

    @property
    def peak_memory_mib(self) -> float:
        """Peak memory of activations in MiB (2^20 bytes)."""
        return self.peak_memory_bytes / MIB

    def to_dict(self) -> dict[str, int | list[float] | None]:
        """Return the fields as plain values; `Cost.from_dict` reads them."""
        return {**asdict(self), "stride": list(self.stride)}

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Cost:
        """Read what `to_dict` wrote, also an earlier version of it.

        Raises:
            ValueError: a value is no number.
        """
        names = {field.name for field in fields(cls)}
        read = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items() if name in names}
        for name, value in read.items():
            if isinstance(value, bool) or not isinstance(value, int | float | tuple | NoneType):
                raise ValueError(f"{name} is {value!r}")
        return cls(**read)  # type: ignore[arg-type]  # values of a record, which `to_dict` wrote


_QUANTISED = (ops.Conv, ops.ConvTranspose, ops.Linear)


class Counts(NamedTuple):
    """What simply adds up along a network; each is the field of `Cost` of that name."""

    params: int = 0
    """Learned numbers."""
    macs: int = 0
    """Multiply-adds in inference."""
    activations: int = 0
    """Numbers written to new memory in inference."""
    size_bytes: int = 0
    """Stored state in fp32."""
    attention_macs: int = 0
    """The share of `macs` of the two matrix products of attention."""
    param_tensors: int = 0
    """Learned tensors."""
    size_fp16_bytes: int = 0
    """Stored state in 16 bits."""
    size_int8_bytes: int = 0
    """Stored state with quantised weights."""

    @classmethod
    def total(cls, counts: Iterable[Counts]) -> Counts:
        """Add them up, each by its name."""
        return cls(*map(sum, zip(*counts, strict=True)))


class ValueType(NamedTuple):
    """What the cost of a block depends on beside the shape of its input."""

    value_range: ValueRange = ANY
    """Bounds of its numbers."""
    layout: Layout = IN_ORDER
    """How it lies in memory."""
    tokens: bool = False
    """Whether it is tokens, which have the shape of a map of one dimension."""


@dataclass(frozen=True, slots=True)
class PartCost:
    """What a part of a network costs, a block or a graph as a whole, so that a chain of parts can be put together."""

    counts: Counts
    """What adds up."""
    peak: PeakMemory
    """Memory of activations in inference."""
    saved: SavedMemory
    """What training keeps for the backward pass."""
    growths: tuple[FieldGrowth, ...]
    """What it adds to the receptive field, a dimension each; none where positions do not mix."""
    out_shapes: tuple[Shape, ...]
    """Of its outputs, without the batch."""
    auxiliary: bool
    """Whether it has auxiliary classifiers."""
    out_type: ValueType
    """Of its first output."""


_INPUT = ValueType()
"""Of the input of a network."""


@lru_cache(maxsize=65536)
def _op_counts(op: ops.Op, shape: Shape, runs: bool, writes: bool) -> Counts:
    """Count one operation; `runs` in inference, where it `writes` new memory."""
    shapes, buffers = op.param_shapes, op.buffer_bytes
    params = sum(map(prod, shapes))
    counters = 8 if type(op) is ops.BatchNorm else 0
    weights = prod(shapes[0]) if shapes and type(op) in _QUANTISED else 0
    scales = shape[-1 if type(op) is ops.Linear else 0] if weights else 0
    attention = op.attention_macs(shape) if runs else 0
    return Counts(
        params=params,
        macs=(op.macs(shape) + attention) if runs else 0,
        activations=op.written(shape) if runs and writes else 0,
        size_bytes=FLOAT_BYTES * params + buffers,
        attention_macs=attention,
        param_tensors=len(shapes),
        size_fp16_bytes=2 * params + (buffers - counters) // 2 + counters,
        size_int8_bytes=FLOAT_BYTES * (params - weights + scales) + weights + buffers,
    )


def _counts(graph: Graph, live: set[int], storage: Sequence[int]) -> Counts:
    """Count a graph; parameters in all of it, work only where inference goes."""
    counts = []
    for index, node in enumerate(graph.nodes[1:], start=1):
        # Those of users are equal as they say, whatever else they hold.
        count = _op_counts if type(node.op) in ops.BUILT_IN else _op_counts.__wrapped__
        counts.append(count(node.op, node.shape, index in live, storage[index] == index))
    return Counts.total(counts)


def _graph_part(graph: Graph, in_layout: Layout = IN_ORDER) -> PartCost:
    graph = completed(graph)
    kinds = {type(node.op) for node in graph.nodes}
    live, node_layouts, held_by = graph.live(), layouts(graph, in_layout), held_bytes(graph)
    live_in_training = graph.live(training=True) if graph.auxiliary else live
    storage = storages(graph, node_layouts)
    storage_in_training = storage if RANDOM.isdisjoint(kinds) else storages(graph, node_layouts, training=True)
    first = graph.nodes[graph.outputs[0]].shape
    return PartCost(
        counts=_counts(graph, set(live), storage),
        peak=peak_memory(graph, live, storage, held_by),
        saved=saved_memory(graph, live_in_training, storage_in_training, held_by, node_layouts),
        growths=field_growth(graph, live),
        out_shapes=graph.out_shapes,
        auxiliary=bool(graph.auxiliary),
        out_type=ValueType(graph.out_range, node_layouts[graph.outputs[0]], isinstance(first, Tokens)),
    )


@lru_cache(maxsize=65536)
def _block_part(block: Block, in_shape: Shape, num_classes: int, in_type: ValueType) -> PartCost:
    """Return a block as a part of a network, counted once; raises `ShapeError` where it cannot take that input.

    `in_type` tells tokens from a map of the same shape, which are equal keys.
    """
    return _graph_part(block_graph(block, in_shape, num_classes, True, in_type.value_range), in_type.layout)


def network_parts(arch: Architecture) -> list[PartCost]:
    """Return what each block of a network costs, in order.

    Raises:
        ShapeError: the architecture is not a network; it names the operation.
    """
    parts: list[PartCost] = []
    assumed_before = assumptions()
    shapes: tuple[Shape, ...] = (arch.input_shape,)
    in_type = _INPUT
    try:
        for block in arch.blocks():
            if len(shapes) > 1:
                raise ShapeError(TAKES_ONE)
            part = _block_part(block, shapes[0], arch.num_classes, in_type)
            shapes, in_type = part.out_shapes, part.out_type
            if len(shapes) > 1 and any(before.auxiliary for before in parts):
                raise ShapeError(ONE_OUTPUT)
            parts.append(part)
    except ShapeError as error:
        raise error.inside(_name_of_block(arch, len(parts))) from None
    if assumptions() > assumed_before:
        _block_part.cache_clear()  # what is only assumed now may be measured next time
    return parts


def _name_of_block(arch: Architecture, number: int) -> str:
    return next(islice((name for name, _ in arch.named_blocks()), number, None))


def output_shapes(arch: Architecture) -> tuple[Shape, ...]:
    """Return the shapes of what a network gives; raises `ShapeError` as `cost_of` does."""
    parts = network_parts(arch)
    return parts[-1].out_shapes if parts else (arch.input_shape,)


def cost_of(arch: Architecture) -> Cost:
    """Count what a network costs without building it.

    Raises:
        ShapeError: the architecture is not a network, for example because its map shrinks to nothing.
    """
    arch = checked_architecture(arch, "cost_of")
    return chain_cost(arch.input_shape, network_parts(arch))


def graph_cost(graph: Graph) -> Cost:
    """Count the cost of any graph as a whole."""
    return chain_cost(graph.in_shape, [_graph_part(graph)])


def chain_cost(in_shape: Shape, parts: Sequence[PartCost]) -> Cost:
    """Return the cost of a chain of parts.

    Args:
        in_shape: of the input of the chain, without the batch.
        parts: what each part costs, in order.
    """
    counts = Counts.total([part.counts for part in parts])
    growths = chain_growth(len(in_shape) - 1, [part.growths for part in parts])
    field = max([growth.growth for growth in growths], default=0) + 1
    input_bytes = FLOAT_BYTES * prod(in_shape)
    return Cost(
        params=counts.params,
        macs=counts.macs,
        activations=counts.activations,
        size_bytes=counts.size_bytes,
        attention_macs=counts.attention_macs,
        param_tensors=counts.param_tensors,
        size_fp16_bytes=counts.size_fp16_bytes,
        size_int8_bytes=counts.size_int8_bytes,
        peak_memory_bytes=chain_peak([part.peak for part in parts]),
        training_memory_bytes=chain_saved(input_bytes, [part.saved for part in parts]),
        receptive_field=None if field == inf else ceil(field),
        stride=tuple([_plain(growth.stride) for growth in growths]),
        input_bytes=input_bytes,
    )


def _plain(stride: float | Fraction) -> float:
    return int(stride) if stride == int(stride) else float(stride)
