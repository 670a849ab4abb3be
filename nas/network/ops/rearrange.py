"""Operations that move values without computing: joining, cropping, padding, reordering, enlarging."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import prod

from nas.errors import ShapeError
from nas.network.ops.base import Ints, Op, Shape, Window, needs, needs_map


@dataclass(frozen=True, slots=True)
class Flatten(Op):
    """All dimensions after the batch in one."""

    memory = "view"

    def out_shape(self, *shapes: Shape) -> Shape:
        """(C, *map) -> (product of all,)."""
        return (prod(shapes[0]),)


@dataclass(frozen=True, slots=True)
class Concat(Op):
    """Maps of equal size behind each other, along the channels; or features behind each other."""

    def out_shape(self, *shapes: Shape) -> Shape:
        """(C1, *map), (C2, *map), ... -> (C1 + C2 + ..., *map); raises `ShapeError` where the maps differ."""
        for shape in shapes:
            needs("concat", shape, "map", "features")
            if shape[1:] != shapes[0][1:]:
                raise ShapeError(f"concat: needs maps of equal size, but got {shapes[0]} and {shape}")
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])


@dataclass(frozen=True, slots=True)
class Pad(Op):
    """Zeros around a map, as many before it as `before` says and behind it as `after` says."""

    before: Ints
    """Zeros before the map, a dimension each."""
    after: Ints
    """Zeros behind the map, a dimension each."""

    def out_shape(self, *shapes: Shape) -> Shape:
        """(C, n) -> (C, before + n + after), a dimension each."""
        channels, size = needs_map("pad", shapes[0], len(self.before))
        return (channels, *(b + n + a for b, n, a in zip(self.before, size, self.after, strict=True)))


@dataclass(frozen=True, slots=True)
class Crop(Op):
    """The middle of the first map, as large as the second (Ronneberger et al. 2015, "U-Net", figure 1)."""

    memory = "view"

    def out_shape(self, *shapes: Shape) -> Shape:
        """(C, *map), (any, *smaller map) -> (C, *smaller map)."""
        big, small = shapes
        needs_map("crop", big)
        if len(big) != len(small) or any(b < s for b, s in zip(big[1:], small[1:], strict=True)):
            raise ShapeError(f"crop: a map of {big} cannot be cropped to {small}")
        return (big[0], *small[1:])


@dataclass(frozen=True, slots=True)
class ChannelPad(Op):
    """Every `stride`-th position, and zeros for new channels: the shortcut without parameters (option A).

    He et al. 2016, "Deep residual learning", section 4.1. The zeros stand behind the channels.
    """

    out_channels: int
    """Channels that it gives."""
    stride: int
    """Step in each dimension of the map."""

    def out_shape(self, *shapes: Shape) -> Shape:
        """(C, n) -> (out_channels, n / stride, rounded up), a dimension each."""
        channels, size = needs_map("channel_pad", shapes[0])
        if channels > self.out_channels:
            raise ShapeError(f"channel_pad: cannot go from {channels} to {self.out_channels} channels")
        return (self.out_channels, *(-(-n // self.stride) for n in size))

    def windows(self, in_shape: Shape) -> tuple[Window, ...]:
        """Single positions, `stride` apart."""
        return tuple(Window(1, self.stride) for _ in in_shape[1:])


@dataclass(frozen=True, slots=True)
class ChannelShuffle(Op):
    """Channels dealt out among groups: (groups, n) -> (n, groups) (Zhang et al. 2018, "ShuffleNet", section 3.1)."""

    groups: int
    """Number of groups, which divides the channels."""

    def out_shape(self, *shapes: Shape) -> Shape:
        """(C, *map) -> (C, *map)."""
        channels, _ = needs_map("channel_shuffle", shapes[0])
        if channels % self.groups:
            raise ShapeError(f"channel_shuffle: groups={self.groups} must divide the channels {channels}")
        return shapes[0]


@dataclass(frozen=True, slots=True)
class Upsample(Op):
    """Every position repeated (nearest) until the map has the size asked for."""

    size: Ints
    """Of the map that it gives, a dimension each."""

    def out_shape(self, *shapes: Shape) -> Shape:
        """(C, *map) -> (C, *size)."""
        channels, _ = needs_map("upsample", shapes[0], len(self.size))
        return (channels, *self.size)

    def windows(self, in_shape: Shape) -> tuple[Window, ...]:
        """Single positions, whose neighbours are a fraction of one apart."""
        return tuple(Window(1, Fraction(n, m)) for n, m in zip(in_shape[1:], self.size, strict=True))


@dataclass(frozen=True, slots=True)
class UpsampleBilinear(Op):
    """A map of two dimensions at the size asked for, each position a mean of the four nearest, weighted by distance.

    Centres of positions are a half from their edges, and beyond the outer ones nothing is read (torch's
    `align_corners=False`).
    """

    size: Ints
    """Of the map that it gives: height and width."""

    def out_shape(self, *shapes: Shape) -> Shape:
        """(C, H, W) -> (C, *size)."""
        channels, _ = needs_map("upsample_bilinear", shapes[0], 2)
        return (channels, *self.size)

    def windows(self, in_shape: Shape) -> tuple[Window, ...]:
        """Two neighbours, a fraction of one apart; one where there are no two."""
        return tuple(Window(min(n, 2), Fraction(n, m)) for n, m in zip(in_shape[1:], self.size, strict=True))
