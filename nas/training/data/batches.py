"""Batches without worker processes: read, augment, normalise and resize a whole batch at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nas.exporting.preprocess import resize_matrix
from nas.network.ops import Shape
from nas.seeds import derived_seed
from nas.training.data.augmented_pixels import augmented_with, sent
from nas.training.data.balance import balanced_order
from nas.training.data.read_ahead import read_in_turn
from nas.training.data.splits import ImageData, Images
from nas.training.progressive import Stages
from nas.training.recipe import Recipe

_SHIFT = 1 / 8
"""Share of its size by which an image is moved at most, where `data.augment` says no more."""


class Batches:
    """An iterable of `(inputs, labels)`, each walk in a new order where `shuffle` is set.

    The order follows from the seed and the number of the walk, so that training can go on in another process.
    Inputs are float32 of shape `(batch, *input_shape)`, normalised by the training split; images are in channels-last
    memory. Where each pixel has a label, these are moved as the pixels are, and keep the size of the data set's images,
    whatever size a stage has.
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
        shift: float = 0.0,
        flip: bool = False,
        recipe: Recipe | None = None,
        seed: int = 0,
        walk: Callable[[], int] | None = None,
        balanced: bool = False,
        rank: int = 0,
        ranks: int = 1,
        stages: Stages | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        """Take images and how to walk through them.

        Args:
            images: of which batches are made.
            data: the data set that they belong to.
            batch_size: images a batch; of each rank, so that together they have the images of a batch of all of them.
            input_shape: of an image in a batch, without the batch.
            shuffle: for training: in random order, and without a last batch of one image.
            augment: none, shift, shift_flip.
            shift: share of its size by which each image is moved at most; 0 leaves that to `augment`, where it is an
                eighth.
            flip: mirror half of the images, whatever `augment` says.
            recipe: whose crops, rotations, colours and policies are made (`augmented`); None makes none.
            seed: of order and augmentation.
            walk: says at the start of a walk which one it is, from 0; by default they are counted.
            balanced: draw each class equally often, with replacement, where `shuffle` is set (`balanced_order`).
            rank: takes every `ranks`-th image, from this one on.
            ranks: processes that share the images.
            stages: sizes and recipes of the walks, which are epochs; None: those that are given.
            device: where batches are made, from pixels of 8 bits that are sent there; what is random is drawn on the
                CPU, so that a batch has the same images everywhere.
        """
        self.images, self.batch_size, self.size = images, batch_size, tuple(input_shape[1:])
        self.shuffle = shuffle
        self.shift = shift or (_SHIFT if augment != "none" else 0.0)
        self.flip = flip or augment == "shift_flip"
        self.recipe, self.stages = recipe, stages
        self.seed, self.rank, self.ranks = seed, rank, ranks
        self.balanced = balanced
        self._walk = walk or iter(range(2**62)).__next__
        self.generator = torch.Generator()
        self.device = torch.device(device)
        self.dense = data.task.dense
        # Pixels are levels from 0 to 255; series, which have one size, are numbers as they are.
        unit, each = (255, (-1, 1, 1)) if len(self.size) > 1 else (1, (-1, 1))
        self.mean = (torch.tensor(data.mean).view(each) * unit).to(self.device)
        self.std = (torch.tensor(data.std).view(each) * unit).to(self.device)

    def __len__(self) -> int:
        full, rest = divmod(len(self._mine(torch.arange(len(self.images.labels)))), self.batch_size)
        # A training batch of one image has no batch statistics, so such a last batch is left out.
        return full + (1 if rest > 1 or (rest and not self.shuffle) or not full else 0)

    def _order(self) -> Tensor:
        """Return all images of a walk, those of the other ranks too."""
        labels = self.images.labels
        if not self.shuffle:
            return torch.arange(len(labels))
        if self.balanced:
            return balanced_order(labels, self.generator)
        return torch.randperm(len(labels), generator=self.generator)

    def _mine(self, order: Tensor) -> Tensor:
        """Return the images of this rank. In training all must do the same number of steps, so some may be left out."""
        whole = len(order) // self.ranks * self.ranks if self.shuffle else len(order)
        return order[:whole][self.rank :: self.ranks]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        walk = self._walk()
        self.generator.manual_seed(derived_seed(self.seed, walk, num_bytes=7))
        rng = np.random.default_rng(derived_seed(self.seed, "pixels", walk, self.rank, num_bytes=8))
        size, recipe = self.size, self.recipe
        if self.stages is not None:
            size, recipe = self.stages.size(walk, size), self.stages.recipe_of(walk)
        parts = torch.split(self._mine(self._order()), self.batch_size)[: len(self)]
        for indices, read in zip(parts, read_in_turn(self.images, parts), strict=True):
            pixels, labels = self._there(read), self._there(self.images.labels[indices])
            pixels, masks = self._moved(pixels, labels[:, None] if self.dense else None)
            if recipe is not None:
                pixels, masks = augmented_with(pixels, masks, recipe, rng)
            inputs = (pixels.float() - self.mean) / self.std
            yield self._sized(inputs, size), labels if masks is None else masks[:, 0]

    def _moved(self, pixels: Tensor, masks: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Shift and mirror images or series, and masks with them."""
        if self.shift:
            places = [self._there(self._shifted(len(pixels), size)) for size in pixels.shape[2:]]
            pixels, masks = _taken(pixels, places), masks if masks is None else _taken(masks, places)
        if self.flip:
            mirror = self._own(torch.rand(len(pixels) * self.ranks, generator=self.generator)) < 0.5
            # Not by an index of those to mirror, for whose length the CPU would wait.
            mirrored = self._there(mirror).view(-1, *[1] * (pixels.ndim - 1))
            pixels = torch.where(mirrored, pixels.flip(-1), pixels)
            masks = masks if masks is None else torch.where(mirrored, masks.flip(-1), masks)
        return pixels, masks

    def _sized(self, inputs: Tensor, size: tuple[int, ...]) -> Tensor:
        """Return normalised inputs at the size of the network; in series 0, the mean, is where there is no value."""
        other = tuple(inputs.shape[2:]) != size
        if inputs.ndim == 3:
            inputs = inputs.nan_to_num(nan=0.0)
            return inputs @ self._there(torch.from_numpy(resize_matrix(inputs.shape[2], size[0]))) if other else inputs
        inputs = F.interpolate(inputs, size, mode="bilinear", antialias=True) if other else inputs
        return inputs.contiguous(memory_format=torch.channels_last)

    def _there(self, values: Tensor) -> Tensor:
        return sent(values, self.device)

    def _own(self, drawn: Tensor) -> Tensor:
        """Return what is drawn for the images of this rank: for all ranks together it is what one process draws."""
        return drawn[self.rank :: self.ranks]

    def _shifted(self, batch: int, size: int) -> Tensor:
        """Return from which place of a side each is taken, `(batch, size)`: moved, its edge pixels filling the gap."""
        reach = max(1, int(size * self.shift))
        offsets = torch.randint(-reach, reach + 1, (batch * self.ranks, 1), generator=self.generator)
        return (torch.arange(size) + self._own(offsets)).clamp_(0, size - 1)


def _taken(values: Tensor, places: Sequence[Tensor]) -> Tensor:
    """Return values `(batch, channels, *sizes)` from places `(batch, size)` along each of the sizes."""
    batch = len(values)
    for axis, along in enumerate(places, 2):
        shape = (-1 if axis == other else 1 for other in range(2, values.ndim))
        values = values.gather(axis, along.view(batch, 1, *shape).expand_as(values))
    return values
