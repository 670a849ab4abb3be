"""The builder of a graph, to which blocks add their operations."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod

from nas.errors import ShapeError
from nas.network import ops
from nas.network.graph import ANY, ONE_OUTPUT, Graph, Node, ValueRange, splice, with_memory
from nas.network.ops import Ints, Kind, Op, Shape, Tokens, kind_of
from nas.network.simplify import simplify

_MAX_NODES = 2**16
_MAX_NUMBERS = 2**40


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor inside a graph that is being built: which node makes it, and its shape."""

    index: int
    """Of the node."""
    shape: Shape
    """Without the batch."""

    @property
    def kind(self) -> Kind:
        """Whether it is a map, tokens or features."""
        return kind_of(self.shape)

    @property
    def channels(self) -> int:
        """Channels of a map, features otherwise."""
        return self.shape[-1] if isinstance(self.shape, Tokens) else self.shape[0]

    @property
    def map_size(self) -> Shape:
        """Empty where there is no map."""
        return () if isinstance(self.shape, Tokens) else self.shape[1:]

    @property
    def spatial_dims(self) -> int:
        """Dimensions of the map, 0 where there is none."""
        return len(self.map_size)


_splice = lru_cache(maxsize=16384)(splice)
"""What is made of others, such as a cell, has the same parts in the same places again and again."""


