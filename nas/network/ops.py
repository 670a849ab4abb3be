"""The primitive operations: for each its output shape, parameters, buffers and multiply-adds.

This is the one place that knows them. A shape is a tuple without the batch: `(channels, *map)` with one
map size a spatial dimension, or `(features,)` after flattening. `macs` are multiply-adds of convolution and
linear layers at batch 1; biases, normalisation, activation, pooling and element-wise operations are not counted
(equal to torch's `FlopCounterMode` / 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal, get_args

from nas.errors import ShapeError

Shape = tuple[int, ...]
Ints = tuple[int, ...]

ActivationName = Literal["relu", "relu6", "silu", "hardswish", "gelu", "sigmoid", "hardsigmoid"]
ACTIVATIONS: tuple[str, ...] = get_args(ActivationName)


@dataclass(frozen=True, slots=True)
class Op:
    """One primitive operation. Subclasses override what they have; the rest costs nothing."""

    def out_shape(self, *shapes: Shape) -> Shape:
        """Return the output shape, or raise `ShapeError` where the inputs do not fit."""
        return shapes[0]

    @property
    def params(self) -> int:
        """Learned numbers."""
        return 0

    @property
    def buffer_bytes(self) -> int:
        """Bytes of stored state that is not learned, such as running statistics."""
        return 0

    @property
    def in_place(self) -> bool:
        """Whether inference needs no new memory for the output: done in place, a view, or nothing at all."""
        return False

    def macs(self, out_shape: Shape) -> int:
        """Multiply-adds at batch 1."""
        return 0


@dataclass(frozen=True, slots=True)
class Input(Op):
    """The input of a graph."""

    shape: Shape

    def out_shape(self, *shapes: Shape) -> Shape:
        return self.shape


def _slide(op: str, size: Ints, *, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints | None = None) -> Ints:
    """Map size after a sliding window: floor((in + 2p - d(k-1) - 1) / s + 1) in each dimension."""
    if not size:
        raise ShapeError(f"{op}: needs a map, but gets features without one")
    if len(size) != len(kernel):
        raise ShapeError(f"{op}: a window of {len(kernel)} dimensions cannot slide over a map of {size}")
    dilation = dilation or (1,) * len(kernel)
    out = tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
    )
    if min(out) < 1:
        raise ShapeError(
            f"{op}: the map shrinks to nothing: {_by(size)} -> {_by(out)} with kernel {_by(kernel)}, "
            f"stride {_by(stride)}, padding {_by(padding)}, dilation {_by(dilation)}"
        )
    return out


def _by(sizes: Ints) -> str:
    return "x".join(map(str, sizes))


@dataclass(frozen=True, slots=True)
class Conv(Op):
    """Convolution over a map of `len(kernel)` dimensions, with zero padding."""

    in_channels: int
    out_channels: int
    kernel: Ints
    stride: Ints
    padding: Ints
    dilation: Ints
    groups: int
    bias: bool

    def __post_init__(self) -> None:
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ShapeError(
                f"conv: groups must divide the channels, but got groups={self.groups}, "
                f"in_channels={self.in_channels}, out_channels={self.out_channels}"
            )

    def out_shape(self, *shapes: Shape) -> Shape:
        (channels, *size) = shapes[0]
        if channels != self.in_channels:
            raise ShapeError(f"conv: expects {self.in_channels} channels, but got {channels}")
        return (
            self.out_channels,
            *_slide(
                "conv",
                tuple(size),
                kernel=self.kernel,
                stride=self.stride,
                padding=self.padding,
                dilation=self.dilation,
            ),
        )

    @property
    def params(self) -> int:
        weights = self.out_channels * self.in_channels // self.groups * prod(self.kernel)
        return weights + (self.out_channels if self.bias else 0)

    def macs(self, out_shape: Shape) -> int:
        return prod(out_shape) * (self.in_channels // self.groups) * prod(self.kernel)


@dataclass(frozen=True, slots=True)
class Linear(Op):
    """Matrix product on the last dimension."""

    in_features: int
    out_features: int
    bias: bool = True

    def out_shape(self, *shapes: Shape) -> Shape:
        if shapes[0][-1] != self.in_features:
            raise ShapeError(f"linear: expects {self.in_features} features, but got {shapes[0]}")
        return (*shapes[0][:-1], self.out_features)

    @property
    def params(self) -> int:
        return self.in_features * self.out_features + (self.out_features if self.bias else 0)

    def macs(self, out_shape: Shape) -> int:
        return prod(out_shape) * self.in_features


@dataclass(frozen=True, slots=True)
class BatchNorm(Op):
    """Batch normalisation with scale and shift (Ioffe & Szegedy 2015)."""

    channels: int
    spatial_dims: int

    @property
    def params(self) -> int:
        return 2 * self.channels

    @property
    def buffer_bytes(self) -> int:
        """Running mean and variance in fp32, and the 64-bit count of batches."""
        return 2 * 4 * self.channels + 8


@dataclass(frozen=True, slots=True)
class Activation(Op):
    """A non-linearity, element by element."""

    kind: str

    @property
    def in_place(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class MaxPool(Op):
    """Maximum over a sliding window."""

    kernel: Ints
    stride: Ints
    padding: Ints

    def out_shape(self, *shapes: Shape) -> Shape:
        (channels, *size) = shapes[0]
        if any(2 * p > k for p, k in zip(self.padding, self.kernel, strict=True)):
            raise ShapeError(f"max_pool: padding {self.padding} is over half of the kernel {self.kernel}")
        window = _slide("max_pool", tuple(size), kernel=self.kernel, stride=self.stride, padding=self.padding)
        return (channels, *window)


@dataclass(frozen=True, slots=True)
class GlobalAvgPool(Op):
    """Mean over the whole map, kept as a map of size 1, so that any input size works."""

    def out_shape(self, *shapes: Shape) -> Shape:
        if len(shapes[0]) < 2:
            raise ShapeError(f"global_avg_pool: needs a map, but got features {shapes[0]}")
        return (shapes[0][0], *(1 for _ in shapes[0][1:]))


@dataclass(frozen=True, slots=True)
class Flatten(Op):
    """All dimensions after the batch in one."""

    def out_shape(self, *shapes: Shape) -> Shape:
        return (prod(shapes[0]),)

    @property
    def in_place(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Dropout(Op):
    """Sets single values to zero in training, with probability `rate` (Srivastava et al. 2014)."""

    rate: float

    @property
    def in_place(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Add(Op):
    """Sum of two equal shapes. By convention the residual branch comes first, the shortcut second."""

    def out_shape(self, *shapes: Shape) -> Shape:
        if shapes[0] != shapes[1]:
            raise ShapeError(f"add: needs equal shapes, but got {shapes[0]} and {shapes[1]}")
        return shapes[0]


@dataclass(frozen=True, slots=True)
class Scale(Op):
    """A map times one factor a channel, as in squeeze-and-excitation: `(C, *map) * (C, 1, ...)`."""

    def out_shape(self, *shapes: Shape) -> Shape:
        features, factors = shapes
        if factors != (features[0], *(1 for _ in features[1:])):
            raise ShapeError(f"scale: needs one factor a channel of {features}, but got {factors}")
        return features
