"""Arrays as images with classes: how they lie, and what their values mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nas.errors import DataError
from nas.run_folder import user_path
from nas.training.data.array_files import Stored, find_pairs, mapping_of
from nas.training.data.array_labels import classes_of
from nas.training.data.config import DataConfig
from nas.training.data.split_by_content import split_images
from nas.training.data.splits import Splits

_CHANNELS = (1, 3)
_SOME = 1024
"""Images that are looked at together."""


@dataclass(frozen=True, eq=False)
class ArrayImages:
    """Images in an array, which become pixels when they are asked for."""

    labels: Tensor
    array: Callable[[], NDArray[Any]]
    """Returns the array."""
    layout: str
    """NHWC, NCHW or NHW."""
    factor: int
    """What makes 0..255 of a value."""

    def read(self, indices: Tensor) -> Tensor:
        """Return those images as uint8 of shape `(len(indices), channels, height, width)`."""
        values = self.array()[indices.numpy()]
        if values.dtype != np.uint8:
            values = np.rint(values.astype(np.float64) * self.factor).astype(np.uint8)
        if self.layout == "NHW":
            values = values[:, None]
        elif self.layout == "NHWC":
            values = values.transpose(0, 3, 1, 2)
        return torch.from_numpy(np.ascontiguousarray(values))


def load_arrays(config: DataConfig) -> Splits:
    """Images of an `.npz`, or of `.npy` files in a folder; the latter need not fit into memory.

    Raises:
        DataError: files missing or malformed, or arrays that are no images with classes; says what to do.
    """
    if not config.root:
        raise DataError("data arrays: give data.root=FILE.npz, or data.root=FOLDER with .npy files")
    pairs, mapped = find_pairs(user_path(config.root), config.memory_mib)
    for pair in pairs.values():
        if not pair.labels.shape or not pair.images.shape or pair.labels.shape[0] != pair.images.shape[0]:
            raise DataError(
                f"data arrays: {pair.images.name} has the shape {pair.images.shape}, {pair.labels.name} "
                f"{pair.labels.shape}: the first number of both is that of the images"
            )
    layout = _layout([pair.images for pair in pairs.values()])
    classes, places = classes_of({split: (pair.labels.name, pair.labels.read()) for split, pair in pairs.items()})
    labels = {split: torch.from_numpy(place) for split, place in places.items()}
    arrays = {split: pair.images.read if mapped else _held(pair.images.read()) for split, pair in pairs.items()}
    values, factor = _values({pairs[split].images.name: array() for split, array in arrays.items()})
    given = {split: ArrayImages(labels[split], array, layout, factor) for split, array in arrays.items()}
    pixels = sum(np.prod(pair.images.shape, dtype=float) for pair in pairs.values())
    note = f"{mapping_of(pairs)}; images are {layout}, {values}"
    return split_images(config, classes, given, keep=pixels <= config.memory_mib * 2**20, notes=[note])


def _held(array: NDArray[Any]) -> Callable[[], NDArray[Any]]:
    return lambda: array


def _layout(images: list[Stored]) -> str:
    """Return how images lie, which must be the same in all arrays; raises `DataError` where it is not clear."""
    first = images[0]
    for other in images[1:]:
        if (other.shape[1:], other.dtype) != (first.shape[1:], first.dtype):
            raise DataError(
                f"data arrays: all images must be of one size and type, but {first.name} has {first.shape[1:]} "
                f"{first.dtype}, {other.name} {other.shape[1:]} {other.dtype}"
            )
    if len(first.shape) == 3:
        return "NHW"
    has = f"data arrays: {first.name} has the shape {first.shape}"
    if len(first.shape) != 4:
        raise DataError(f"{has}: images must be (n, height, width), (n, height, width, channels) or (n, channels, ...)")
    last, second = first.shape[3] in _CHANNELS, first.shape[1] in _CHANNELS
    if last and second:
        raise DataError(
            f"{has}, of which either the second or the last number may be that of the channels: save uint8 images of "
            "more than 3 pixels a side, or grey ones as (n, height, width)"
        )
    if not last and not second:
        raise DataError(f"{has}: the last or the second number must be that of the channels, 1 or 3")
    return "NHWC" if last else "NCHW"


def _values(arrays: Mapping[str, NDArray[Any]]) -> tuple[str, int]:
    """Return in words what values images have, and what makes 0..255 of them; raises `DataError` for others."""
    dtype = next(iter(arrays.values())).dtype
    if dtype == np.uint8:
        return "uint8", 1
    must = "images must be uint8, or numbers in 0..1 or 0..255"
    if dtype.kind not in "uif":
        raise DataError(f"data arrays: {next(iter(arrays))} is of type {dtype}: {must}")
    low, high = 0.0, 0.0
    for name, array in arrays.items():
        for start in range(0, len(array), _SOME):
            part = array[start : start + _SOME]
            if not part.size:
                continue
            if not np.isfinite(part).all():
                raise DataError(f"data arrays: {name} has values that are no numbers (NaN or infinite): {must}")
            low, high = min(low, float(part.min())), max(high, float(part.max()))
            if low < 0 or high > 255:
                raise DataError(f"data arrays: {name} has values from {low:g} to {high:g}: {must}")
    in_0_1 = dtype.kind == "f" and high <= 1
    return f"{dtype} in {'0..1' if in_0_1 else '0..255'}", 255 if in_0_1 else 1
