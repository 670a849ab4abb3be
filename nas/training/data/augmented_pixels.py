"""What a recipe does to pixels for training beside shifts and mirror images: drawn for each image, done to all at once.

Numbers are drawn on the CPU and sent to the device, so that every device sees the same images. Which image has which
operation is known before it is done, so that none waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nas.errors import DataError
from nas.training.data import pixel_operations as operations
from nas.training.recipe import HIGHEST_MAGNITUDE, Recipe

_Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class _Operation:
    """One of the 14 operations of both policies (Cubuk et al. 2020, section 3; Mueller & Hutter 2021)."""

    name: str
    start: float = 0.0
    """Its parameter at magnitude 0, where it changes nothing."""
    rand: float = 0.0
    """How far the parameter goes from there at the highest magnitude of RandAugment."""
    trivial: float = 0.0
    """The same of TrivialAugment, in the paper's wide range."""
    signed: bool = False
    """Whether it goes either way, with even chances."""


# Translations are by shares of the size, as AutoAugment's 150 of 331 pixels: TrivialAugment's 32 pixels would be all
# of a small image and a seventh of a large one.
_POLICY = (
    _Operation("identity"),
    _Operation("autocontrast"),
    _Operation("equalize"),
    _Operation("rotate", 0, 30, 135, signed=True),  # degrees
    _Operation("shear_x", 0, 0.3, 0.99, signed=True),
    _Operation("shear_y", 0, 0.3, 0.99, signed=True),
    _Operation("translate_x", 0, 150 / 331, 150 / 331, signed=True),
    _Operation("translate_y", 0, 150 / 331, 150 / 331, signed=True),
    _Operation("brightness", 1, 0.9, 0.99, signed=True),
    _Operation("contrast", 1, 0.9, 0.99, signed=True),
    _Operation("saturation", 1, 0.9, 0.99, signed=True),
    _Operation("sharpness", 1, 0.9, 0.99, signed=True),
    _Operation("posterize", 8, -4, -6),  # bits that are kept
    _Operation("solarize", 256, -256, -256),  # threshold
)
_START, _RAND, _TRIVIAL = (
    np.array([getattr(operation, field) for operation in _POLICY], dtype=np.float64)
    for field in ("start", "rand", "trivial")
)
_SIGNED = np.array([operation.signed for operation in _POLICY])
_PLACE = {operation.name: place for place, operation in enumerate(_POLICY)}

_VALUES: Mapping[int, Callable[[Tensor, Tensor], Tensor]] = {
    _PLACE["autocontrast"]: lambda pixels, _: operations.autocontrasted(pixels),
    _PLACE["equalize"]: lambda pixels, _: operations.equalized(pixels),
    _PLACE["brightness"]: operations.brightened,
    _PLACE["contrast"]: operations.contrasted,
    _PLACE["saturation"]: operations.saturated,
    _PLACE["sharpness"]: operations.sharpened,
    _PLACE["posterize"]: operations.posterized,
    _PLACE["solarize"]: operations.solarized,
}
"""Operations of the policies that change values and not places."""


@dataclass(frozen=True, eq=False)
class Policy:
    """Which operations of RandAugment or TrivialAugment each image of a batch has, one a row."""

    which: NDArray[np.int64]
    """`(operations, batch)`."""
    amount: _Numbers
    """Their parameters, `(operations, batch)`."""

    def of(self, row: int, name: str) -> _Numbers:
        """Return the parameters of the images whose operation in a row has this name, and 0 for others: `(batch,)`."""
        return np.where(self.which[row] == _PLACE[name], self.amount[row], 0.0)


def augmented(pixels: Tensor, recipe: Recipe, rng: np.random.Generator) -> Tensor:
    """Return pixels of a training batch, changed as the recipe says; see `augmented_with`."""
    return augmented_with(pixels, None, recipe, rng)[0]


