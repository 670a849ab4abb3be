"""The contract of a data set of the user's own, and its images.

`data.module` names a class, or a function that makes an object, without arguments or of `root` (`data.root`). It has

- `classes`: two or more names,
- `train()`, and `val()` and `test()` where there are such splits: each returns something with `len()` whose item `i` is
  an image with its label. An image is uint8 of shape (height, width), (height, width, channels) or (channels, height,
  width), with 1 or 3 channels, also of torch or pillow, and each time the same; a label is a place in `classes`, or one
  of them.

`test()` is asked for the contents of its images, by which no image is in two splits, and they are dropped at once; only
`nas.training.data.test_split` keeps them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nas.errors import DataError, is_text, nearest
from nas.own_code import load_own, referred, telling_place
from nas.training.data.config import DataConfig
from nas.training.data.content import SPLITS, TRAIN
from nas.training.data.split_by_content import split_images
from nas.training.data.splits import Images, MemoryImages, Splits

_CHANNELS = (1, 3)
_FORMS = "(height, width), (height, width, channels) or (channels, height, width), with 1 or 3 channels"


@dataclass(frozen=True, eq=False)
class OwnImages:
    """A split of the user's, whose images are asked for when they are needed."""

    items: Any
    """Has `len()`, and an image with its label at each place."""
    classes: tuple[str, ...]
    name: str
    """Of the split, for messages."""
    shape: tuple[int, ...]
    """That an image has as the user gives it."""
    labels: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))

    def item(self, place: int) -> tuple[NDArray[Any], int]:
        """Return an image as uint8 `(channels, height, width)`, and its class.

        Raises:
            DataError: there is none, or it is not what it must be.
        """
        what = f"{self.name}[{place}]"
        with telling_place(DataError, what):
            try:
                found = self.items[place]
            except IndexError as error:
                raise DataError(f"{what} is not there, though len() is {len(self.items):,}: {error}") from error
            if not isinstance(found, list | tuple) or len(found) != 2:
                raise DataError(f"{what} must be an image with its label, but is {type(found).__name__}: {found!r:.60}")
            pixels = _pixels(found[0], what)
        if self.shape and pixels.shape != self.shape:
            raise DataError(
                f"the image of {what} has the shape {pixels.shape}, but the first one has {self.shape}: all must be of "
                "one size"
            )
        return _channels_first(pixels, what), _label(found[1], self.classes, what)

    def of_one_shape(self) -> OwnImages:
        """Return it with the shape of its first image for all; raises as `item`."""
        self.item(0)
        return replace(self, shape=_pixels(self.items[0][0], self.name).shape)

    def read(self, indices: Tensor) -> Tensor:
        """Return those images as uint8 of shape `(len(indices), channels, height, width)`."""
        pixels = [torch.from_numpy(np.array(self.item(place)[0])) for place in indices.tolist()]
        if not pixels:
            return torch.empty(
                (0, *_channels_first(np.empty(self.shape, np.uint8), self.name).shape), dtype=torch.uint8
            )
        return torch.stack(pixels)


def load_own_images(config: DataConfig) -> Splits:
    """Return the images of `data.module`; what has no split of its own is split by content.

    Raises:
        DataError: something does not follow the contract; says what, where, the rule and the value.
        ConfigError: the file fails, or is not what was named.
    """
    made = _made(config)
    name = referred(config.module, "data.module").short
    classes = _classes(made, name)
    given: dict[str, Images] = {}
    shape: tuple[int, ...] = ()
    kept = True
    for split in SPLITS:
        items = _items(made, name, split)
        if items is None:
            continue
        images = OwnImages(items, classes, f"{name}: {split}()", shape)
        images = images if shape else images.of_one_shape()
        shape = images.shape
        given[split], kept = _taken(images, config.memory_mib * 2**20, kept)
    return split_images(config, classes, given, keep=kept)


def _made(config: DataConfig) -> Any:
    """Return the object of the user's."""
    reference = referred(config.module, "data.module")
    make = load_own(str(reference), "data.module")
    if not callable(make):
        raise DataError(f"data.module: {reference.short} must be a class or a function, but is {make!r:.60}")
    arguments: dict[str, Any] = {}
    if "root" in inspect.signature(make).parameters:
        arguments = {"root": config.root}
    elif config.root is not None:
        raise DataError(f"data.root is given, but {reference.short} has no argument root")
    try:
        inspect.signature(make).bind(**arguments)
    except TypeError as error:
        raise DataError(
            f"data.module: {reference.short}{inspect.signature(make)} does not fit: {error}. It is given root where "
            "it takes that, and nothing else"
        ) from None
    with telling_place(DataError, reference.short):
        return make(**arguments)


