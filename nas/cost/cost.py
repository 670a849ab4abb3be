"""What a network costs, from its graph: counted for each block once and put together along the chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from functools import lru_cache
from math import inf, prod
from typing import NamedTuple

from nas.cost.field import field_of
from nas.cost.memory import FLOAT_BYTES, SavedMemory, peak_bytes, saved_memory, storages
from nas.errors import ShapeError
from nas.network import ops
from nas.network.architecture import Architecture
from nas.network.graph import Graph
from nas.network.ops import Shape
from nas.network.registry import section_graphs
from nas.network.section import Section


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
    """Most memory that activations take at one time in inference, fp32; input, parameters and work space inside an
    operation not counted."""
    training_memory_bytes: int = 0
    """What training keeps of one example for the backward pass, fp32, parameters not counted."""
    receptive_field: int | None = None
    """Positions of the input, along its longest side, that a position of the last map depends on in theory; None: all
    of them, as with attention."""
    stride: tuple[float, ...] = ()
    """Distance of neighbours of the last map in the input, for each dimension."""

    @property
    def size_mib(self) -> float:
        """Stored size in MiB (2^20 bytes), fp32."""
        return self.size_bytes / 2**20

    @property
    def peak_memory_mib(self) -> float:
        """Peak memory of activations in MiB (2^20 bytes)."""
        return self.peak_memory_bytes / 2**20

    def to_dict(self) -> dict[str, int | list[float] | None]:
        """Return the fields as plain values; `Cost.from_dict` reads them."""
        return {**asdict(self), "stride": list(self.stride)}

    @classmethod
    def from_dict(cls, values: dict[str, object]) -> Cost:
        """Read what `to_dict` wrote, also an earlier version of it."""
        known = {field.name for field in fields(cls)}
        given = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items() if name in known}
        return cls(**given)  # type: ignore[arg-type]


METRICS: tuple[str, ...] = ("params", "macs", "activations", "size_mib", "peak_memory_mib")
"""The names that a constraint can bound: attributes of `Cost`."""


# What simply adds up, in the order of the fields of `Cost`.
_COUNTED = 8
_QUANTISED = (ops.Conv, ops.ConvTranspose, ops.Linear)

_Looks = tuple[tuple[float | Fraction, float | Fraction], ...]


class _Part(NamedTuple):
    """What is known of a part of a chain: a block, or a section of them."""

    counts: tuple[int, ...]
    """The first fields of `Cost`."""
    peak: int
    """With the memory of its input."""
    first_peak: int
    """Without, for the first part of a network."""
    saved: SavedMemory
    looks: _Looks
    """`(size - 1, stride)` of its field, a dimension; none where it looks at single positions."""
    dims: int
    """Spatial dimensions of its input."""
    out_shape: Shape


@lru_cache(maxsize=65536)
def _op_counts(op: ops.Op, shape: Shape, runs: bool, writes: bool) -> tuple[int, ...]:
    """Count one operation; `runs` in inference, where it `writes` new memory."""
    shapes, buffers = op.param_shapes, op.buffer_bytes
    params = sum(map(prod, shapes))
    counters = 8 if isinstance(op, ops.BatchNorm) else 0
    weights = prod(shapes[0]) if shapes and isinstance(op, _QUANTISED) else 0
    scales = shape[-1 if isinstance(op, ops.Linear) else 0] if weights else 0
    attention = op.attention_macs(shape) if runs else 0
    return (
        params,
        (op.macs(shape) + attention) if runs else 0,
        prod(shape) if runs and writes else 0,
        FLOAT_BYTES * params + buffers,
        attention,
        len(shapes),
        2 * params + (buffers - counters) // 2 + counters,
        FLOAT_BYTES * (params - weights + scales) + weights + buffers,
    )


def _counts(graph: Graph, live: set[int]) -> tuple[int, ...]:
    """Count a graph; parameters in all of it, work only where inference goes."""
    rows = [
        _op_counts(node.op, node.shape, index in live, node.op.memory != "view" and not node.in_place)
        for index, node in enumerate(graph.nodes[1:], start=1)
    ]
    return tuple(map(sum, zip(*rows, strict=True))) or (0,) * _COUNTED


@lru_cache(maxsize=65536)
def _graph_part(graph: Graph) -> _Part:
    live, storage = graph.live(), storages(graph)
    looks = tuple((one.size - 1, one.stride) for one in field_of(graph, live))
    peak, first_peak = peak_bytes(graph, live, storage)
    return _Part(
        _counts(graph, set(live)),
        peak,
        first_peak,
        saved_memory(graph),
        () if all(look == (0, 1) for look in looks) else looks,
        len(graph.in_shape) - 1,
        graph.out_shape,
    )


def _chained(in_shape: Shape, parts: Sequence[_Part]) -> _Part:
    """Put the parts of a chain together."""
    looks, peak, first_peak, at_input = _looks(len(in_shape) - 1, parts), 0, 0, True
    for part in parts:
        peak = max(peak, part.peak)
        first_peak = max(first_peak, part.first_peak if at_input else part.peak)
        at_input = at_input and part.saved.passes_input
    return _Part(
        tuple(map(sum, zip(*[part.counts for part in parts], strict=True))) or (0,) * _COUNTED,
        max(peak, FLOAT_BYTES * prod(in_shape)),
        first_peak,
        _chained_saved(in_shape, parts),
        looks,
        len(in_shape) - 1,
        parts[-1].out_shape if parts else in_shape,
    )


def _chained_saved(in_shape: Shape, parts: Sequence[_Part]) -> SavedMemory:
    """What a chain keeps for the backward pass: memory between two parts is kept once, whoever asks for it."""
    inner, saves_input, kept, at_input = 0, False, False, True
    for part in parts:
        saved = part.saved
        inner += saved.inner_bytes
        if saved.saves_input and not kept:
            kept = True
            if at_input:
                saves_input = True
            else:
                inner += saved.input_bytes
        if not saved.passes_input:
            at_input, kept = False, saved.output_saved
    return SavedMemory(inner, FLOAT_BYTES * prod(in_shape), saves_input, kept, at_input)


def _looks(dims: int, parts: Sequence[_Part]) -> _Looks:
    """How far the last map of a chain looks into its input; features and tokens have no map to look into."""
    sizes: list[float | Fraction] = [0] * dims
    strides: list[float | Fraction] = [1] * dims
    for part in parts:
        if len(part.looks) == dims:
            for i, (size, stride) in enumerate(part.looks):
                sizes[i] += size * strides[i]
                strides[i] *= stride
        elif part.looks and part.looks[0][0] == inf:
            sizes = [inf] * dims
    return tuple(zip(sizes, strides, strict=True))


@lru_cache(maxsize=65536)
def _section_part(section: Section, in_shape: Shape, num_classes: int) -> _Part:
    """A section as one part. Candidates of one space share most of their sections."""
    return _chained(in_shape, [_graph_part(graph) for graph in section_graphs(section, in_shape, num_classes)])


def cost_of(arch: Architecture) -> Cost:
    """Count what a network costs without building it.

    Raises:
        ShapeError: the architecture is not a network, for example because its map shrinks to nothing.
    """
    parts: list[_Part] = []
    shape = arch.input_shape
    for name, section in arch.sections():
        try:
            part = _section_part(section, shape, arch.num_classes)
        except ShapeError as error:
            raise error.inside(name) from None
        parts.append(part)
        shape = part.out_shape
    return _cost(_chained(arch.input_shape, parts))


def graph_cost(graph: Graph) -> Cost:
    """Count the cost of any graph as a whole."""
    return _cost(_graph_part(graph))


def _cost(part: _Part) -> Cost:
    saved, looks = part.saved, part.looks or ((0, 1),) * part.dims
    size = max([one for one, _ in looks], default=0) + 1
    params, macs, activations, size_bytes, attention_macs, param_tensors, fp16, int8 = part.counts
    return Cost(
        params,
        macs,
        activations,
        size_bytes,
        attention_macs,
        param_tensors,
        fp16,
        int8,
        part.first_peak,
        saved.inner_bytes + (saved.input_bytes if saved.saves_input else 0),
        None if size == inf else int(size),
        tuple([float(stride) for _, stride in looks]),
    )
