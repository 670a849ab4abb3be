"""What a network costs, from its graph: counted for each block once and put together along the chain."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from math import inf, prod
from typing import NamedTuple

from nas.cost.field import Field, extend, field_of
from nas.cost.memory import FLOAT_BYTES, SavedMemory, peak_bytes, saved_memory, storages
from nas.errors import ShapeError
from nas.network import ops
from nas.network.architecture import Architecture
from nas.network.graph import Graph, Node
from nas.network.ops import Shape, Window
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


class _Counts(NamedTuple):
    """What simply adds up."""

    params: int
    macs: int
    activations: int
    size_bytes: int
    attention_macs: int
    param_tensors: int
    size_fp16_bytes: int
    size_int8_bytes: int


class _Part(NamedTuple):
    """What is known of a part of a chain: a block, or a section of them."""

    counts: _Counts
    peak: int
    """With the memory of its input."""
    first_peak: int
    """Without, for the first part of a network."""
    saved: SavedMemory
    field: Field
    out_shape: Shape


_NOTHING = _Counts(*(0 for _ in _Counts._fields))


def _counts(graph: Graph, live: set[int]) -> _Counts:
    """Count a graph; parameters in all of it, work only where inference goes."""
    totals = [0] * len(_NOTHING)
    for index, node in enumerate(graph.nodes[1:], start=1):
        shapes, buffers = node.op.param_shapes, node.op.buffer_bytes
        params = sum(map(prod, shapes))
        counters = 8 if isinstance(node.op, ops.BatchNorm) else 0
        weights = prod(shapes[0]) if shapes and isinstance(node.op, _QUANTISED) else 0
        scales = node.shape[-1 if isinstance(node.op, ops.Linear) else 0] if weights else 0
        runs = index in live
        new = node.op.memory != "view" and not node.in_place
        attention = node.op.attention_macs(node.shape) if runs else 0
        row = (
            params,
            (node.op.macs(node.shape) + attention) if runs else 0,
            prod(node.shape) if runs and new else 0,
            FLOAT_BYTES * params + buffers,
            attention,
            len(shapes),
            2 * params + (buffers - counters) // 2 + counters,
            FLOAT_BYTES * (params - weights + scales) + weights + buffers,
        )
        totals = [total + value for total, value in zip(totals, row, strict=True)]
    return _Counts(*totals)


_QUANTISED = (ops.Conv, ops.ConvTranspose, ops.Linear)


@lru_cache(maxsize=65536)
def _graph_part(graph: Graph) -> _Part:
    live, storage = graph.live(), storages(graph)
    return _Part(
        _counts(graph, set(live)),
        peak_bytes(graph, live, storage, count_input=True),
        peak_bytes(graph, live, storage, count_input=False),
        saved_memory(graph, storage),
        field_of(graph, live),
        graph.out_shape,
    )


def _then(a: _Part, b: _Part) -> _Part:
    """Put two parts of a chain together."""
    inner = a.saved.inner_bytes + b.saved.inner_bytes
    kept = a.saved.output_saved or (a.saved.passes_input and a.saved.saves_input)
    saves_input = a.saved.saves_input
    if b.saved.saves_input and not kept:
        if a.saved.passes_input:
            saves_input = True
        else:
            inner += b.saved.input_bytes
    saved = SavedMemory(
        inner_bytes=inner,
        input_bytes=a.saved.input_bytes,
        saves_input=saves_input,
        output_saved=b.saved.output_saved or (b.saved.passes_input and (kept or b.saved.saves_input)),
        passes_input=a.saved.passes_input and b.saved.passes_input,
    )
    return _Part(
        _Counts(*map(sum, zip(a.counts, b.counts, strict=True))),
        max(a.peak, b.peak),
        max(a.first_peak, b.first_peak if a.saved.passes_input else b.peak),
        saved,
        _compose(a.field, b.field),
        b.out_shape,
    )


def _compose(a: Field, b: Field) -> Field:
    """The field of a map that looks with `b` into a map with field `a`; features and tokens look into none."""
    if len(a) == len(b):
        return extend(a, b)
    return extend(a, (Window(0),)) if any(one.size == inf for one in b) else a


def _empty(shape: Shape) -> _Part:
    return _graph_part(_identity_graph(shape))


@lru_cache(maxsize=4096)
def _identity_graph(shape: Shape) -> Graph:
    return Graph((Node("input", ops.Input(shape), (), shape),), (0,))


@lru_cache(maxsize=65536)
def _section_part(section: Section, in_shape: Shape, num_classes: int) -> _Part:
    """A section as one part. Candidates of one space share most of their sections."""
    total = _empty(in_shape)
    for graph in section_graphs(section, in_shape, num_classes):
        total = _then(total, _graph_part(graph))
    return total


def cost_of(arch: Architecture) -> Cost:
    """Count what a network costs without building it.

    Raises:
        ShapeError: the architecture is not a network, for example because its map shrinks to nothing.
    """
    total = _empty(arch.input_shape)
    for name, section in arch.sections():
        try:
            total = _then(total, _section_part(section, total.out_shape, arch.num_classes))
        except ShapeError as error:
            raise error.inside(name) from None
    return _cost(total)


def graph_cost(graph: Graph) -> Cost:
    """Count the cost of any graph as a whole."""
    return _cost(_graph_part(graph))


def _cost(part: _Part) -> Cost:
    saved = part.saved
    size = max((one.size for one in part.field), default=1)
    return Cost(
        *part.counts,
        peak_memory_bytes=part.first_peak,
        training_memory_bytes=saved.inner_bytes + (saved.input_bytes if saved.saves_input else 0),
        receptive_field=None if size == inf else int(size),
        stride=tuple(float(one.stride) for one in part.field),
    )
