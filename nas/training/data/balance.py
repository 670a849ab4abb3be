"""How classes of uneven size are evened out in training (`DataConfig.balance`): by the loss, or by what is drawn."""

from __future__ import annotations

import torch
from torch import Tensor


def class_weights(labels: Tensor, num_classes: int) -> Tensor:
    """Return the weight of each class in the loss: `images / (classes * images of the class)`.

    Together the images of each class weigh the same, and the mean weight of an image is 1, so that a learning rate fits
    as before. It is `class_weight="balanced"` of scikit-learn.

    Args:
        labels: of what is trained on, int64 of shape `(n,)`.
        num_classes: of the data; one without images counts as none and has the weight 0.

    Returns:
        float32 of shape `(num_classes,)`.
    """
    counts = torch.bincount(labels, minlength=num_classes).double()
    weights = len(labels) / ((counts > 0).sum() * counts.clamp_min(1))
    return torch.where(counts > 0, weights, 0.0).float()


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
