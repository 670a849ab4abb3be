"""Operations that torch has no module or function for."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


class Blur(nn.Module):
    """Fixed binomial filter, channel by channel: (B, C, *map) -> (B, C, *map / stride)."""

    filter: Tensor
    """The weights, (C, 1, *kernel), not learned."""

    def __init__(self, channels: int, kernel: tuple[int, ...], stride: tuple[int, ...]) -> None:
        super().__init__()
        weights = torch.ones(())
        for size in kernel:
            row = torch.tensor([float(math.comb(size - 1, i)) for i in range(size)])
            weights = weights[..., None] * (row / row.sum())
        self.register_buffer("filter", weights.expand(channels, 1, *kernel).clone())
        self.stride = stride
        self.padding = [side for size in reversed(kernel) for side in ((size - 1) // 2, (size - 1) // 2)]

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *map) -> (B, C, *map / stride, rounded up)."""
        x = F.pad(x, self.padding, mode="reflect")
        return _CONV[len(self.stride)](x, self.filter, stride=self.stride, groups=self.filter.shape[0])


class DepthwiseConv2d(nn.Conv2d):
    """A convolution of each channel by itself: (B, C, H, W) -> (B, C, H', W').

    Where the kernel is larger than the map, the backward pass that torch has for CPUs (oneDNN) falls back to its
    reference code, ten times slower and more. In training it is done here then, by matrices, with the same numbers up
    to the order of sums.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H', W')."""
        reach = [(k - 1) * d + 1 for k, d in zip(self.kernel_size, self.dilation, strict=True)]
        small = reach[0] > x.shape[-2] or reach[1] > x.shape[-1]
        if not (small and self.training and x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")):
            return super().forward(x)
        geometry = self.stride, self.padding, self.dilation
        y: Tensor = _SmallDepthwise.apply(x, self.weight, geometry)  # type: ignore[no-untyped-call]  # torch has no types
        return y if self.bias is None else y + self.bias.view(-1, 1, 1)


class StridedPointwiseConv2d(nn.Conv2d):
    """A 1x1 convolution that leaves positions out, of few channels: (B, C, H, W) -> (B, C', H', W').

    The backward pass that torch 2.13 has for CPUs with AVX2 or AVX-512 (oneDNN) writes beyond its memory where a map of
    fewer channels than a register holds, 8 or 16, lies in channels-last order: the process crashes, or goes on with
    what it has overwritten. Here the positions are left out first, which gives the same numbers.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H', W')."""
        rows, columns = self.stride
        return F.conv2d(x[..., ::rows, ::columns], self.weight, self.bias)


class _SmallDepthwise(torch.autograd.Function):
    """A depthwise convolution whose backward pass sees it as a matrix a channel, from map to map."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, geometry: Any) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = geometry
        stride, padding, dilation = geometry
        return F.conv2d(x, weight, None, stride, padding, dilation, x.shape[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (x, weight), (gradient,) = ctx.saved_tensors, gradients
        channels, kernel = x.shape[1], tuple(weight.shape[2:])
        taps = _taps(tuple(x.shape[2:]), tuple(gradient.shape[2:]), kernel, *ctx.geometry).to(x.dtype)
        of_y = gradient.transpose(0, 1).flatten(2)  # channel, example, position in the output
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            matrices = (weight.flatten(1) @ taps.flatten(1)).view(channels, *taps.shape[1:])
            of_x = (of_y @ matrices.mT).transpose(0, 1).reshape(x.shape)
            of_x = of_x.contiguous(memory_format=torch.channels_last)  # as training has its maps
        if ctx.needs_input_grad[1]:
            products = x.transpose(0, 1).flatten(2).mT @ of_y
            of_weight = (products.flatten(1) @ taps.flatten(1).T).view(weight.shape)
        return of_x, of_weight, None


@lru_cache(maxsize=64)
def _taps(
    before: tuple[int, ...], after: tuple[int, ...], kernel: tuple[int, ...], *geometry: tuple[int, ...]
) -> Tensor:
    """Return which weight leads from a position of the map to one of the output: (weights, positions, positions after).

    One where it is this weight, else zero. `geometry` is stride, padding and dilation.
    """
    taps = torch.ones(1, 1, 1)
    for size, size_after, weights, stride, padding, dilation in zip(before, after, kernel, *geometry, strict=True):
        offset = torch.arange(size)[:, None] - torch.arange(size_after) * stride + padding
        along_axis = (offset == torch.arange(weights)[:, None, None] * dilation).float()
        taps = torch.einsum("kio,ljp->klijop", taps, along_axis).flatten(4, 5).flatten(2, 3).flatten(0, 1)
    return taps


class InPlaceInInference(nn.Module):
    """A non-linearity whose derivative needs its input: in training torch would keep a copy of what is overwritten,
    which costs more than it saves; in inference it works in place.
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function to each number; in inference over `x` itself."""
        return self.function(x, inplace=not self.training)

    def extra_repr(self) -> str:
        """Name of the function."""
        return self.function.__name__


class GlobalAvgPool(nn.Module):
    """Mean over the map, kept as a map of size 1: (B, C, *map) -> (B, C, 1, ...).

    torch's adaptive pooling gives the same, but makes a view of it in channels_last, which backward pays for.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *map) -> (B, C, 1, ...)."""
        return x.mean(tuple(range(2, x.dim())), keepdim=True)


class MapLayerNorm(nn.LayerNorm):
    """Layer normalisation over the channels of a map: (B, C, *map) -> the same."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *map) -> (B, C, *map)."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class LayerScale(nn.Module):
    """A learned factor a channel; `spatial_dims` follow the channels."""

    def __init__(self, channels: int, initial: float, spatial_dims: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), initial))
        self.spatial_dims = spatial_dims

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *map) -> (B, C, *map), or (B, n, C) -> (B, n, C)."""
        return x * self.weight.view(-1, *(1,) * self.spatial_dims)


class DropPath(nn.Module):
    """Zero for a whole example with probability `rate` in training; the others grow by 1 / (1 - rate)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """(B, ...) -> (B, ...)."""
        if not self.training:
            return x
        keep = x.new_empty((x.shape[0], *(1,) * (x.dim() - 1))).bernoulli_(1 - self.rate)
        return x * keep.div_(1 - self.rate)


class ClassToken(nn.Module):
    """One learned token before the others: (B, n, C) -> (B, n + 1, C)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, features))

    def forward(self, x: Tensor) -> Tensor:
        """(B, n, C) -> (B, n + 1, C)."""
        return torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1)


