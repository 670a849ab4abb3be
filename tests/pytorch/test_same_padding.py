"""Convolutions that keep the size of the map, against torch's own `padding="same"`."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from nas.network.builder import GraphBuilder
from nas.pytorch import build_graph

_CONVOLVE = {1: F.conv1d, 2: F.conv2d}


@pytest.mark.parametrize("shape", [(2, 9), (2, 8, 7)])
@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 6])
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_a_kernel_of_any_size_keeps_the_map(shape: tuple[int, ...], dilation: int, kernel: int) -> None:
    builder = GraphBuilder(shape)
    graph = builder.finish(builder.conv(builder.input, 3, kernel, dilation=dilation))
    assert graph.out_shape == (3, *shape[1:])
    module = build_graph(graph).eval()
    (weight,) = module.parameters()
    inputs = torch.randn(2, *shape)
    expected = _CONVOLVE[len(shape) - 1](inputs, weight, padding="same", dilation=dilation)
    assert torch.allclose(module(inputs), expected, atol=1e-5)
