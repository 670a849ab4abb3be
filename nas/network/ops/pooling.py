"""Pooling over windows and over whole maps."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from nas.errors import ShapeError
from nas.network.ops.base import MAX_DIMS, Ints, Op, Saved, Shape, Window, by, needs_map, slide, sliding_windows


def _pooled(op: str, pool: MaxPool | AvgPool, shape: Shape) -> Shape:
    kernel, stride, padding, ceil = pool.kernel, pool.stride, pool.padding, pool.ceil
    channels, size = needs_map(op, shape, len(kernel))
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise ShapeError(f"{op}: padding {padding} is over half of the kernel {kernel}")
    if op == "avg_pool" and len(kernel) == MAX_DIMS and any(n < k for n, k in zip(size, kernel, strict=True)):
        # Torch has this rule in three dimensions only.
        raise ShapeError(f"{op}: a map of {by(size)} is smaller than the kernel {by(kernel)}")
    return (channels, *slide(op, size, kernel=kernel, stride=stride, padding=padding, ceil=ceil))


@dataclass(frozen=True, slots=True)
class MaxPool(Op):
    """Maximum over a sliding window; with `ceil` the last window may hang over the end."""

    saved = ("input",)

    kernel: Ints
    """Size of the window, a dimension each."""
    stride: Ints
    """Step of the window, a dimension each."""
    padding: Ints
    """Positions on both sides that are no maximum, a dimension each; at most half of the kernel."""
    ceil: bool = False
    """Whether the size of the output is rounded up."""

    def out_shape(self, *shapes: Shape) -> Shape:
        """(C, *map) -> (C, *map after the window)."""
        return _pooled("max_pool", self, shapes[0])

    def windows(self, in_shape: Shape) -> tuple[Window, ...]:
        """Windows of the size of the kernel."""
        return sliding_windows(self.kernel, self.stride)

    def workspace(self, out_shape: Shape) -> int:
        """The position of each maximum, in 64 bits."""
        return 8 * prod(out_shape)

    def saved_extra(self, in_shape: Shape, out_shape: Shape) -> int:
        """The position of each maximum, in 64 bits."""
        return self.workspace(out_shape)


@dataclass(frozen=True, slots=True)
class AvgPool(Op):
    """Mean over a sliding window; the padding counts as zeros unless `count_padding` is false."""

    saved = ("input",)

    kernel: Ints
    """Size of the window, a dimension each."""
    stride: Ints
    """Step of the window, a dimension each."""
    padding: Ints
    """Zeros on both sides, a dimension each; at most half of the kernel."""
    ceil: bool = False
    """Whether the size of the output is rounded up."""
    count_padding: bool = True
    """Whether the mean is over the zeros too."""

    def out_shape(self, *shapes: Shape) -> Shape:
        """(C, *map) -> (C, *map after the window)."""
        return _pooled("avg_pool", self, shapes[0])

    def windows(self, in_shape: Shape) -> tuple[Window, ...]:
        """Windows of the size of the kernel."""
        return sliding_windows(self.kernel, self.stride)


@dataclass(frozen=True, slots=True)
class AdaptiveAvgPool(Op):
    """Mean over windows laid out so that the map becomes `size`, whatever it was."""

    size: Ints
    """Of the map that it gives, a dimension each."""

    @property
    def saved(self) -> tuple[Saved, ...]:
        """A mean over everything needs nothing again."""
        return () if prod(self.size) == 1 else ("input",)

    def out_shape(self, *shapes: Shape) -> Shape:
        """(C, *map) -> (C, *size)."""
        channels, _ = needs_map("adaptive_avg_pool", shapes[0], len(self.size))
        return (channels, *self.size)

    def windows(self, in_shape: Shape) -> tuple[Window, ...]:
        """Window i covers floor(i n / m) to ceil((i + 1) n / m); the widest counts."""
        return tuple(
            Window(max(-(-(i + 1) * n // m) - i * n // m for i in range(m)), max(1, n // m))
            for n, m in zip(in_shape[1:], self.size, strict=True)
        )


def _to_one(op: str, shape: Shape) -> Shape:
    channels, size = needs_map(op, shape)
    return (channels, *(1 for _ in size))


@dataclass(frozen=True, slots=True)
class GlobalAvgPool(Op):
    """Mean over the whole map, kept as a map of size 1, so that any input size works."""

    def out_shape(self, *shapes: Shape) -> Shape:
        """(C, *map) -> (C, 1, ...)."""
        return _to_one("global_avg_pool", shapes[0])


@dataclass(frozen=True, slots=True)
class GlobalMaxPool(Op):
    """Maximum over the whole map, kept as a map of size 1."""

    saved = ("input",)

    def out_shape(self, *shapes: Shape) -> Shape:
        """(C, *map) -> (C, 1, ...)."""
        return _to_one("global_max_pool", shapes[0])

    def workspace(self, out_shape: Shape) -> int:
        """The position of each maximum, in 64 bits."""
        return 8 * prod(out_shape)

    def saved_extra(self, in_shape: Shape, out_shape: Shape) -> int:
        """The position of each maximum, in 64 bits."""
        return self.workspace(out_shape)