class PositionEmbedding(nn.Module):
    """A learned vector for each position, added: (B, n, C) -> (B, n, C)."""

    def __init__(self, tokens: int, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, tokens, features))

    def forward(self, x: Tensor) -> Tensor:
        """(B, n, C) -> (B, n, C)."""
        return x + self.weight


class SelfAttention(nn.Module):
    """Attention from queries, keys and values side by side: (B, n, 3 C) -> (B, n, C)."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        """(B, n, 3 C) -> (B, n, C)."""
        batch, tokens, features = x.shape
        q, k, v = x.view(batch, tokens, 3, self.heads, features // (3 * self.heads)).permute(2, 0, 3, 1, 4).unbind(0)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, features // 3)


class Auxiliary(nn.Module):
    """A part that runs in training only: gives its prediction then, and None in inference."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, *inputs: Tensor) -> Tensor | None:
        """Return the prediction of the part in training, None in inference."""
        return self.part(*inputs) if self.training else None


def with_auxiliary(output: Tensor, *auxiliary: Tensor | None) -> Tensor | tuple[Tensor | None, ...]:
    """Return the output alone in inference, and with the auxiliary predictions behind it in training."""
    return output if auxiliary[0] is None else (output, *auxiliary)


def zeros(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return zeros (B, *shape) whose gradient is zero."""
    for dim in range(1, x.dim()):
        x = x.narrow(dim, 0, 1)
    return (x * 0).view(-1, *(1,) * len(shape)).expand(-1, *shape)


def crop(x: Tensor, like: Tensor) -> Tensor:
    """Return the middle of a map, as large as another."""
    for dim in range(2, x.dim()):
        x = x.narrow(dim, (x.shape[dim] - like.shape[dim]) // 2, like.shape[dim])
    return x


def channel_pad(x: Tensor, channels: int, stride: int) -> Tensor:
    """Return every `stride`-th position, with zeros for new channels behind the others."""
    for dim in range(2, x.dim()):
        x = x[(slice(None),) * dim + (slice(None, None, stride),)]
    return F.pad(x, [0, 0] * (x.dim() - 2) + [0, channels - x.shape[1]])


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Deal the channels out among groups: channel g n + i goes to i groups + g."""
    batch, channels, *size = x.shape
    return x.reshape(batch, groups, channels // groups, *size).transpose(1, 2).reshape(x.shape)
