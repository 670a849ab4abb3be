"""1x1 convolutions of few channels that leave positions out: torch's own in doubles are the source."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from nas.network import ops
from nas.pytorch.layers import StridedPointwiseConv2d
from nas.pytorch.modules import module_of


def _run(convolution: nn.Module, x: Tensor) -> list[Tensor]:
    """The output, and the gradients of the input and of all weights for an uneven loss."""
    x = x.clone().requires_grad_()
    y = convolution(x)
    return [y, *torch.autograd.grad((y * y.detach().cos()).sum(), [x, *convolution.parameters()])]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("stride", [(2, 2), (1, 2), (3, 1)])
@pytest.mark.parametrize("size", [(8, 8), (7, 5), (1, 2)])
def test_they_have_the_numbers_of_torch(size: tuple[int, int], stride: tuple[int, int], bias: bool) -> None:
    torch.manual_seed(0)
    mine = StridedPointwiseConv2d(3, 5, 1, stride=stride, bias=bias, dtype=torch.float64)
    theirs = nn.Conv2d(3, 5, 1, stride=stride, bias=bias, dtype=torch.float64)
    theirs.load_state_dict(mine.state_dict())
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    for a, b in zip(_run(mine, x), _run(theirs, x), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("op", "wanted"),
    [
        (ops.Conv(15, 12, (1, 1), (2, 2), (0, 0), (1, 1), 1, False), StridedPointwiseConv2d),
        (ops.Conv(7, 12, (1, 1), (1, 2), (0, 0), (1, 1), 1, False), StridedPointwiseConv2d),
        (ops.Conv(16, 12, (1, 1), (2, 2), (0, 0), (1, 1), 1, False), nn.Conv2d),
        (ops.Conv(4, 12, (1, 1), (1, 1), (0, 0), (1, 1), 1, False), nn.Conv2d),
        (ops.Conv(4, 12, (3, 3), (2, 2), (1, 1), (1, 1), 1, False), nn.Conv2d),
        (ops.Conv(4, 12, (1, 1), (2, 2), (1, 1), (1, 1), 1, False), nn.Conv2d),
        (ops.Conv(4, 12, (1, 1), (2, 2), (0, 0), (1, 1), 2, False), nn.Conv2d),
        (ops.Conv(4, 12, (1,), (2,), (0,), (1,), 1, False), nn.Conv1d),
    ],
)
def test_only_those_of_few_channels_are_these(op: ops.Conv, wanted: type[nn.Module]) -> None:
    assert type(module_of(op, len(op.kernel), False)) is wanted


_TRAIN = """
import sys
import torch
from nas.network import ops
from nas.pytorch.modules import module_of
channels, out_channels, size, batch, steps = map(int, sys.argv[1:])
layer = module_of(ops.Conv(channels, out_channels, (1, 1), (2, 2), (0, 0), (1, 1), 1, False), 2, False)
layer = layer.to(memory_format=torch.channels_last)
for _ in range(steps):
    x = torch.randn(batch, channels, size, size).contiguous(memory_format=torch.channels_last).requires_grad_()
    layer(x).sum().backward()
"""


@pytest.mark.parametrize("words", [(4, 8, 14, 40, 300), (8, 12, 64, 64, 3)])
def test_training_one_does_not_end_the_process(words: tuple[int, ...]) -> None:
    """torch's own does: on CPUs with AVX2 the first one, on those with AVX-512 the second one too."""
    done = subprocess.run([sys.executable, "-c", _TRAIN, *map(str, words)], capture_output=True, check=False)
    assert done.returncode == 0
