"""Augmentation of a batch on tensors, with numbers of their own for each image: erased rectangles and mixed pairs.

Shifts and mirror images are made where images are read (`nas.training.data.batches`), on their pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nas.training.tasks.task import Loss

_ERASED = (0.02, 0.33)
"""Share of an image that an erased rectangle has, drawn evenly: as timm, between the 0.2 and 0.4 of the paper."""
_ASPECT = log(1 / 0.3)
"""Largest logarithm of its height over its width, drawn evenly from minus this."""


@dataclass(frozen=True, eq=False)
class Mixed:
    """A batch of images that are mixed of two, or of plain ones."""

    inputs: Tensor
    """`(batch, channels, height, width)`."""
    labels: Tensor
    """Targets of the images, `(batch, ...)`, such as their classes, `(batch,)`."""
    partners: Tensor | None = None
    """Targets of the images that they are mixed with; None where nothing is mixed."""
    share: Tensor | None = None
    """Of the image itself in the mixture, from 0 to 1, `(batch,)`."""

    def loss(self, outputs: Tensor, loss: Loss) -> Tensor:
        """Return the mean loss of outputs `(batch, outputs)`: by their shares with both targets, where mixed.

        A loss that is linear in the target, as cross-entropies are, is so that of the mixed target. That of squared
        errors differs from it by something that no output changes.
        """
        if self.partners is None or self.share is None:
            return loss(outputs, self.labels, "mean")
        own, other = (loss(outputs, targets, "none") for targets in (self.labels, self.partners))
        return (self.share * own + (1 - self.share) * other).mean()

    @property
    def larger(self) -> Tensor:
        """The targets of the larger part of each image, as `labels`."""
        if self.partners is None or self.share is None:
            return self.labels
        larger = (self.share >= 0.5).view(-1, *[1] * (self.labels.ndim - 1))
        return torch.where(larger, self.labels, self.partners)


def erased(inputs: Tensor, probability: float, rng: np.random.Generator) -> Tensor:
    """Return images, some of which have zeros in a random rectangle (Zhong et al. 2020, "Random erasing").

    Args:
        inputs: `(batch, channels, height, width)`, or series `(batch, channels, length)`, of which a span is erased;
            normalised, so that zero is the mean; it stays as it is.
        probability: of a rectangle, for each image.
        rng: where the numbers come from.
    """
    if not probability:
        return inputs
    count, full = len(inputs), inputs.shape[2:]
    area, aspect = rng.uniform(*_ERASED, count), np.exp(rng.uniform(-_ASPECT, _ASPECT, count))
    shares = [np.sqrt(area * aspect), np.sqrt(area / aspect)] if len(full) == 2 else [area]
    spans = [
        _span(np.clip(np.rint(share * length), 1, length).astype(np.int64), length, rng.uniform(size=count))
        for share, length in zip(shares, full, strict=True)
    ]
    chosen = rng.uniform(size=count) < probability
    box = _box(spans) & chosen.reshape(-1, *[1] * len(full))
    return inputs.masked_fill(torch.from_numpy(box).to(inputs.device)[:, None], 0.0)


def mixed(inputs: Tensor, labels: Tensor, *, mixup: float, cutmix: float, rng: np.random.Generator) -> Mixed:
    """Mix each image with another one of the batch.

    mixup (Zhang et al. 2018, equation 1) adds the two by shares of lambda and 1 - lambda; CutMix (Yun et al. 2019,
    section 3.1) puts a rectangle of the other one, of the share 1 - lambda, in its place, and the labels count by the
    pixels that there are of each after the rectangle is cut at the edges. Lambda is drawn from Beta(alpha, alpha).

    Args:
        inputs: `(batch, channels, height, width)`, or series `(batch, channels, length)`, of which CutMix takes a span;
            they stay as they are.
        labels: `(batch,)`.
        mixup: its alpha; 0 for none.
        cutmix: its alpha; 0 for none. Where there are both, each image is mixed by one of them, with even chances.
        rng: where the numbers come from.
    """
    if not mixup and not cutmix:
        return Mixed(inputs, labels)
    count = len(inputs)
    order = torch.from_numpy(rng.permutation(count)).to(inputs.device)
    cuts = rng.uniform(size=count) < (0.5 if mixup and cutmix else float(cutmix > 0))
    share = np.ones(count)
    if mixup:
        share = np.where(cuts, share, rng.beta(mixup, mixup, count))
    factor = torch.from_numpy(share.astype(np.float32)).to(inputs.device)
    # Where the share is 1, the image stays as it is to the last bit.
    together = torch.lerp(inputs[order], inputs, factor.view(-1, *[1] * (inputs.ndim - 1)))
    if cutmix:
        box = _boxes(rng.beta(cutmix, cutmix, count), inputs.shape[2:], rng) & cuts.reshape(
            -1, *[1] * (inputs.ndim - 2)
        )
        together = torch.where(torch.from_numpy(box).to(inputs.device)[:, None], inputs[order], together)
        share = np.where(cuts, 1 - box.reshape(count, -1).mean(axis=1), share)
        factor = torch.from_numpy(share.astype(np.float32)).to(inputs.device)
    if inputs.ndim == 4:
        together = together.contiguous(memory_format=torch.channels_last)
    return Mixed(together, labels, labels[order], factor)


def _boxes(share: NDArray[np.float64], full: Sequence[int], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return rectangles `(count, *full)` of the share 1 - lambda around random centres, cut at the edges."""
    side = np.sqrt(1 - share) if len(full) == 2 else 1 - share

    def span(length: int) -> NDArray[np.bool_]:
        size, centre = np.rint(side * length).astype(np.int64), rng.integers(0, length, len(share))
        return _inside(centre - size // 2, size, length)

    return _box([span(length) for length in full])


def _box(spans: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Return which places are in a span along each side: `(count, side)` each to `(count, *sides)`."""
    if len(spans) == 1:
        return spans[0]
    rows, columns = spans
    box: NDArray[np.bool_] = rows[:, :, None] & columns[:, None, :]
    return box


def _span(size: NDArray[np.int64], full: int, where: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which of `full` places are in a part of some size, `(count, full)`; `where` in [0, 1) says where it is."""
    return _inside((where * (full - size + 1)).astype(np.int64), size, full)


def _inside(first: NDArray[np.int64], size: NDArray[np.int64], full: int) -> NDArray[np.bool_]:
    """Return which of `full` places are among the `size` from `first` on, `(count, full)`; it may begin before them."""
    places = np.arange(full)
    inside: NDArray[np.bool_] = (places >= first[:, None]) & (places < (first + size)[:, None])
    return inside
