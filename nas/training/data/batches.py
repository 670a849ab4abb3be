"""Batches without worker processes: read, augment, normalise and resize a whole batch at once."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from nas.network.ops import Shape
from nas.training.data.splits import ImageData, Images


class Batches:
    """An iterable of `(inputs, labels)`, each walk in a new order drawn from the seed where `shuffle` is set.

    Inputs are float32 of shape `(batch, *input_shape)`, normalised by the training split, in channels-last memory.
    """

    def __init__(
        self,
        images: Images,
        data: ImageData,
        batch_size: int,
        input_shape: Shape,
        *,
        shuffle: bool = False,
        augment: str = "none",
        seed: int = 0,
    ) -> None:
        self.images, self.batch_size, self.size = images, batch_size, tuple(input_shape[1:])
        self.shuffle, self.augment = shuffle, augment
        self.generator = torch.Generator().manual_seed(seed)
        self.mean = torch.tensor(data.mean).view(-1, 1, 1) * 255
        self.std = torch.tensor(data.std).view(-1, 1, 1) * 255

    def __len__(self) -> int:
        count = len(self.images.labels)
        full, rest = divmod(count, self.batch_size)
        # A training batch of one image has no batch statistics, so such a last batch is left out.
        return full + (1 if rest > 1 or (rest and not self.shuffle) or not full else 0)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        count = len(self.images.labels)
        order = torch.randperm(count, generator=self.generator) if self.shuffle else torch.arange(count)
        for indices in torch.split(order, self.batch_size)[: len(self)]:
            pixels = self.images.read(indices)
            if self.augment != "none":
                pixels = self._shift(pixels)
            if self.augment == "shift_flip":
                mirror = torch.rand(len(pixels), generator=self.generator) < 0.5
                pixels[mirror] = pixels[mirror].flip(-1)
            inputs = (pixels.float() - self.mean) / self.std
            if tuple(inputs.shape[2:]) != self.size:
                inputs = F.interpolate(inputs, self.size, mode="bilinear", antialias=True)
            yield inputs.contiguous(memory_format=torch.channels_last), self.images.labels[indices]

    def _shift(self, pixels: Tensor) -> Tensor:
        """Move each image by up to an eighth of its size, its edge pixels filling the gap."""
        batch, _, height, width = pixels.shape
        rows = self._shifted(batch, height)
        columns = self._shifted(batch, width)
        pixels = pixels.gather(2, rows[:, None, :, None].expand(-1, pixels.shape[1], -1, width))
        return pixels.gather(3, columns[:, None, None, :].expand(-1, pixels.shape[1], height, -1))

    def _shifted(self, batch: int, size: int) -> Tensor:
        reach = max(1, size // 8)
        offsets = torch.randint(-reach, reach + 1, (batch, 1), generator=self.generator)
        return (torch.arange(size) + offsets).clamp_(0, size - 1)
