"""Normalisation, and the learned scale of a residual branch."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from nas.errors import ShapeError
from nas.network.ops.base import Op, Saved, Shape, needs, needs_map


@dataclass(frozen=True, slots=True)
class BatchNorm(Op):
    """Batch normalisation with scale and shift (Ioffe & Szegedy 2015, algorithm 1)."""

    saved = ("input",)

    channels: int
    """Channels of a map, or features."""
    spatial_dims: int
    """Dimensions of the map, 0 for features."""
    affine: bool = True
    """Whether scale and shift are learned."""

    def out_shape(self, *shapes: Shape) -> Shape:
        """(C, *map) -> (C, *map), or (C,) -> (C,)."""
        needs("batch_norm", shapes[0], "map", "features")
        return shapes[0]

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """Scale and shift, (C,) each, where they are learned."""
        return ((self.channels,), (self.channels,)) if self.affine else ()

    @property
    def buffer_bytes(self) -> int:
        """Running mean and variance in fp32, and the 64-bit count of batches."""
        return 2 * 4 * self.channels + 8

    def saved_extra(self, in_shape: Shape, out_shape: Shape) -> int:
        """Mean and inverse deviation of each channel."""
        return 2 * 4 * self.channels


@dataclass(frozen=True, slots=True)
class GroupNorm(Op):
    """Normalisation over groups of channels of one example (Wu & He 2018, section 3)."""

    saved = ("input",)

    channels: int
    """Channels of a map, or features."""
    groups: int
    """Number of groups, which divides the channels."""

    def __post_init__(self) -> None:
        if self.channels % self.groups:
            raise ShapeError(
                f"group_norm: groups must divide the channels, but got groups={self.groups}, channels={self.channels}"
            )

    def out_shape(self, *shapes: Shape) -> Shape:
        """(C, *map) -> (C, *map); raises `ShapeError` where a group is a single number."""
        needs("group_norm", shapes[0], "map", "features")
        if prod(shapes[0]) == self.groups:
            raise ShapeError(f"group_norm: a group needs more than one value, but {shapes[0]} are {self.groups} groups")
        return shapes[0]

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """Scale and shift, (C,) each."""
        return (self.channels,), (self.channels,)

    def saved_extra(self, in_shape: Shape, out_shape: Shape) -> int:
        """Mean and inverse deviation of each group."""
        return 2 * 4 * self.groups

    def saved_of_scattered(self, in_shape: Shape, out_shape: Shape) -> tuple[tuple[Saved, ...], int]:
        """A copy in order, in place of the input."""
        return (), 4 * prod(in_shape) + self.saved_extra(in_shape, out_shape)


def _of_map(op: str, of_map: bool, shape: Shape) -> None:
    needs(op, shape, "map" if of_map else "tokens", "features")


@dataclass(frozen=True, slots=True)
class LayerNorm(Op):
    """Normalisation over the channels at each position (Ba et al. 2016): of tokens over the last dimension, of a map
    over the first (as in ConvNeXt, Liu et al. 2022).
    """

    saved = ("input",)

    channels: int
    """Channels of a map, or features."""
    of_map: bool
    """Whether it reads a map, with channels first, in the place of tokens or features."""

    def out_shape(self, *shapes: Shape) -> Shape:
        """(C, *map) -> (C, *map), or (n, C) -> (n, C)."""
        _of_map("layer_norm", self.of_map, shapes[0])
        got = shapes[0][0 if self.of_map else -1]
        if got != self.channels:
            raise ShapeError(f"layer_norm: expects {self.channels} channels, but got {shapes[0]}")
        return shapes[0]

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """Scale and shift, (C,) each."""
        return (self.channels,), (self.channels,)

    def saved_extra(self, in_shape: Shape, out_shape: Shape) -> int:
        """Mean and inverse deviation of each position."""
        return 2 * 4 * prod(out_shape) // self.channels


@dataclass(frozen=True, slots=True)
class LocalResponseNorm(Op):
    """Each value over a power of the mean square of `size` neighbouring channels (Krizhevsky et al. 2012, section 3.3).

    x / (k + alpha / size * sum of squares) ^ beta, without parameters.
    """

    saved = ("input",)

    size: int
    """Channels of the window."""
    alpha: float
    """Factor of the sum of squares, divided by `size`."""
    beta: float
    """Exponent of the divisor."""
    k: float
    """What is added to the sum."""

    def out_shape(self, *shapes: Shape) -> Shape:
        """(C, *map) -> (C, *map)."""
        needs_map("local_response_norm", shapes[0])
        return shapes[0]

    def saved_extra(self, in_shape: Shape, out_shape: Shape) -> int:
        """Of torch's chain of operations: the squares with zeros for `size - 1` more channels, which the mean reads;
        what is raised to the power; and the power, which divides.
        """
        channels, *size = in_shape
        return 4 * (3 * channels + self.size - 1) * prod(size)


@dataclass(frozen=True, slots=True)
class LayerScale(Op):
    """A learned factor a channel, small at first (Touvron et al. 2021, "Going deeper with image transformers")."""

    saved = ("input",)

    channels: int
    """Channels of a map, or features."""
    initial: float
    """Value of the factors before training."""
    of_map: bool
    """Whether it reads a map, with channels first, in the place of tokens or features."""

    def out_shape(self, *shapes: Shape) -> Shape:
        """(C, *map) -> (C, *map), or (n, C) -> (n, C)."""
        _of_map("layer_scale", self.of_map, shapes[0])
        return shapes[0]

    @property
    def param_shapes(self) -> tuple[Shape, ...]:
        """The factors, (C,)."""
        return ((self.channels,),)
