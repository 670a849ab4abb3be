"""What a network costs, from its graph: counted for each block once and put together along the chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from functools import lru_cache
from math import ceil, inf, prod
from types import NoneType
from typing import NamedTuple

from nas.cost.field import field_of
from nas.cost.layout import IN_ORDER, LAYOUTS, Layout, layouts
from nas.cost.memory import FLOAT_BYTES, MIB, PeakMemory, SavedMemory, peak_memory, saved_memory, storages
from nas.cost.unstated import assumptions, completed
from nas.errors import ShapeError
from nas.network import ops
from nas.network.architecture import Architecture, checked_architecture
from nas.network.graph import ANY, ONE_OUTPUT, TAKES_ONE, UP_TO_6, Graph
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
    """Most memory that activations take at one time in inference, fp32, with the places of maxima that torch writes in
    max pooling; input, parameters and what a library uses inside an operation not counted."""
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
        """Read what `to_dict` wrote, also an earlier version of it."""
        known = {field.name for field in fields(cls)}
        given = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items() if name in known}
        for name, value in given.items():
            if isinstance(value, bool) or not isinstance(value, int | float | tuple | NoneType):
                raise ValueError(f"{name} is {value!r}")
        return cls(**given)  # type: ignore[arg-type]  # values of a record, which `to_dict` wrote


# What simply adds up, in the order of the fields of `Cost`.
_COUNTED = 8
_RANGES = UP_TO_6 + 1
_QUANTISED = (ops.Conv, ops.ConvTranspose, ops.Linear)

_Looks = tuple[tuple[float | Fraction, float | Fraction], ...]


class _Part(NamedTuple):
    """What is known of a part of a network: a block, or a graph as a whole."""

    counts: tuple[int, ...]
    """The first fields of `Cost`."""
    peak: PeakMemory
    saved: SavedMemory
    looks: _Looks
    """`(size - 1, stride)` of its field, a dimension; none where it looks at single positions."""
    out_shapes: tuple[Shape, ...]
    auxiliary: bool
    out_type: int
    """Which kind, range and layout the output has, as a number: see `_type_of`."""


@lru_cache(maxsize=65536)
def _op_counts(op: ops.Op, shape: Shape, runs: bool, writes: bool) -> tuple[int, ...]:
    """Count one operation; `runs` in inference, where it `writes` new memory."""
    shapes, buffers = op.param_shapes, op.buffer_bytes
    params = sum(map(prod, shapes))
    counters = 8 if type(op) is ops.BatchNorm else 0
    weights = prod(shapes[0]) if shapes and type(op) in _QUANTISED else 0
    scales = shape[-1 if type(op) is ops.Linear else 0] if weights else 0
    attention = op.attention_macs(shape) if runs else 0
    return (
        params,
        (op.macs(shape) + attention) if runs else 0,
        op.written(shape) if runs and writes else 0,
        FLOAT_BYTES * params + buffers,
        attention,
        len(shapes),
        2 * params + (buffers - counters) // 2 + counters,
        FLOAT_BYTES * (params - weights + scales) + weights + buffers,
    )


def _counts(graph: Graph, live: set[int], storage: Sequence[int]) -> tuple[int, ...]:
    """Count a graph; parameters in all of it, work only where inference goes."""
    rows = []
    for index, node in enumerate(graph.nodes[1:], start=1):
        # Those of users are equal as they say, whatever else they hold.
        count = _op_counts if type(node.op) in ops.BUILT_IN else _op_counts.__wrapped__
        rows.append(count(node.op, node.shape, index in live, storage[index] == index))
    return tuple(map(sum, zip(*rows, strict=True))) or (0,) * _COUNTED


def _graph_part(graph: Graph, in_layout: Layout = IN_ORDER) -> _Part:
    graph = completed(graph)
    live, lie = graph.live(), layouts(graph, in_layout)
    storage = storages(graph, lie)
    looks = tuple((one.size - 1, one.stride) for one in field_of(graph, live))
    return _Part(
        _counts(graph, set(live), storage),
        peak_memory(graph, live, storage),
        saved_memory(graph, lie),
        () if all(look == (0, 1) for look in looks) else looks,
        graph.out_shapes,
        bool(graph.auxiliary),
        _type_of(graph, lie[graph.outputs[0]]),
    )


def _type_of(graph: Graph, layout: Layout) -> int:
    """What is known of an output beside its shape, as one number, which keeps the key of the memo short."""
    return graph.out_range + _RANGES * (layout + LAYOUTS * isinstance(graph.out_shapes[0], Tokens))


@lru_cache(maxsize=65536)
def _block_part(block: Block, in_shape: Shape, num_classes: int, in_type: int) -> _Part:
    """A block as a part of a network, counted once; raises `ShapeError` where it cannot take that input.

    `in_type` is of the input; it tells tokens from a map of the same shape.
    """
    graph = block_graph(block, in_shape, num_classes, True, in_type % _RANGES)
    return _graph_part(graph, in_type // _RANGES % LAYOUTS)


def _chained_peak(parts: Sequence[_Part]) -> int:
    """Most bytes of activations at one time; the input of the network belongs to the caller."""
    peak = held = 0
    for part in parts:
        own = part.peak
        peak = max(peak, own.over_input + held, own.without_input)
        if not own.passes_input:
            held = own.output_bytes
    return peak


def _chained_saved(in_shape: Shape, parts: Sequence[_Part]) -> int:
    """Bytes that a chain keeps for the backward pass: memory between two parts is kept once, whoever asks for it."""
    kept, held, known = 0, FLOAT_BYTES * prod(in_shape), False
    for part in parts:
        own = part.saved
        kept += own.inner_bytes
        if own.saves_input and not known:
            kept += held
            known = True
        if not own.passes_input:
            held, known = own.output_bytes, own.output_saved
    return kept


def _chained_looks(dims: int, parts: Sequence[_Part]) -> _Looks:
    """How far the last map of a chain looks into its input; features have no map to look into."""
    every = [part.looks for part in parts if part.looks]
    maps = [looks for looks in every if len(looks) == dims]
    # What mixes tokens, or channels taken for a map, mixes everything.
    start = 0 if len(maps) == len(every) else inf
    found = []
    for i in range(dims):
        size: float | Fraction = start
        stride: float | Fraction = 1
        for looks in maps:
            more, step = looks[i]
            size += more * stride
            stride *= step
        found.append((size, stride))
    return tuple(found)


def network_parts(arch: Architecture) -> list[_Part]:
    """Return what is known of each block of a network, in order.

    Raises:
        ShapeError: the architecture is not a network; it names the operation.
    """
    parts: list[_Part] = []
    before = assumptions()
    shapes: tuple[Shape, ...] = (arch.input_shape,)
    in_type = ANY
    for name, section in arch.sections():
        for i, block in enumerate(section.blocks):
            try:
                if len(shapes) > 1:
                    raise ShapeError(TAKES_ONE)
                part = _block_part(block, shapes[0], arch.num_classes, in_type)
                shapes, in_type = part.out_shapes, part.out_type
                if len(shapes) > 1 and any(one.auxiliary for one in parts):
                    raise ShapeError(ONE_OUTPUT)
            except ShapeError as error:
                raise error.inside(f"{name}.{i}") from None
            parts.append(part)
    if assumptions() > before:
        _block_part.cache_clear()  # what is only assumed now may be measured next time
    return parts


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


def chain_cost(in_shape: Shape, parts: Sequence[_Part]) -> Cost:
    """Put the cost of a chain together from what is known of its parts."""
    columns = zip(*[part.counts for part in parts], strict=True) if parts else ((0,) for _ in range(_COUNTED))
    params, macs, activations, size_bytes, attention_macs, param_tensors, fp16, int8 = map(sum, columns)
    looks = _chained_looks(len(in_shape) - 1, parts)
    size = max([one for one, _ in looks], default=0) + 1
    return Cost(
        params,
        macs,
        activations,
        size_bytes,
        attention_macs,
        param_tensors,
        fp16,
        int8,
        _chained_peak(parts),
        _chained_saved(in_shape, parts),
        None if size == inf else ceil(size),
        tuple([int(stride) if stride == int(stride) else float(stride) for _, stride in looks]),
        FLOAT_BYTES * prod(in_shape),
    )
