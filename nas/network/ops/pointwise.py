"""Operations on single values or on equal shapes: activations, sums, factors, dropout."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal, get_args

from nas.errors import ShapeError
from nas.network.ops.base import Memory, Op, Saved, Shape, kind_of, needs_map

ActivationName = Literal["relu", "relu6", "silu", "hardswish", "gelu", "sigmoid", "hardsigmoid", "tanh"]
"""Non-linearities, as torch names them."""
ACTIVATIONS: tuple[str, ...] = get_args(ActivationName)
"""The words of `ActivationName`."""
_IN_PLACE = ("relu", "relu6", "silu", "hardswish", "hardsigmoid")
_NEEDS_INPUT = ("relu6", "silu", "hardswish", "gelu", "hardsigmoid")


@dataclass(frozen=True, slots=True)
class Activation(Op):
    """A non-linearity, element by element."""

    kind: str
    """One of `ACTIVATIONS`."""

    @property
    def memory(self) -> Memory:
        """Those that torch can do in place."""
        return "in_place" if self.kind in _IN_PLACE else "new"

    @property
    def saved(self) -> tuple[Saved, ...]:
        """The derivative of the others is a function of their output."""
        return ("input",) if self.kind in _NEEDS_INPUT else ("output",)

    @property
    def zero_at_zero(self) -> bool:
        """Whether it gives zero for zero."""
        return self.kind not in ("sigmoid", "hardsigmoid")


@dataclass(frozen=True, slots=True)
class Dropout(Op):
    """Sets single values to zero in training, with probability `rate`; none in inference (Srivastava et al. 2014)."""

    memory = "view"

    rate: float
    """Probability of zero, below 1."""

    def saved_extra(self, in_shape: Shape, out_shape: Shape) -> int:
        """Which values stay, a number each."""
        return 4 * prod(out_shape)


@dataclass(frozen=True, slots=True)
class DropPath(Op):
    """Sets a whole residual branch of an example to zero in training, with probability `rate`; nothing in inference.

    Huang et al. 2016, "Deep networks with stochastic depth".
    """

    memory = "view"

    rate: float
    """Probability of zero, below 1."""

    def saved_extra(self, in_shape: Shape, out_shape: Shape) -> int:
        """Whether the branch stays."""
        return 4


def _equal(op: str, shapes: tuple[Shape, ...]) -> Shape:
    for shape in shapes[1:]:
        if shape is not shapes[0] and (shape != shapes[0] or kind_of(shape) != kind_of(shapes[0])):
            first, other = (f"{kind_of(s)} {s}" for s in (shapes[0], shape))
            raise ShapeError(f"{op}: needs equal shapes, but got {first} and {other}")
    return shapes[0]


@dataclass(frozen=True, slots=True)
class Add(Op):
    """Sum of equal shapes. By convention a residual branch comes first, its shortcut second."""

    memory = "in_place"

    def out_shape(self, *shapes: Shape) -> Shape:
        """The shape of all inputs; raises `ShapeError` where they differ."""
        return _equal("add", shapes)


@dataclass(frozen=True, slots=True)
class Scale(Op):
    """A map times one factor a channel, as in squeeze-and-excitation: `(C, *map) * (C, 1, ...)`."""

    saved = ("inputs",)

    def out_shape(self, *shapes: Shape) -> Shape:
        """(C, *map), (C, 1, ...) -> (C, *map)."""
        features, factors = shapes
        needs_map("scale", features)
        if factors != (features[0], *(1 for _ in features[1:])):
            raise ShapeError(f"scale: needs one factor a channel of {features}, but got {factors}")
        return features


@dataclass(frozen=True, slots=True)
class Zero(Op):
    """Zeros, whatever the input: the operation `none` of a cell. Its gradient is zero too."""

    shape: Shape
    """Of the zeros, without the batch."""

    def written(self, out_shape: Shape) -> int:
        """One zero, seen everywhere."""
        return 1

    def out_shape(self, *shapes: Shape) -> Shape:
        """Its own shape, whatever it reads."""
        return self.shape