def augmented_with(
    pixels: Tensor, masks: Tensor | None, recipe: Recipe, rng: np.random.Generator
) -> tuple[Tensor, Tensor | None]:
    """Return pixels of a training batch, changed as the recipe says, and masks that are moved as they are.

    All that is done to images for training, in this order: shift and mirror image (`Batches`); top to bottom; one
    resampling for crop, rotation, and the rotations, shears and translations of a policy; brightness, contrast,
    saturation, hue; the policy's other operations, one after the other. Then images are normalised and resized
    (`Batches`), erased and mixed (`nas.training.augment`).

    Args:
        pixels: uint8 of shape `(batch, channels, height, width)`; they stay as they are.
        masks: the class of each pixel, uint8 of shape `(batch, 1, height, width)`; what changes values leaves them, and
            where pixels are interpolated they have the class of the nearest.
        recipe: says what is done; nothing is drawn for what is off.
        rng: where the numbers come from.

    Raises:
        DataError: something is to be done to other values than pixels of 8 bits in two dimensions, such as series.
    """
    if not recipe.changes_pixels:
        return pixels, masks
    if pixels.dtype != torch.uint8 or pixels.ndim != 4:
        raise DataError(
            "crops, rotations, colours and policies of a recipe (train.flip_vertical to train.trivial_augment) are for "
            f"images of 8 bits and shape (channels, height, width), but got {pixels.dtype} of {tuple(pixels.shape[1:])}"
        )
    count, channels, height, width = pixels.shape
    policy = drawn_policy(recipe, count, channels, rng)
    if recipe.flip_vertical:
        turned = sent(rng.uniform(size=count) < 0.5, pixels.device)[:, None, None, None]
        pixels = torch.where(turned, pixels.flip(-2), pixels)
        masks = masks if masks is None else torch.where(turned, masks.flip(-2), masks)
    if recipe.crop_scale < 1 or recipe.rotation or len(policy.which):
        maps = sent(drawn_maps(recipe, policy, height, width, rng)[:, :2].astype(np.float32), pixels.device)
        pixels = operations.resampled(pixels, maps)
        masks = masks if masks is None else operations.resampled(masks, maps, "nearest")
    pixels = _recoloured(pixels, recipe, rng)
    for which, amount in zip(policy.which, policy.amount, strict=True):
        pixels = _by_operation(pixels, which, amount)
    return pixels, masks


def sent(values: NDArray[np.generic] | Tensor, device: torch.device) -> Tensor:
    """Return values of the CPU on a device, without waiting for it where it is a GPU."""
    values = values if isinstance(values, Tensor) else torch.from_numpy(values)
    if device.type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


def drawn_policy(recipe: Recipe, count: int, channels: int, rng: np.random.Generator) -> Policy:
    """Draw the operations of RandAugment or TrivialAugment for a batch; those for no operation where both are off.

    RandAugment (Cubuk et al. 2020) has a number of operations, all of one magnitude; TrivialAugment (Mueller & Hutter
    2021) has one, of a magnitude that is drawn from all 31. Saturation is among them where there are three channels.
    """
    rows = 1 if recipe.trivial_augment else recipe.rand_augment
    if not rows:
        return Policy(np.zeros((0, count), dtype=np.int64), np.zeros((0, count)))
    possible = [place for place, one in enumerate(_POLICY) if channels == 3 or one.name != "saturation"]
    which = rng.choice(np.array(possible), (rows, count))
    if recipe.trivial_augment:
        level, reach = rng.integers(0, HIGHEST_MAGNITUDE, (rows, count), endpoint=True), _TRIVIAL
    else:
        level, reach = np.full((rows, count), recipe.rand_augment_magnitude), _RAND
    sign = np.where(_SIGNED[which], rng.choice(np.array([-1.0, 1.0]), (rows, count)), 1.0)
    return Policy(which, _START[which] + sign * level / HIGHEST_MAGNITUDE * reach[which])


def drawn_maps(recipe: Recipe, policy: Policy, height: int, width: int, rng: np.random.Generator) -> _Numbers:
    """Draw crops and rotations, and put them together with what a policy moves: `(batch, 3, 3)`.

    They take places of the result to places of the image, as `pixel_operations.resampled` wants them: what is done to
    the image first stands at the left.
    """
    count: int = policy.which.shape[1]
    maps = np.tile(np.eye(3), (count, 1, 1))
    if recipe.crop_scale < 1:
        maps = np.matmul(maps, drawn_crops(recipe, count, height, width, rng))
    if recipe.rotation:
        turns = _maps(height, width, degrees=rng.uniform(-recipe.rotation, recipe.rotation, count))
        maps = np.matmul(maps, turns)
    for row in range(len(policy.which)):
        moves = _maps(
            height,
            width,
            degrees=policy.of(row, "rotate"),
            shear_x=policy.of(row, "shear_x"),
            shear_y=policy.of(row, "shear_y"),
            right=policy.of(row, "translate_x"),
            down=policy.of(row, "translate_y"),
        )
        maps = np.matmul(maps, moves)
    return maps


