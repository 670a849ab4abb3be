"""What a user's operation does not say of itself: measured on its torch code where that is loaded, else assumed.

An operation that comes with nas states all that it does, so what it leaves out costs nothing. Of another, what it
leaves out is not known, and a count must not be too low for that; what it inherits from an operation of nas is said of
other code. What its output depends on (`windows`) is taken as stated or inherited; it writes a whole output to new
memory, unless it says otherwise (`memory`, `written`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import NamedTuple

from nas.network import ops
from nas.network.graph import Graph, Node
from nas.network.ops import Op, Shape, Window
from nas.network.ops.base import Memory, Saved
from nas.network.own import memory_of, states


class Measured(NamedTuple):
    """What the code of an operation was seen to do, for one example."""

    param_shapes: tuple[Shape, ...]
    buffer_bytes: int
    macs: int
    """Those of attention too."""
    saved: tuple[Saved, ...]
    saved_extra: int
    """Bytes that are kept beside inputs and output."""
    workspace: int
    """Bytes that are written beside the output and dropped again in inference."""


Measure = Callable[[Op, tuple[Shape, ...]], Measured | None]
"""Runs an operation on inputs of these shapes; None where it has no code, or that does not run."""


class _Meter:
    """Who measures, which is not known below torch."""

    measure: Measure | None = None
    assumed = 0
    """How often something had to be assumed, since nobody could measure it."""


def measure_with(measure: Measure) -> None:
    """Take what measures operations from now on; `nas.pytorch` calls this when it is loaded."""
    _Meter.measure = staticmethod(measure)


def assumptions() -> int:
    """Return how often an operation could not be measured; what was counted so is to be counted anew later."""
    return _Meter.assumed


@dataclass(frozen=True, slots=True)
class Completed(Op):
    """An operation with what it does not state.

    Without a measurement its backward pass is taken to read all inputs and the output again, and the rest to be as in
    the operation that it derives from.
    """

    op: Op
    found: Measured | None

    @property
    def memory(self) -> Memory:
        return memory_of(self.op)

    @property
    def saved(self) -> tuple[Saved, ...]:
        if states(self.op, "saved"):
            return self.op.saved
        return self.found.saved if self.found else ("inputs", "output")

    def out_shape(self, *shapes: Shape) -> Shape:
        return self.op.out_shape(*shapes)

    def written(self, out_shape: Shape) -> int:
        return self.op.written(out_shape) if states(self.op, "written") else prod(out_shape)

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        if states(self.op, "param_shapes"):
            return self.op.param_shapes
        if states(self.op, "params"):
            return ((self.op.params,),)
        return self.found.param_shapes if self.found else self.op.param_shapes

    @property
    def buffer_bytes(self) -> int:
        return self.found.buffer_bytes if self.found and not states(self.op, "buffer_bytes") else self.op.buffer_bytes

    def macs(self, out_shape: Shape) -> int:
        if self.found is None or states(self.op, "macs"):
            return self.op.macs(out_shape)
        return max(0, self.found.macs - self.attention_macs(out_shape))

    def attention_macs(self, out_shape: Shape) -> int:
        stated = states(self.op, "attention_macs")
        return self.op.attention_macs(out_shape) if stated or not (self.found or states(self.op, "macs")) else 0

    def windows(self, in_shape: Shape) -> tuple[Window, ...]:
        return self.op.windows(in_shape)

    def workspace(self, out_shape: Shape) -> int:
        if self.found is None or states(self.op, "workspace"):
            return self.op.workspace(out_shape)
        return self.found.workspace

    def saved_extra(self, in_shape: Shape, out_shape: Shape) -> int:
        if self.found is None or states(self.op, "saved_extra"):
            return self.op.saved_extra(in_shape, out_shape)
        return self.found.saved_extra


_COUNTED = ("saved", "saved_extra", "param_shapes", "buffer_bytes", "macs", "workspace")


def completed(graph: Graph) -> Graph:
    """Return a graph in which every operation states what is counted."""
    if all(type(node.op) in ops.BUILT_IN for node in graph.nodes):
        return graph
    return replace(graph, nodes=tuple(_completed(graph, node) for node in graph.nodes))


def _completed(graph: Graph, node: Node) -> Node:
    if type(node.op) in ops.BUILT_IN:
        return node
    if all(states(node.op, name) for name in _COUNTED):
        return replace(node, op=Completed(node.op, None))
    shapes = tuple(graph.nodes[i].shape for i in node.inputs)
    found = _Meter.measure(node.op, shapes) if _Meter.measure is not None else None
    _Meter.assumed += found is None
    return replace(node, op=Completed(node.op, found))
