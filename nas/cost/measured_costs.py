"""Costs that the class of a user's operation does not state: measured on its torch code, else assumed.

An operation that comes with nas states all that it does, so what it leaves out costs nothing. Of a user's operation
what its class leaves out is not known, and a count must not be too low for that; what it inherits from an operation of
nas is stated of other code. What its output depends on (`windows`) is taken as stated or inherited; it writes a whole
output to new memory, unless it states otherwise (`memory`, `written`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod

from nas.network import ops
from nas.network.graph import Graph, Node
from nas.network.ops import Op, Shape, Window
from nas.network.ops.base import Memory, Saved
from nas.network.user_operations import memory_of, states


@dataclass(frozen=True, slots=True)
class OperationCost:
    """What the code of an operation was seen to do, for one example."""

    param_shapes: tuple[Shape, ...]
    """Of the learned tensors."""
    buffer_bytes: int
    """Of the stored state that is not learned."""
    macs: int
    """Multiply-adds, those of attention too."""
    saved: tuple[Saved, ...]
    """What the backward pass reads again of inputs and output."""
    saved_extra: int
    """Bytes that are kept beside inputs and output."""
    workspace: int
    """Bytes that are written beside the output and dropped again in inference."""


Measure = Callable[[Op, tuple[Shape, ...]], OperationCost | None]
"""Runs an operation on inputs of these shapes; None where it has no code, or that does not run."""


class _Measurement:
    """How operations are measured, which needs torch, and so is registered from above."""

    measure: Measure | None = None
    assumed = 0
    """How often something had to be assumed, since it could not be measured."""


def measure_with(measure: Measure) -> None:
    """Register what measures operations from now on; `nas.pytorch` calls this when it is loaded."""
    _Measurement.measure = staticmethod(measure)


def assumptions() -> int:
    """Return how often an operation could not be measured; what was counted then is to be counted anew later."""
    return _Measurement.assumed


@dataclass(frozen=True, slots=True)
class Completed(Op):
    """An operation together with the costs that its class does not state.

    Without a measurement its backward pass is taken to read all inputs and the output again, and the rest to be as in
    the operation that it derives from.
    """

    op: Op
    """The operation of a user."""
    measured: OperationCost | None
    """What its code does; None where that is not known, or all is stated."""

    @property
    def memory(self) -> Memory:
        """As stated, else new memory."""
        return memory_of(self.op)

    @property
    def saved(self) -> tuple[Saved, ...]:
        """As stated, else measured, else all inputs and the output."""
        if states(self.op, "saved"):
            return self.op.saved
        return self.measured.saved if self.measured else ("inputs", "output")

    def out_shape(self, *shapes: Shape) -> Shape:
        """As stated or inherited."""
        return self.op.out_shape(*shapes)

    def written(self, out_shape: Shape) -> int:
        """As stated, else all numbers of the output."""
        return self.op.written(out_shape) if states(self.op, "written") else prod(out_shape)

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """As stated, by shape or by number; else measured, else inherited."""
        if states(self.op, "param_shapes"):
            return self.op.param_shapes
        if states(self.op, "params"):
            return ((self.op.params,),)
        return self.measured.param_shapes if self.measured else self.op.param_shapes

    @property
    def buffer_bytes(self) -> int:
        """As stated, else measured, else inherited."""
        if self.measured is None or states(self.op, "buffer_bytes"):
            return self.op.buffer_bytes
        return self.measured.buffer_bytes

    def macs(self, out_shape: Shape) -> int:
        """As stated, else measured less those of attention, else inherited."""
        if self.measured is None or states(self.op, "macs"):
            return self.op.macs(out_shape)
        return max(0, self.measured.macs - self.attention_macs(out_shape))

    def attention_macs(self, out_shape: Shape) -> int:
        """As stated; else none where `macs` has them all, else inherited."""
        stated = states(self.op, "attention_macs")
        return self.op.attention_macs(out_shape) if stated or not (self.measured or states(self.op, "macs")) else 0

    def windows(self, in_shape: Shape) -> tuple[Window, ...]:
        """As stated or inherited."""
        return self.op.windows(in_shape)

    def workspace(self, out_shape: Shape) -> int:
        """As stated, else measured, else inherited."""
        if self.measured is None or states(self.op, "workspace"):
            return self.op.workspace(out_shape)
        return self.measured.workspace

    def saved_extra(self, in_shape: Shape, out_shape: Shape) -> int:
        """As stated, else measured, else inherited."""
        if self.measured is None or states(self.op, "saved_extra"):
            return self.op.saved_extra(in_shape, out_shape)
        return self.measured.saved_extra


_COUNTED = ("saved", "saved_extra", "param_shapes", "buffer_bytes", "macs", "workspace")
"""What an operation has to state so that nothing is measured."""


def completed(graph: Graph) -> Graph:
    """Return a graph in which every operation states what is counted, measured or assumed where its class does not."""
    if all(type(node.op) in ops.BUILT_IN for node in graph.nodes):
        return graph
    return replace(graph, nodes=tuple(_completed(graph, node) for node in graph.nodes))


def _completed(graph: Graph, node: Node) -> Node:
    if type(node.op) in ops.BUILT_IN:
        return node
    if all(states(node.op, name) for name in _COUNTED):
        return node._replace(op=Completed(node.op, None))
    shapes = tuple(graph.nodes[i].shape for i in node.inputs)
    measured = _Measurement.measure(node.op, shapes) if _Measurement.measure is not None else None
    _Measurement.assumed += measured is None
    return node._replace(op=Completed(node.op, measured))
