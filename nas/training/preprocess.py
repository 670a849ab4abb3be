"""What training does to pictures, for the files that a network is exported to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray

from nas.errors import DataError, plain
from nas.exporting.preprocess import Pixels, Preprocess
from nas.network.architecture import Architecture
from nas.training.data.splits import ImageData, Images
from nas.training.weights import load_metadata

if TYPE_CHECKING:
    from nas.exporting.choice import CheckImages

_BATCH = 256


def preprocess_of(data: ImageData, architecture: Architecture) -> Preprocess:
    """Return what is done to a picture before a network that is trained on some data sees it.

    Raises:
        DataError: the data do not fit the network.
    """
    data.check_fits(architecture)
    channels, height, width = data.input_shape
    return Preprocess(
        shape=(channels, height, width),
        mean=data.mean,
        std=data.std,
        classes=data.classes,
        network_size=_other_size(architecture, (height, width)),
    )


def preprocess_beside(weights: Path, architecture: Architecture) -> Preprocess | None:
    """Return what was done to pictures in the training of some weights, as the header of their file says.

    Args:
        weights: a file of `nas.training.weights.save_weights`, or another safetensors file, which may say nothing.
        architecture: the network.

    Returns:
        None where the header does not say it.

    Raises:
        DataError: the file cannot be read, or says something that cannot be.
    """
    metadata = load_metadata(weights)
    names = {"shape": "image_shape", "mean": "mean", "std": "std", "classes": "classes"}
    if not metadata.keys() >= {*names.values()}:
        return None
    try:
        found = Preprocess.from_dict({name: json.loads(metadata[key]) for name, key in names.items()})
    except (ValueError, RecursionError) as error:  # ValueError: a DataError, too
        why = plain(str(error), 300)
        raise DataError(f"weights {weights}: what their header says of pictures cannot be read: {why}") from None
    return replace(found, network_size=_other_size(architecture, found.size))


def _other_size(architecture: Architecture, size: tuple[int, int]) -> tuple[int, int] | None:
    """Return the height and width that a network takes, where they are others than those of its pictures."""
    own = architecture.input_shape[1:]
    return None if own == size else (own[0], own[1])


def check_images(data: ImageData, calibration_images: int) -> CheckImages:
    """Return images to calibrate 8 bits with, spread over the training split, and the validation split to measure on.

    Args:
        data: the data set.
        calibration_images: how many of the training split, at most.
    """
    from nas.exporting.choice import CheckImages  # loads onnx, which training has no use for

    count = len(data.train.labels)
    spread = torch.linspace(0, count - 1, steps=min(count, calibration_images)).long()
    return CheckImages(_pixels(data.train, spread), lambda: _batches(data.val), len(data.val.labels))


def check_same(preprocess: Preprocess, data: ImageData) -> None:
    """Raise `DataError` where a network was trained on pictures of another size, or other classes, than some data."""
    for what, was, has in (
        ("pictures of", preprocess.shape, tuple(data.input_shape)),
        ("the classes", preprocess.classes, data.classes),
    ):
        if was != has:
            raise DataError(f"data {data.name} has {what} {has!r:.200}, but the network was trained with {was!r:.200}")


def _batches(images: Images) -> Iterator[tuple[Pixels, NDArray[Any]]]:
    for indices in torch.split(torch.arange(len(images.labels)), _BATCH):
        yield _pixels(images, indices), images.labels[indices].numpy()


def _pixels(images: Images, indices: torch.Tensor) -> Pixels:
    pixels: Pixels = images.read(indices).permute(0, 2, 3, 1).contiguous().numpy()
    return pixels
