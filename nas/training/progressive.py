"""Progressive resizing: small images and little regularisation first, both growing in stages. Never loads torch."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nas.errors import ConfigError, ShapeError
from nas.network.architecture import Architecture
from nas.network.lower import lower
from nas.network.ops import Shape
from nas.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages of a training (Tan & Le 2021, "EfficientNetV2", algorithm 1).

    All of it follows from the epoch, so that a training that goes on is in the stage of one that never stopped. The
    last epochs have the whole resolution and all of the regularisation.
    """

    recipe: Recipe
    """What the stages are, and what is reached in the last one."""
    epochs: int
    """Of the whole training."""

    @property
    def count(self) -> int:
        """Number of stages; of no more than there are epochs."""
        return min(self.recipe.progressive_stages, self.epochs)

    def progress(self, epoch: int) -> float:
        """Return how far an epoch, from 0, is on the way: 0 in the first stage and 1 in the last."""
        stage = min(self.count - 1, epoch * self.count // self.epochs)
        return stage / (self.count - 1) if self.count > 1 else 1.0

    def size(self, epoch: int, full: tuple[int, ...]) -> tuple[int, ...]:
        """Return the height and width of the images of an epoch, of the whole resolution in the end."""
        return _size(self._share(epoch, self.recipe.progressive_resolution), full)

    def regularisation(self, epoch: int) -> float:
        """Return the share of the regularisation that an epoch has."""
        return self._share(epoch, self.recipe.progressive_regularisation)

    def _share(self, epoch: int, first: float) -> float:
        return first + (1 - first) * self.progress(epoch)

    def recipe_of(self, epoch: int) -> Recipe:
        """Return the recipe with the magnitude of RandAugment and the alpha of mixup that an epoch has."""
        share = self.regularisation(epoch)
        if share == 1:
            return self.recipe
        magnitude = round(share * self.recipe.rand_augment_magnitude)
        return replace(self.recipe, rand_augment_magnitude=magnitude, mixup=share * self.recipe.mixup)


def stages_of(recipe: Recipe, epochs: int) -> Stages | None:
    """Return the stages of a training of so many epochs; None where there is one."""
    return Stages(recipe, epochs) if recipe.progressive_stages > 1 else None


def check_stages(architecture: Architecture, recipe: Recipe) -> None:
    """Make sure that a network takes the images of every stage with the layers that it has.

    Raises:
        ConfigError: it does not; names the operation and the size of the images.
    """
    if recipe.progressive_stages == 1:
        return
    channels, *full = architecture.input_shape
    if len(full) != 2:
        raise ConfigError(
            f"train.progressive_stages={recipe.progressive_stages} is for images, but the network takes inputs of "
            f"shape {architecture.input_shape}"
        )
    stages = Stages(recipe, recipe.progressive_stages)
    for size in dict.fromkeys(stages.size(epoch, tuple(full)) for epoch in range(stages.count)):
        problem = _difference(architecture, (channels, *size))
        if problem:
            raise ConfigError(
                f"train.progressive_stages={recipe.progressive_stages}: the network takes images of {_by(tuple(full))} "
                f"only, not the {_by(size)} of an earlier stage: {problem}"
            )


def _difference(architecture: Architecture, shape: Shape) -> str:
    """Return what of a network would be another operation for images of another shape; empty where nothing would."""
    other = replace(architecture, input_shape=shape)
    try:
        here, there = (lower(one, simplified=False).nodes[1:] for one in (architecture, other))
        left_out = {node.name for node in lower(other).nodes} - {node.name for node in lower(architecture).nodes}
    except ShapeError as error:
        return str(error)
    for one, two in zip(here, there, strict=False):
        if one.op != two.op:
            return f"{one.name} is {one.op} here, and would be {two.op} there"
    if left_out:  # such as a pooling of a map that has its size already
        return f"{min(left_out)} has no effect here and is left out, but would have one there"
    return "" if len(here) == len(there) else "it would have other operations there"


def _size(share: float, full: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(max(1, round(share * side)) for side in full)


def _by(size: tuple[int, ...]) -> str:
    return "x".join(map(str, size))