def _classes(made: Any, name: str) -> tuple[str, ...]:
    classes = getattr(made, "classes", None)
    if classes is None:
        raise DataError(f"{name} has no `classes`, the names of its classes. {nearest('classes', _public(made))}")
    must = f"{name}: `classes` must be a list or tuple of two or more different names"
    if isinstance(classes, str) or not isinstance(classes, Sequence):
        raise DataError(f"{must}, but is {type(classes).__name__}: {classes!r:.60}")
    for one in classes:
        if not isinstance(one, str) or not one.strip() or not is_text(one):
            raise DataError(f"{must}, but has {one!r:.60}")
    if len(classes) < 2 or len({*classes}) < len(classes):
        raise DataError(f"{must}, but is {list(classes)!r:.200}")
    return tuple(classes)


def _public(made: Any) -> list[str]:
    return [name for name in dir(made) if not name.startswith("_")]


def _items(made: Any, name: str, split: str) -> Any:
    """Return a split of the user's; None where there is none, which the training split must not be."""
    function: Callable[[], Any] | None = getattr(made, split, None)
    if function is None:
        if split == TRAIN:
            raise DataError(f"{name} has no `train()`, its images. {nearest(TRAIN, _public(made))}")
        return None
    if not callable(function):
        raise DataError(f"{name}: `{split}` must be a function that returns the images, but is {function!r:.60}")
    with telling_place(DataError, f"{name}: {split}()"):
        items = function()
        sized = hasattr(items, "__getitem__") and hasattr(items, "__len__")
        if not sized or isinstance(items, dict | str):
            raise DataError(
                f"{name}: {split}() must return something with len() and an image with its label at each place, such "
                f"as a list or a Dataset of torch, but got {type(items).__name__}"
            )
        if not len(items):
            raise DataError(f"{name}: {split}() has no images; leave it out, where there is no such split")
    return items


def _taken(images: OwnImages, most: int, kept: bool) -> tuple[Images, bool]:
    """Walk over a split once, and return it with its labels, and whether its pixels are in memory.

    Args:
        images: the split.
        most: bytes of pixels that are kept in memory.
        kept: whether those of the splits before are.

    Raises:
        DataError: an image or a label that is not what it must be, or another one when it is read again.
    """
    count = len(images.items)
    first, _ = images.item(0)
    kept = kept and count * first.nbytes <= most
    pixels = torch.empty((count if kept else 0, *first.shape), dtype=torch.uint8)
    labels = torch.empty(count, dtype=torch.int64)
    for place in range(count):
        one, label = images.item(place)
        labels[place] = label
        if kept:
            pixels[place] = torch.from_numpy(np.array(one))
    again, label = images.item(0)
    if label != int(labels[0]) or not np.array_equal(again, first):
        raise DataError(
            f"{images.name}[0] is another image or label when it is read again: a data set gives each time the same; "
            "augmentation is a matter of train.* and data.augment"
        )
    return (MemoryImages(pixels, labels) if kept else replace(images, labels=labels)), kept


def _pixels(image: Any, what: str) -> NDArray[Any]:
    """Return an image as an array of uint8; raises `DataError` for what is none."""
    array = image.detach().cpu().numpy() if isinstance(image, Tensor) else np.asarray(image)
    if array.dtype != np.uint8:
        way = ": of numbers in 0..1 (255 * x).round().astype('uint8') makes them" if array.dtype.kind == "f" else ""
        raise DataError(f"the image of {what} must be of uint8, but is of {array.dtype}{way}")
    if array.ndim not in (2, 3) or not array.size:
        raise DataError(f"the image of {what} must have the shape {_FORMS}, but has {array.shape}")
    return array


def _channels_first(pixels: NDArray[Any], what: str) -> NDArray[Any]:
    """Return an image as `(channels, height, width)`."""
    if pixels.ndim == 2:
        return pixels[None]
    first, last = pixels.shape[0] in _CHANNELS, pixels.shape[2] in _CHANNELS
    if first and last:
        raise DataError(
            f"the image of {what} has the shape {pixels.shape}, of which the first or the last number may be that of "
            "the channels; give images of more than 3 pixels a side, or grey ones as (height, width)"
        )
    if not first and not last:
        raise DataError(f"the image of {what} must have the shape {_FORMS}, but has {pixels.shape}")
    return pixels if first else pixels.transpose(2, 0, 1)


def _label(label: Any, classes: tuple[str, ...], what: str) -> int:
    """Return the place of a class; raises `DataError` for what is no class."""
    if isinstance(label, str):
        if label not in classes:
            raise DataError(f"the label of {what} is no class: {label!r:.60}. {nearest(label, classes)}")
        return classes.index(label)
    value = np.asarray(label.detach().cpu() if isinstance(label, Tensor) else label)
    if value.ndim or value.dtype.kind not in "iu":
        raise DataError(
            f"the label of {what} must be a whole number, a place in `classes`, or one of these names, but is "
            f"{type(label).__name__}: {label!r:.60}"
        )
    if not 0 <= int(value) < len(classes):
        raise DataError(f"the label of {what} must be from 0 to {len(classes) - 1}, a place in `classes`, got {value}")
    return int(value)
