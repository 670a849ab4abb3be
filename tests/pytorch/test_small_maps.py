"""Depthwise convolutions of maps smaller than the kernel: torch's own are the independent source."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from nas.network import ops
from nas.pytorch.layers import DepthwiseConv2d
from nas.pytorch.modules import module_of


@st.composite
def _convolutions(draw: Any) -> tuple[tuple[int, ...], dict[str, Any]]:
    """The shape of an input, and arguments of a convolution that reaches over it."""

    def pair(low: int, high: int) -> tuple[int, int]:
        return draw(st.integers(low, high)), draw(st.integers(low, high))

    kernel, dilation = pair(1, 5), pair(1, 3)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    padding = tuple(draw(st.integers(r // 2, r)) for r in reach)
    size = tuple(draw(st.integers(max(1, r - 2 * p), 6)) for r, p in zip(reach, padding, strict=True))
    channels = draw(st.integers(2, 3))
    shape = (draw(st.integers(1, 3)), channels, *size)
    settings = {"stride": pair(1, 3), "padding": padding, "dilation": dilation, "bias": draw(st.booleans())}
    return shape, {"in_channels": channels, "out_channels": channels, "kernel_size": kernel, **settings}


def _run(convolution: nn.Module, x: Tensor) -> list[Tensor]:
    """The output, and the gradients of the input and of all weights for an uneven loss."""
    x = x.clone().requires_grad_()
    y = convolution(x)
    return [y, *torch.autograd.grad((y * y.detach().cos()).sum(), [x, *convolution.parameters()])]


@given(_convolutions())
def test_small_maps_have_the_numbers_of_torch(case: tuple[tuple[int, ...], dict[str, Any]]) -> None:
    shape, settings = case
    torch.manual_seed(0)
    mine = DepthwiseConv2d(**settings, groups=settings["in_channels"], dtype=torch.float64)
    theirs = nn.Conv2d(**settings, groups=settings["in_channels"], dtype=torch.float64)
    theirs.load_state_dict(mine.state_dict())
    x = torch.randn(shape, dtype=torch.float64)
    for a, b in zip(_run(mine, x), _run(theirs, x), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def _of(size: int, kernel: int, **more: Any) -> tuple[DepthwiseConv2d, Tensor]:
    torch.manual_seed(0)
    layer = DepthwiseConv2d(4, 4, kernel, padding=kernel // 2, groups=4, bias=False, **more)
    return layer, torch.randn(2, 4, size, size).to(memory_format=torch.channels_last).requires_grad_()


def _backward(layer: nn.Module, x: Tensor) -> str:
    return type(layer(x).grad_fn).__name__


def test_it_is_done_by_matrices_only_where_torch_is_slow() -> None:
    assert _backward(*_of(4, 5)) == "_SmallDepthwiseBackward"
    assert _backward(*_of(5, 5)) == "ConvolutionBackward0"
    assert _backward(*_of(4, 3, dilation=2)) == "_SmallDepthwiseBackward"
    layer, x = _of(4, 5)
    assert _backward(layer.eval(), x) == "ConvolutionBackward0"
    with torch.autocast("cpu", torch.bfloat16):
        assert _backward(layer.train(), x) == "ConvolutionBackward0"


def test_gradients_have_gradients_and_keep_the_layout() -> None:
    layer, x = _of(3, 5, dtype=torch.float64)
    x = x.detach().double().requires_grad_()
    assert torch.autograd.gradgradcheck(layer, (x,))
    y = layer(x)
    assert y.is_contiguous(memory_format=torch.channels_last)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert gradient.is_contiguous(memory_format=torch.channels_last)


def test_it_saves_for_backward_what_torch_does() -> None:
    def saved(layer: nn.Module, x: Tensor) -> int:
        kept: list[int] = []

        def keep(tensor: Tensor) -> Tensor:
            kept.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            layer(x)
        return sum(kept)

    layer, x = _of(4, 7)
    plain = nn.Conv2d(4, 4, 7, padding=3, groups=4, bias=False)
    assert saved(layer, x) == saved(plain, x) == x.numel() + layer.weight.numel()


@pytest.mark.parametrize(
    ("groups", "out", "wanted"),
    [(8, 8, DepthwiseConv2d), (4, 8, nn.Conv2d), (8, 16, nn.Conv2d), (1, 8, nn.Conv2d)],
)
def test_convolutions_of_each_channel_are_these(groups: int, out: int, wanted: type[nn.Module]) -> None:
    op = ops.Conv(8, out, (5, 5), (1, 1), (2, 2), (1, 1), groups, False)
    assert type(module_of(op, 2, False)) is wanted
