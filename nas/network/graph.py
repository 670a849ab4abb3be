"""A network as a list of primitive operations with inferred shapes, and the builder that blocks write to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from nas.errors import ShapeError
from nas.network import ops
from nas.network.ops import Ints, Op, Shape


@dataclass(frozen=True, slots=True)
class Node:
    """One operation in a graph."""

    name: str
    """Hierarchical and unique, e.g. `stages.2.blocks.1.expand.conv`; parameters are named after it."""
    op: Op
    inputs: tuple[int, ...]
    """Indices of the nodes it reads, all before it."""
    shape: Shape
    """Shape of its output, without the batch."""


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Operations in an order in which they can run. The first is the input, the last is the output.

    Two graphs are compared by `nas.network.identity.graph_id`, not by `==`.
    """

    nodes: tuple[Node, ...]

    @property
    def in_shape(self) -> Shape:
        return self.nodes[0].shape

    @property
    def out_shape(self) -> Shape:
        return self.nodes[-1].shape


def chain(in_shape: Shape, parts: Iterable[tuple[str, Graph]]) -> Graph:
    """Join graphs one behind the other; each part's node names get its name as a prefix.

    Args:
        in_shape: shape of the network's input.
        parts: `(name, graph)`, where each graph takes the output shape of the one before.
    """
    nodes = [Node("input", ops.Input(in_shape), (), in_shape)]
    last = 0
    for name, graph in parts:
        assert graph.in_shape == nodes[last].shape, (name, graph.in_shape, nodes[last].shape)
        # A part's own input (index 0) is the last node so far; its other nodes follow behind.
        offset, first = len(nodes) - 1, last
        for node in graph.nodes[1:]:
            inputs = tuple(first if i == 0 else i + offset for i in node.inputs)
            nodes.append(Node(f"{name}.{node.name}", node.op, inputs, node.shape))
        if len(graph.nodes) > 1:
            last = len(nodes) - 1
    return Graph(tuple(nodes))


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor inside a graph that is being built: which node makes it, and its shape."""

    index: int
    shape: Shape

    @property
    def channels(self) -> int:
        return self.shape[0]

    @property
    def spatial_dims(self) -> int:
        return len(self.shape) - 1


class GraphBuilder:
    """Adds operations to a graph. A block is a function that takes one and a `Value` and returns a `Value`."""

    def __init__(self, in_shape: Shape) -> None:
        self._nodes = [Node("input", ops.Input(in_shape), (), in_shape)]
        self._scope: tuple[str, ...] = ()
        self._names = {"input"}
        self.input = Value(0, in_shape)

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Names of the operations added inside start with `name`."""
        outer, self._scope = self._scope, (*self._scope, name)
        try:
            yield
        finally:
            self._scope = outer

    def add(self, name: str, op: Op, *inputs: Value) -> Value:
        """Add one operation and infer its shape; raises `ShapeError` naming the operation."""
        full = ".".join((*self._scope, name))
        assert full not in self._names, f"two operations named {full!r} in one block"
        try:
            shape = op.out_shape(*(value.shape for value in inputs))
        except ShapeError as error:
            raise error.inside(full) from None
        self._names.add(full)
        self._nodes.append(Node(full, op, tuple(value.index for value in inputs), shape))
        return Value(len(self._nodes) - 1, shape)

    def finish(self, output: Value) -> Graph:
        """Return the graph, whose output must be the last operation added (or the input itself)."""
        assert output.index == len(self._nodes) - 1, "a block must return what it added last"
        return Graph(tuple(self._nodes))

    # The operations that need more than their own fields are worked out here from the value they read.

    def conv(
        self,
        x: Value,
        out_channels: int,
        kernel: int | Ints,
        *,
        stride: int = 1,
        padding: int | None = None,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = False,
        name: str = "conv",
    ) -> Value:
        """Convolution; `padding=None` keeps the map size at stride 1 for odd kernels: d(k-1)/2."""
        dims = x.spatial_dims
        sizes = _each(kernel, dims)
        pads = tuple(dilation * (k - 1) // 2 for k in sizes) if padding is None else _each(padding, dims)
        op = ops.Conv(x.channels, out_channels, sizes, _each(stride, dims), pads, _each(dilation, dims), groups, bias)
        return self.add(name, op, x)

    def norm(self, x: Value, name: str = "norm") -> Value:
        """Batch normalisation."""
        return self.add(name, ops.BatchNorm(x.channels, x.spatial_dims), x)

    def activation(self, x: Value, kind: str | None, name: str = "act") -> Value:
        """The named non-linearity; `None` adds nothing."""
        return x if kind is None else self.add(name, ops.Activation(kind), x)

    def max_pool(self, x: Value, kernel: int, stride: int, padding: int, name: str = "pool") -> Value:
        """Maximum over a sliding window, the same in every spatial dimension."""
        dims = x.spatial_dims
        return self.add(name, ops.MaxPool(_each(kernel, dims), _each(stride, dims), _each(padding, dims)), x)

    def conv_norm_act(
        self,
        x: Value,
        out_channels: int,
        kernel: int | Ints = 1,
        *,
        activation: str | None = None,
        stride: int = 1,
        groups: int = 1,
        padding: int | None = None,
        dilation: int = 1,
        name: str | None = None,
    ) -> Value:
        """act(norm(conv(x))), the unit that most blocks are made of; the convolution has no bias."""
        with self.scope(name) if name else nullcontext():
            x = self.conv(x, out_channels, kernel, stride=stride, groups=groups, padding=padding, dilation=dilation)
            return self.activation(self.norm(x), activation)


def _each(value: int | Ints, dims: int) -> Ints:
    return (value,) * dims if isinstance(value, int) else value
