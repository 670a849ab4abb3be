"""How much predictions change when the image moves by a pixel.

Zhang 2019, "Making convolutional networks shift-invariant again", section 4: consistency of classification. Images move
in a circle, as there for CIFAR-10, so that none of their content is lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class ShiftVariance:
    """What moves by one pixel, in the eight directions, change."""

    variation: float
    """Root mean square distance of the logits of an image before and after, over that of two different images. 0:
    nothing changes; 1: a moved image is as far away as another one."""
    consistency: float
    """Share of the moves that leave the predicted class as it was."""
    images: int
    """Images that were moved."""


_MOVES = tuple((down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if (down, right) != (0, 0))


@torch.no_grad()
def shift_variance(network: nn.Module, inputs: Tensor) -> ShiftVariance:
    """Measure how far a network in inference depends on where the content of an image is.

    Args:
        network: `(batch, channels, height, width) -> (batch, num_classes)`.
        inputs: `(batch, channels, height, width)`, 2 different images at least.
    """
    before = network(inputs).double()
    squares, same = 0.0, 0.0
    for move in _MOVES:
        after = network(torch.roll(inputs, move, (2, 3)).contiguous()).double()
        squares += float((after - before).square().sum(1).mean()) / len(_MOVES)
        same += float((after.argmax(1) == before.argmax(1)).double().mean()) / len(_MOVES)
    between = 2 * float(before.var(0, correction=1).sum())
    return ShiftVariance((squares / between) ** 0.5 if between else float("nan"), same, len(inputs))
