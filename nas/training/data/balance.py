"""How classes of uneven size are evened out in training (`DataConfig.balance`): by the loss, or by what is drawn."""

from __future__ import annotations

import torch
from torch import Tensor


def balanced_order(labels: Tensor, generator: torch.Generator) -> Tensor:
    """Return as many images as there are, drawn with replacement, each class as often as any other, in random order.

    Where the number of images is no multiple of that of the classes, some classes, which ones being drawn too, have one
    image more.

    Args:
        labels: of the images, int64 of shape `(n,)`.
        generator: where the numbers come from.
    """
    images = torch.argsort(labels, stable=True)
    present, counts = torch.unique_consecutive(labels[images], return_counts=True)
    first = counts.cumsum(0) - counts
    turns = torch.randperm(len(present), generator=generator)[torch.arange(len(labels)) % len(present)]
    turns = turns[torch.randperm(len(labels), generator=generator)]
    # In 64 bits, so that a product is never rounded up to the number of images of a class.
    drawn = torch.rand(len(labels), generator=generator, dtype=torch.float64) * counts[turns]
    return images[first[turns] + drawn.long()]
