"""What training does to pictures, for the files that a network is exported to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray

from nas.errors import DataError, plain
from nas.exporting.preprocess import LARGEST, Pixels, Preprocess
from nas.exporting.reading import READ_AS, Reading
from nas.network.architecture import Architecture
from nas.training.data.config import DataConfig
from nas.training.data.pictures import RESIZE
from nas.training.data.registry import DATA_SETS
from nas.training.data.splits import ImageData, Images
from nas.training.tasks.registry import DEFAULT, task_named
from nas.training.tasks.task import Scale, Task
from nas.training.weights import LEARNED_AS, load_metadata

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
        task=data.task.name,
        target_mean=data.scale.mean if data.scale is not None else (),
        target_std=data.scale.std if data.scale is not None else (),
        **{name: getattr(data.reading, name) for name in READ_AS},
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
    names |= {name: name for name in (*READ_AS, *LEARNED_AS) if name in metadata}
    try:
        found = Preprocess.from_dict({name: json.loads(metadata[key]) for name, key in names.items()})
    except (ValueError, RecursionError) as error:  # ValueError: a DataError, too
        why = plain(str(error), 300)
        raise DataError(f"weights {weights}: what their header says of pictures cannot be read: {why}") from None
    return replace(found, network_size=_other_size(architecture, found.size))


def reading_said(metadata: Mapping[str, str], file: Path) -> Reading | None:
    """Return how pictures were read in the training of a network; None where nothing says it.

    Args:
        metadata: of a file of `nas.training.weights.save_weights`, or of an exported model.
        file: that has them, for messages.

    Raises:
        DataError: they say something that cannot be.
    """
    if not metadata.keys() & {"image_shape", "preprocess"}:
        return None
    try:
        values = {name: json.loads(metadata[name]) for name in READ_AS if name in metadata}
        values = json.loads(metadata["preprocess"]) if "preprocess" in metadata else values
        return Reading((3, 1, 1), **{name: values[name] for name in READ_AS if name in values})
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{file}: what it says of pictures cannot be read: {plain(str(error), 300)}") from None


def task_said(metadata: Mapping[str, str], file: Path) -> Task:
    """Return what a network was trained for; files from before there was more than classification do not say it.

    Args and raises: those of `target_scale`.
    """
    return task_named(_learned_as(metadata, file).get("task", DEFAULT.name))


def target_scale(metadata: Mapping[str, str], file: Path) -> Scale | None:
    """Return the scale of the targets that a network was trained with; None where it has none.

    Args:
        metadata: of a file of `nas.training.weights.save_weights`, or of an exported model.
        file: that has them, for messages.

    Raises:
        DataError: they say something that cannot be.
    """
    learned = _learned_as(metadata, file)
    mean, std = (learned.get(name) or [] for name in ("target_mean", "target_std"))
    if not mean and not std:
        return None
    numbers = isinstance(mean, list) and isinstance(std, list) and len(mean) == len(std)
    if not numbers or not all(type(n) in (int, float) and abs(n) <= LARGEST for n in (*mean, *std)) or min(std) <= 0:
        raise DataError(f"{file}: target_mean and target_std must be a number each, and the latter > 0")
    return Scale(tuple(map(float, mean)), tuple(map(float, std)))


def _learned_as(metadata: Mapping[str, str], file: Path) -> dict[str, Any]:
    """Return what metadata say of what a network has learned, by `LEARNED_AS`."""
    try:
        values = {name: json.loads(metadata[name]) for name in LEARNED_AS if name in metadata}
        if "preprocess" in metadata:
            whole = json.loads(metadata["preprocess"])
            values = {name: whole[name] for name in LEARNED_AS if name in whole}
        return values
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{file}: what it says of its task cannot be read: {plain(str(error), 300)}") from None


def read_as(config: DataConfig, reading: Reading | None) -> DataConfig:
    """Return settings of data whose files are read as in the training of a network.

    Args:
        config: of the data.
        reading: how they were read then; None where nothing says it.
    """
    if reading is None or not DATA_SETS[config.name].files:
        return config
    fit = next(fit for fit, resize in RESIZE.items() if resize == reading.resize)
    return replace(config, background=reading.background, depth=reading.depth, fit=fit)


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
    calibration, count = _pixels(data.train, spread), len(data.val.labels)
    return CheckImages(calibration, lambda: _batches(data.val), count, data.task, data.scale)


def check_same(preprocess: Preprocess, data: ImageData) -> None:
    """Raise `DataError` where a network was trained on other pictures or classes or for another task than data have."""
    for what, was, has in (
        ("pictures of", preprocess.shape, tuple(data.input_shape)),
        (f"the {data.task.outputs}", preprocess.classes, data.classes),
        ("the task", preprocess.task, data.task.name),
    ):
        if was != has:
            raise DataError(f"data {data.name} has {what} {has!r:.200}, but the network was trained with {was!r:.200}")


def _batches(images: Images) -> Iterator[tuple[Pixels, NDArray[Any]]]:
    for indices in torch.split(torch.arange(len(images.labels)), _BATCH):
        yield _pixels(images, indices), images.labels[indices].numpy()


def _pixels(images: Images, indices: torch.Tensor) -> Pixels:
    pixels: Pixels = images.read(indices).permute(0, 2, 3, 1).contiguous().numpy()
    return pixels


def as_trained(data: ImageData, metadata: Mapping[str, str], weights: Path) -> ImageData:
    """Return the data with the mean and deviation that the network was trained with, where its file says them."""
    if "mean" not in metadata or "std" not in metadata:
        return data
    mean, std = (listed(metadata, name, weights) for name in ("mean", "std"))
    numbers = all(type(value) in (float, int) and abs(value) <= LARGEST for value in (*mean, *std))
    if not numbers or not len(mean) == len(std) == data.input_shape[0] or min(std) <= 0:
        raise DataError(f"{weights}: mean and std are no numbers > 0 for each of {data.input_shape[0]} channels")
    return replace(data, mean=tuple(map(float, mean)), std=tuple(map(float, std)))


def listed(metadata: Mapping[str, str], name: str, weights: Path) -> list[Any]:
    """Return a list that is kept beside weights, which may come from a stranger."""
    try:
        found = json.loads(metadata[name])
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list):
        raise DataError(f"evaluate: {weights}: {name} in its header is no list, but {metadata[name]!r:.80}")
    return found
