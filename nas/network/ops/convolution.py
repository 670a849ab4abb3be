"""Operations with a kernel: convolutions, their transpose, the matrix product, fixed blurring."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import prod

from nas.errors import ShapeError
from nas.network.ops.base import Ints, Op, Shape, Tokens, Window, needs, needs_map, slide, sliding_windows


def _check_groups(op: str, in_channels: int, out_channels: int, groups: int) -> None:
    if in_channels % groups or out_channels % groups:
        raise ShapeError(
            f"{op}: groups must divide the channels, but got groups={groups}, "
            f"in_channels={in_channels}, out_channels={out_channels}"
        )


def _check_channels(op: str, expected: int, shape: Shape, dims: int) -> Ints:
    channels, size = needs_map(op, shape, dims)
    if channels != expected:
        raise ShapeError(f"{op}: expects {expected} channels, but got {channels}")
    return size


FEW_CHANNELS = 16
"""Channels that a vector register of AVX-512 holds."""


@dataclass(frozen=True, slots=True)
class Conv(Op):
    """Convolution over a map of `len(kernel)` dimensions, with zero padding."""

    saved = ("input",)

    in_channels: int
    """Channels that it reads."""
    out_channels: int
    """Channels that it gives."""
    kernel: Ints
    """Size of the window, a dimension each."""
    stride: Ints
    """Step of the window, a dimension each."""
    padding: Ints
    """Zeros on both sides, a dimension each."""
    dilation: Ints
    """Distance of neighbours in the window, a dimension each; 1 without holes."""
    groups: int
    """Groups of channels that do not mix; divides both numbers of channels."""
    bias: bool
    """Whether it adds a learned number a channel."""

    def __post_init__(self) -> None:
        _check_groups("conv", self.in_channels, self.out_channels, self.groups)

    def out_shape(self, *shapes: Shape) -> Shape:
        """(in_channels, *map) -> (out_channels, *map after the window); raises `ShapeError` where the input does not
        fit."""
        size = _check_channels("conv", self.in_channels, shapes[0], len(self.kernel))
        moved = slide(
            "conv", size, kernel=self.kernel, stride=self.stride, padding=self.padding, dilation=self.dilation
        )
        return (self.out_channels, *moved)

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """Weight (out_channels, in_channels / groups, *kernel), and bias (out_channels,)."""
        weight = (self.out_channels, self.in_channels // self.groups, *self.kernel)
        return (weight, (self.out_channels,)) if self.bias else (weight,)

    def macs(self, out_shape: Shape) -> int:
        """Count in_channels / groups x kernel for each output number."""
        return prod(out_shape) * (self.in_channels // self.groups) * prod(self.kernel)

    def windows(self, in_shape: Shape) -> tuple[Window, ...]:
        """Windows of d (k - 1) + 1 positions, holes included."""
        return sliding_windows(self.kernel, self.stride, self.dilation)

    @property
    def overwrites_memory(self) -> bool:
        """Whether torch's own may end the process in training on a CPU (`nas.pytorch.layers.StridedPointwiseConv2d`):
        a 1x1 convolution that leaves positions out, of few channels."""
        pointwise = self.kernel == (1, 1) and self.padding == (0, 0) and self.groups == 1
        return pointwise and self.stride != (1, 1) and self.in_channels < FEW_CHANNELS


@dataclass(frozen=True, slots=True)
class ConvTranspose(Op):
    """Transposed convolution: the map grows by `stride`, out = (in - 1) stride - 2 padding + kernel."""

    saved = ("input",)

    in_channels: int
    """Channels that it reads."""
    out_channels: int
    """Channels that it gives."""
    kernel: Ints
    """Size of the window, a dimension each."""
    stride: Ints
    """Factor by which the map grows, a dimension each."""
    padding: Ints
    """Positions cut off on both sides, a dimension each."""
    bias: bool
    """Whether it adds a learned number a channel."""

    def out_shape(self, *shapes: Shape) -> Shape:
        """(in_channels, n) -> (out_channels, (n - 1) stride - 2 padding + kernel), a dimension each."""
        size = _check_channels("conv_transpose", self.in_channels, shapes[0], len(self.kernel))
        grown = tuple(
            (n - 1) * s - 2 * p + k for n, k, s, p in zip(size, self.kernel, self.stride, self.padding, strict=True)
        )
        if min(grown) < 1:
            raise ShapeError(f"conv_transpose: the map shrinks to nothing: {size} -> {grown}")
        return (self.out_channels, *grown)

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """Weight (in_channels, out_channels, *kernel), and bias (out_channels,)."""
        weight = (self.in_channels, self.out_channels, *self.kernel)
        return (weight, (self.out_channels,)) if self.bias else (weight,)

    def macs(self, out_shape: Shape) -> int:
        """Count out_channels x kernel for each input number."""
        positions = prod(
            (n + 2 * p - k) // s + 1
            for n, k, s, p in zip(out_shape[1:], self.kernel, self.stride, self.padding, strict=True)
        )
        return positions * self.in_channels * self.out_channels * prod(self.kernel)

    def held(self, in_shape: Shape, out_shape: Shape) -> int:
        """In three dimensions torch writes into memory that it made as large as the input, and holds all of it."""
        return max(prod(in_shape), prod(out_shape)) if len(self.kernel) == 3 else prod(out_shape)

    def windows(self, in_shape: Shape) -> tuple[Window, ...]:
        """One output position lies under ceil(kernel / stride) positions of the input at most."""
        return tuple(Window(-(-k // s), Fraction(1, s)) for k, s in zip(self.kernel, self.stride, strict=True))


@dataclass(frozen=True, slots=True)
class Blur(Op):
    """Fixed binomial low-pass filter before subsampling, channel by channel, with reflected edges.

    Zhang 2019, "Making convolutional networks shift-invariant again", section 4.2 (BlurPool): row `kernel - 1` of
    Pascal's triangle, its outer product in two dimensions, normalised to sum one.
    """

    saved = ("input",)

    channels: int
    """Channels, each filtered by itself."""
    kernel: Ints
    """Size of the window, a dimension each."""
    stride: Ints
    """Step of the window, a dimension each."""

    def out_shape(self, *shapes: Shape) -> Shape:
        """(C, *map) -> (C, *map / stride, rounded up); raises `ShapeError` where the map is too small to reflect."""
        size = _check_channels("blur", self.channels, shapes[0], len(self.kernel))
        padding = tuple((k - 1) // 2 for k in self.kernel)
        if any(p >= n for p, n in zip(padding, size, strict=True)):
            raise ShapeError(f"blur: a map of {size} is too small for reflected edges of {padding}")
        return (self.channels, *slide("blur", size, kernel=self.kernel, stride=self.stride, padding=padding))

    @property
    def buffer_bytes(self) -> int:
        """The filter, a copy for each channel, in fp32."""
        return 4 * self.channels * prod(self.kernel)

    def macs(self, out_shape: Shape) -> int:
        """Count the kernel for each output number."""
        return prod(out_shape) * prod(self.kernel)

    def saved_extra(self, in_shape: Shape, out_shape: Shape) -> int:
        """The map with its reflected edges."""
        return 4 * self.channels * prod(n + 2 * ((k - 1) // 2) for n, k in zip(in_shape[1:], self.kernel, strict=True))

    def windows(self, in_shape: Shape) -> tuple[Window, ...]:
        """Windows of the size of the kernel."""
        return sliding_windows(self.kernel, self.stride)


@dataclass(frozen=True, slots=True)
class Linear(Op):
    """Matrix product on features, or on those of each token."""

    saved = ("input",)

    in_features: int
    """Features that it reads."""
    out_features: int
    """Features that it gives."""
    bias: bool = True
    """Whether it adds a learned number a feature."""

    def out_shape(self, *shapes: Shape) -> Shape:
        """(in_features,) -> (out_features,), or (n, in_features) -> (n, out_features) of tokens."""
        needs("linear", shapes[0], "features", "tokens")
        if shapes[0][-1] != self.in_features:
            raise ShapeError(f"linear: expects {self.in_features} features, but got {shapes[0]}")
        shape = (*shapes[0][:-1], self.out_features)
        return Tokens(shape) if isinstance(shapes[0], Tokens) else shape

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """Weight (out_features, in_features), and bias (out_features,)."""
        weight = (self.out_features, self.in_features)
        return (weight, (self.out_features,)) if self.bias else (weight,)

    def macs(self, out_shape: Shape) -> int:
        """Count in_features for each output number."""
        return prod(out_shape) * self.in_features