class GraphBuilder:
    """Adds operations to a graph. A block is a function that takes one and a `Value` and returns a `Value`."""

    def __init__(self, in_shape: Shape, num_classes: int = 10) -> None:
        self._nodes = [Node("input", ops.Input(in_shape), (), in_shape)]
        self.prefix = ""
        """What names of operations begin with at the moment."""
        self._names = {"input"}
        self._auxiliary: list[int] = []
        self.input = Value(0, in_shape)
        self.num_classes = num_classes
        """Classes of the data, for blocks that classify."""

    def scope(self, name: str) -> AbstractContextManager[None]:
        """Begin the names of the operations added within with `name`: `with g.scope("expand"): ...`."""
        return _Scope(self, name)

    def add(self, name: str, op: Op, *inputs: Value) -> Value:
        """Add one operation and infer its shape; raises `ShapeError` naming the operation."""
        full = self.prefix + name
        assert full not in self._names, f"two operations named {full!r} in one block"
        try:
            shape = _kept_kind(op, inputs, op.out_shape(*[value.shape for value in inputs]))
            _check_size(op, shape)
        except ShapeError as error:
            raise error.inside(full) from None
        self._check_room(1)
        self._names.add(full)
        self._nodes.append(Node(full, op, tuple([value.index for value in inputs]), shape))
        return Value(len(self._nodes) - 1, shape)

    def insert(self, graph: Graph, x: Value) -> Value:
        """Add all operations of a graph of one output, which reads `x`; raises `ShapeError` where it has several."""
        if len(graph.outputs) > 1:
            raise ShapeError("gives several maps, which only the last block of a network may").inside(self.prefix[:-1])
        self._check_room(len(graph.nodes))
        if len(graph.nodes) == 1 and not graph.auxiliary:
            return Value(x.index, graph.out_shape)
        part = _splice(graph, x.index, len(self._nodes), self.prefix)
        self._names.update([node.name for node in part.nodes])
        self._nodes += part.nodes
        self._auxiliary += part.auxiliary
        return Value(part.outputs[0], graph.out_shape)

    def _check_room(self, more: int) -> None:
        if len(self._nodes) + more > _MAX_NODES:
            raise ShapeError(f"a block may have {_MAX_NODES:,} operations").inside(self.prefix.rstrip("."))

    @property
    def has_auxiliary(self) -> bool:
        """Whether there is an auxiliary output."""
        return bool(self._auxiliary)

    def auxiliary(self, prediction: Value) -> None:
        """Make a value an output in training, beside the network's own."""
        self._auxiliary.append(prediction.index)

    def finish(self, output: Value | Sequence[Value], *, simplified: bool = True, in_range: ValueRange = ANY) -> Graph:
        """Return the graph.

        Args:
            output: what it gives, one value or several.
            simplified: leave out what has no effect on the output.
            in_range: bounds of the numbers of its input, which may make an operation have none.

        Raises:
            ShapeError: several outputs beside auxiliary classifiers.
        """
        values = [output] if isinstance(output, Value) else output
        if self._auxiliary and len(values) > 1:
            raise ShapeError(ONE_OUTPUT)
        graph = Graph(tuple(self._nodes), tuple(value.index for value in values), tuple(self._auxiliary))
        if simplified:
            return simplify(graph, in_range)
        return replace(graph, nodes=with_memory(graph.nodes, graph.ends))

    # The operations that need more than their own fields are worked out here from the value they read.

    def conv(
        self,
        x: Value,
        out_channels: int,
        kernel: int | Ints,
        *,
        stride: int | Ints = 1,
        padding: int | Ints | None = None,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = False,
        name: str = "conv",
    ) -> Value:
        """Convolution; `padding=None` keeps the map size at stride 1: d(k-1)/2, for even kernels one more behind."""
        dims = x.spatial_dims
        sizes = _each(kernel, dims)
        pads = tuple(dilation * (k - 1) // 2 for k in sizes) if padding is None else _each(padding, dims)
        odd = tuple(dilation * (k - 1) % 2 for k in sizes)
        if padding is None and any(odd):
            x = self.add(f"{name}_pad", ops.Pad(pads, tuple(map(operator.add, pads, odd))), x)
            pads = (0,) * dims
        op = ops.Conv(x.channels, out_channels, sizes, _each(stride, dims), pads, _each(dilation, dims), groups, bias)
        return self.add(name, op, x)

    def linear(self, x: Value, out_features: int, *, bias: bool = True, name: str = "linear") -> Value:
        """Matrix product on features, or on those of each token."""
        return self.add(name, ops.Linear(x.shape[-1], out_features, bias), x)

    def norm(self, x: Value, kind: str | None = "batch", name: str = "norm") -> Value:
        """The named normalisation over channels; `None` adds nothing.

        batch; batch_fixed, without learned scale and shift; group, with up to 32 groups of at least four channels (Wu &
        He 2018, section 3); layer.
        """
        if kind is None:
            return x
        if kind in ("batch", "batch_fixed"):
            return self.add(name, ops.BatchNorm(x.channels, x.spatial_dims, affine=kind == "batch"), x)
        if kind == "group":
            groups = next(n for n in range(max(1, min(32, x.channels // 4)), 0, -1) if x.channels % n == 0)
            return self.add(name, ops.GroupNorm(x.channels, groups), x)
        assert kind == "layer", kind
        return self.add(name, ops.LayerNorm(x.channels, of_map=x.kind != "tokens"), x)

    def activation(self, x: Value, kind: str | None, name: str = "act") -> Value:
        """The named non-linearity; `None` adds nothing."""
        return x if kind is None else self.add(name, ops.Activation(kind), x)

    def max_pool(
        self, x: Value, kernel: int, stride: int, padding: int = 0, *, ceil: bool = False, name: str = "pool"
    ) -> Value:
        """Maximum over a sliding window, the same in every spatial dimension."""
        dims = x.spatial_dims
        return self.add(name, ops.MaxPool(_each(kernel, dims), _each(stride, dims), _each(padding, dims), ceil), x)

    def avg_pool(
        self, x: Value, kernel: int, stride: int, padding: int = 0, *, count_padding: bool = True, name: str = "pool"
    ) -> Value:
        """Mean over a sliding window, the same in every spatial dimension."""
        dims = x.spatial_dims
        op = ops.AvgPool(_each(kernel, dims), _each(stride, dims), _each(padding, dims), count_padding=count_padding)
        return self.add(name, op, x)

    def global_pool(self, x: Value, kind: str = "avg", name: str = "pool") -> Value:
        """Mean or maximum over the whole map, kept as a map of size 1."""
        return self.add(name, ops.GlobalAvgPool() if kind == "avg" else ops.GlobalMaxPool(), x)

    def concat(self, values: Sequence[Value], name: str = "concat") -> Value:
        """Maps behind each other along the channels."""
        return self.add(name, ops.Concat(), *values)

    def dropout(self, x: Value, rate: float, name: str = "dropout") -> Value:
        """Dropout of single values; rate 0 adds nothing."""
        return self.add(name, ops.Dropout(rate), x) if rate else x

    def drop_path(self, x: Value, rate: float, name: str = "drop_path") -> Value:
        """Dropout of the whole branch; rate 0 adds nothing."""
        return self.add(name, ops.DropPath(rate), x) if rate else x

    def flatten(self, x: Value, name: str = "flatten") -> Value:
        """All dimensions in one; features stay as they are."""
        return x if len(x.shape) == 1 else self.add(name, ops.Flatten(), x)

    def zero(self, x: Value, shape: Shape | None = None, name: str = "zero") -> Value:
        """Zeros of a shape, by default that of `x`."""
        return self.add(name, ops.Zero(shape or x.shape), x)

    def conv_norm_act(
        self,
        x: Value,
        out_channels: int,
        kernel: int | Ints = 1,
        *,
        activation: str | None = None,
        norm: str | None = "batch",
        stride: int | Ints = 1,
        groups: int = 1,
        padding: int | Ints | None = None,
        dilation: int = 1,
        bias: bool | None = None,
        name: str | None = None,
    ) -> Value:
        """act(norm(conv(x))), the unit that most blocks are made of; by default the convolution has a bias only where
        no normalisation follows, which would take it away again.
        """
        with self.scope(name) if name else nullcontext():
            x = self.conv(
                x,
                out_channels,
                kernel,
                stride=stride,
                groups=groups,
                padding=padding,
                dilation=dilation,
                bias=norm is None if bias is None else bias,
            )
            return self.activation(self.norm(x, norm), activation)

    def norm_act_conv(
        self,
        x: Value,
        out_channels: int,
        kernel: int | Ints = 1,
        *,
        activation: str | None = "relu",
        norm: str | None = "batch",
        stride: int | Ints = 1,
        groups: int = 1,
        name: str | None = None,
    ) -> Value:
        """conv(act(norm(x))), the unit of pre-activation networks (He et al. 2016, "Identity mappings")."""
        with self.scope(name) if name else nullcontext():
            x = self.activation(self.norm(x, norm), activation)
            return self.conv(x, out_channels, kernel, stride=stride, groups=groups)


class _Scope:
    """Context in which the names of a builder are longer."""

    __slots__ = ("_builder", "_name", "_outer")

    def __init__(self, builder: GraphBuilder, name: str) -> None:
        self._builder, self._name, self._outer = builder, name, ""

    def __enter__(self) -> None:
        self._outer = self._builder.prefix
        self._builder.prefix = f"{self._outer}{self._name}."

    def __exit__(self, *_: object) -> None:
        self._builder.prefix = self._outer


def _kept_kind(op: Op, inputs: Sequence[Value], shape: Shape) -> Shape:
    """A user's operation that gives two dimensions of tokens, or of a map of more, gives tokens; others say so."""
    if type(op) in ops.BUILT_IN or len(shape) != 2 or not inputs:
        return shape
    first = inputs[0]
    return Tokens(shape) if first.kind == "tokens" or len(first.shape) > 2 else shape


def _check_size(op: Op, shape: Shape) -> None:
    """No tensor of a network that anybody could run is larger; whole numbers here know no end."""
    sizes = [prod(shape), *map(prod, op.param_shapes)]
    if max(sizes) > _MAX_NUMBERS or min(sizes) < 1:
        raise ShapeError(
            f"{type(op).__name__.lower()}: a tensor has from 1 to 2^40 numbers, but the output would have "
            f"{_count(sizes[0])} and the weights {_count(max(sizes[1:], default=0))}"
        )


def _count(number: int) -> str:
    return f"{number:,}" if number.bit_length() <= 64 else f"2^{number.bit_length() - 1}"


def _each(value: int | Ints, dims: int) -> Ints:
    return (value,) * dims if isinstance(value, int) else value