def drawn_crops(recipe: Recipe, count: int, height: int, width: int, rng: np.random.Generator) -> _Numbers:
    """Draw random crops that are resized to the whole, `(batch, 3, 3)`: Szegedy et al. 2015, "Going deeper", section 6.

    Their share of the area is drawn evenly, and so is the logarithm of their width over their height, from those that
    fit into the image. Where no ratio of the recipe fits a long image, the nearest does.
    """
    area = rng.uniform(recipe.crop_scale, 1, count)
    # A width of sqrt(area * height * width * ratio) must not exceed the image's, nor a height in the same way.
    longest = np.log(width / height / area)
    flattest = np.log(width / height * area)
    low, high = (np.clip(end, flattest, longest) for end in (log(recipe.crop_ratio), -log(recipe.crop_ratio)))
    ratio = np.exp(rng.uniform(low, high))
    across, down = np.sqrt(area * ratio * height / width), np.sqrt(area / ratio * width / height)
    maps = np.tile(np.eye(3), (count, 1, 1))
    maps[:, 0, 0], maps[:, 1, 1] = across, down
    maps[:, 0, 2], maps[:, 1, 2] = ((1 - side) * rng.uniform(-1, 1, count) for side in (across, down))
    return maps


def _maps(
    height: int,
    width: int,
    *,
    degrees: _Numbers,
    shear_x: _Numbers | float = 0.0,
    shear_y: _Numbers | float = 0.0,
    right: _Numbers | float = 0.0,
    down: _Numbers | float = 0.0,
) -> _Numbers:
    """Return maps `(batch, 3, 3)` from the result to the image, about its centre.

    At most one parameter of an image differs from 0: they are put in beside each other, not one after the other.

    Args:
        height: of the images, in pixels.
        width: of the images, in pixels.
        degrees: of rotations, against the clock.
        shear_x: pixels to the right for each pixel down.
        shear_y: pixels down for each pixel to the right.
        right: share of the width that the result is taken from further right.
        down: the same of the height.
    """
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    maps = np.tile(np.eye(3), (len(degrees), 1, 1))
    maps[:, 0, 0] = maps[:, 1, 1] = cosine
    # Places are in halves of the sides, but angles are those of pixels.
    maps[:, 0, 1] = (shear_x - sine) * height / width
    maps[:, 1, 0] = (shear_y + sine) * width / height
    maps[:, 0, 2], maps[:, 1, 2] = 2 * np.asarray(right), 2 * np.asarray(down)
    return maps


def _recoloured(pixels: Tensor, recipe: Recipe, rng: np.random.Generator) -> Tensor:
    """Change brightness, contrast, saturation and hue by random factors (Howard 2013, "Some improvements", 2)."""
    colours = pixels.shape[1] == 3
    for reach, operation in (
        (recipe.brightness, operations.brightened),
        (recipe.contrast, operations.contrasted),
        (recipe.saturation if colours else 0.0, operations.saturated),
    ):
        if reach:
            pixels = operation(pixels, _parameter(rng.uniform(1 - reach, 1 + reach, len(pixels)), pixels.device))
    if recipe.hue and colours:
        turn = rng.uniform(-recipe.hue, recipe.hue, len(pixels))
        pixels = operations.hue_turned(pixels, _parameter(turn, pixels.device))
    return pixels


def _by_operation(pixels: Tensor, which: NDArray[np.int64], amount: _Numbers) -> Tensor:
    """Change the values of each image by its own operation of a policy: all images of an operation at once."""
    order = np.argsort(which, kind="stable")
    counts = np.bincount(which, minlength=len(_POLICY)).tolist()
    images, amounts = sent(order, pixels.device).split(counts), _parameter(amount[order], pixels.device).split(counts)
    changed = pixels.clone()
    for place, operation in _VALUES.items():
        if counts[place]:
            changed.index_copy_(0, images[place], operation(pixels[images[place]], amounts[place]))
    return changed


def _parameter(numbers: _Numbers, device: torch.device) -> Tensor:
    return sent(numbers.astype(np.float32), device)
