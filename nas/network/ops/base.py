"""The interface of operations, and the arithmetic of sliding windows that several share."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import prod
from typing import Literal, NamedTuple

from nas.errors import ShapeError

Shape = tuple[int, ...]
"""Of a value, without the batch: `(channels, *map)`, `(features,)`, or `Tokens`."""


class Tokens(Shape):
    """The shape of tokens, `(number, features)`: a map of one dimension has as many numbers, and is something else.

    Equal to the plain tuple, so that only what asks for it tells them apart.
    """

    __slots__ = ()


Kind = Literal["map", "tokens", "features"]
"""What a value is: `(channels, *map)`, `(number, features)` in a transformer, or `(features,)` after flattening."""


def kind_of(shape: Shape) -> Kind:
    """Say what a value of this shape is."""
    if isinstance(shape, Tokens):
        return "tokens"
    return "features" if len(shape) == 1 else "map"


MAX_DIMS = 3
"""Spatial dimensions that torch has convolutions for."""
Ints = tuple[int, ...]
"""A number for each spatial dimension."""

Memory = Literal["new", "view", "in_place"]
"""Where an operation writes in inference: memory of its own, none since the output is a view of the input, or over
its input where nobody else reads that."""

Saved = Literal["input", "inputs", "output"]
"""What the backward pass needs again: the first input, all inputs, or the output."""


class Window(NamedTuple):
    """The positions of the input that a position of the output depends on, in one dimension."""

    size: float | Fraction = 1
    """Positions of the input that one position of the output depends on, holes of a dilation included."""
    stride: float | Fraction = 1
    """Positions of the input between neighbours of the output; below 1 where the map grows."""


@lru_cache(maxsize=4096)  # networks have few different ones
def sliding_windows(kernel: Ints, stride: Ints, dilation: Ints | None = None) -> tuple[Window, ...]:
    """Return windows of d (k - 1) + 1 positions, holes of a dilation included, a dimension each."""
    sizes = zip(kernel, stride, dilation or (1,) * len(kernel), strict=True)
    return tuple(Window(d * (k - 1) + 1, s) for k, s, d in sizes)


@dataclass(frozen=True, slots=True)
class Op:
    """One primitive operation. Subclasses override what they have; the rest costs nothing."""

    @property
    def memory(self) -> Memory:
        """Where it writes in inference."""
        return "new"

    @property
    def saved(self) -> tuple[Saved, ...]:
        """What its backward pass reads again."""
        return ()

    def out_shape(self, *shapes: Shape) -> Shape:
        """Return the output shape, or raise `ShapeError` where the inputs do not fit."""
        return shapes[0]

    def written(self, out_shape: Shape) -> int:
        """Numbers that its output takes in memory at batch 1, where it writes new memory."""
        return prod(out_shape)

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """Shapes of the learned tensors."""
        return ()

    @property
    def params(self) -> int:
        """Learned numbers."""
        return sum(prod(shape) for shape in self.param_shapes)

    @property
    def buffer_bytes(self) -> int:
        """Bytes of stored state that is not learned, such as running statistics."""
        return 0

    def macs(self, out_shape: Shape) -> int:
        """Multiply-adds of convolution and linear layers at batch 1. Biases, normalisation, activation, pooling and
        element-wise operations are not counted (equal to torch's `FlopCounterMode` / 2).
        """
        return 0

    def attention_macs(self, out_shape: Shape) -> int:
        """Multiply-adds of the two matrix products of attention at batch 1."""
        return 0

    def windows(self, in_shape: Shape) -> tuple[Window, ...]:
        """One `Window` a spatial dimension; none where positions do not mix. A window of size 0 means all positions."""
        return ()

    def workspace(self, out_shape: Shape) -> int:
        """Bytes that torch writes beside the output and drops again in inference, at batch 1."""
        return 0

    def held(self, in_shape: Shape, out_shape: Shape) -> int:
        """Numbers for which the memory has room in which the output lies; `in_shape` is that of the first input."""
        return self.written(out_shape)

    def saved_extra(self, in_shape: Shape, out_shape: Shape) -> int:
        """Bytes that the backward pass needs beside inputs and output, at batch 1: indices, masks, statistics."""
        return 0

    def saved_of_scattered(self, in_shape: Shape, out_shape: Shape) -> tuple[tuple[Saved, ...], int]:
        """Return `saved` and `saved_extra` where the first input does not lie in memory in order."""
        return self.saved, self.saved_extra(in_shape, out_shape)


@dataclass(frozen=True, slots=True)
class Input(Op):
    """The input of a graph."""

    shape: Shape
    """Without the batch."""

    def out_shape(self, *shapes: Shape) -> Shape:
        """Its own shape: it reads nothing."""
        return self.shape


def by(sizes: Ints) -> str:
    """Write sizes as `3x32x32`."""
    return "x".join(map(str, sizes))


# By the kind that is needed and the kind that there is: which block converts it, or reads it as it is.
_CONVERT: dict[tuple[Kind, Kind], str] = {
    ("map", "tokens"): "no block makes a map of tokens: it goes before `patch_embed`; `token_classifier` and `linear` "
    "read tokens",
    (
        "map",
        "features",
    ): "no block makes a map of features: it goes before what flattens; `linear` and `classifier` "
    "with pool null read features",
    ("tokens", "map"): "`patch_embed` makes tokens of a map",
    ("tokens", "features"): "`patch_embed` makes tokens of a map, before that becomes features",
    ("features", "map"): "`linear` and `classifier` flatten a map",
    ("features", "tokens"): "`linear` flattens tokens, `token_classifier` classifies them",
}


def needs(what: str, shape: Shape, *kinds: Kind) -> None:
    """Raise `ShapeError`, which names what would convert it, where a value is of none of these kinds."""
    kind = kind_of(shape)
    if kind not in kinds:
        words = {"map": "a map", "tokens": "tokens", "features": "features"}
        wanted = " or ".join(words[wanted_kind] for wanted_kind in kinds)
        raise ShapeError(f"{what}: needs {wanted}, but gets {words[kind]} {by(shape)}; {_CONVERT[kinds[0], kind]}")


def needs_map(op: str, shape: Shape, dims: int | None = None) -> tuple[int, Ints]:
    """Split a shape into channels and map; raises `ShapeError` where there is no map, or one of other dimensions."""
    needs(op, shape, "map")
    channels, *size = shape
    if len(size) > MAX_DIMS:
        raise ShapeError(f"{op}: a map has up to {MAX_DIMS} dimensions, but this one is {by(tuple(size))}")
    if dims is not None and len(size) != dims:
        raise ShapeError(f"{op}: a window of {dims} dimensions cannot slide over a map of {by(tuple(size))}")
    return channels, tuple(size)


def slide(
    op: str,
    size: Ints,
    *,
    kernel: Ints,
    stride: Ints,
    padding: Ints,
    dilation: Ints | None = None,
    ceil: bool = False,
) -> Ints:
    """Map size after a sliding window: floor((in + 2p - d(k-1) - 1) / s + 1) in each dimension.

    With `ceil` the last window may hang over the end, unless it would start in the padding (torch's `ceil_mode`).
    """
    dilation = dilation or (1,) * len(kernel)
    out = []
    for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True):
        room = n + 2 * p - d * (k - 1) - 1
        steps = -(-room // s) if ceil else room // s
        if ceil and steps * s >= n + p:
            steps -= 1
        out.append(steps + 1 if room >= 0 else 0)
    if min(out) < 1:
        raise ShapeError(
            f"{op}: the map shrinks to nothing: {by(size)} -> {by(tuple(out))} with kernel {by(kernel)}, "
            f"stride {by(stride)}, padding {by(padding)}, dilation {by(dilation)}"
        )
    return tuple(out)
