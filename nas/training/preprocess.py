"""What training does to pictures, for the files that a network is exported to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray

from nas.errors import DataError, plain
from nas.exporting.preprocess import LARGEST, Preprocess
from nas.exporting.reading import READ_AS, Reading
from nas.exporting.series_files import SeriesReading
from nas.exporting.series_preprocess import SERIES, AnyPreprocess, SeriesPreprocess
from nas.network.architecture import Architecture
from nas.training.data.config import DataConfig
from nas.training.data.pictures import RESIZE
from nas.training.data.registry import DATA_SETS
from nas.training.data.splits import ImageData, model_input
from nas.training.tasks.registry import DEFAULT, task_named
from nas.training.tasks.task import Scale, Task
from nas.training.weights import LEARNED_AS, load_metadata

if TYPE_CHECKING:
    from nas.exporting.choice import CheckImages

_BATCH = 256


def preprocess_of(data: ImageData, architecture: Architecture) -> AnyPreprocess:
    """Return what is done to a picture or a series before a network that is trained on some data sees it.

    Raises:
        DataError: the data do not fit the network.
    """
    data.check_fits(architecture)
    if isinstance(data.reading, SeriesReading):
        return _of_series(
            data.reading, architecture, mean=data.mean, std=data.std, classes=data.classes, task=data.task
        )
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


def _of_series(
    reading: SeriesReading,
    architecture: Architecture,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    classes: tuple[str, ...],
    task: Task,
) -> SeriesPreprocess:
    """Return what is done to series; mean and deviation may have those of the mask behind them."""
    length = architecture.input_shape[1]
    return SeriesPreprocess(
        channels=reading.channels,
        length=reading.length,
        mean=tuple(mean[: reading.channels]),
        std=tuple(std[: reading.channels]),
        classes=classes,
        mask=reading.mask,
        missing=reading.missing,
        network_length=None if length == reading.length else length,
        task=task.name,
    )


def preprocess_beside(weights: Path, architecture: Architecture) -> AnyPreprocess | None:
    """Return what was done to pictures or series in the training of some weights, as the header of their file says.

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
        series = _series_said(metadata)
        if series is not None:
            said = {name: json.loads(metadata[key]) for name, key in names.items()}
            mean, std, classes = (said[name] for name in ("mean", "std", "classes"))
            task = task_named(said.get("task", DEFAULT.name))
            return _of_series(series, architecture, mean=mean, std=std, classes=tuple(classes), task=task)
        found = Preprocess.from_dict({name: json.loads(metadata[key]) for name, key in names.items()})
    except (ValueError, TypeError, KeyError, RecursionError) as error:  # ValueError: a DataError, too
        why = plain(str(error), 300)
        raise DataError(f"weights {weights}: what their header says of pictures cannot be read: {why}") from None
    return replace(found, network_size=_other_size(architecture, found.size))


def _series_said(metadata: Mapping[str, str]) -> SeriesReading | None:
    """Return how series were read in the training of a network; None where it was of pictures.

    Raises:
        ValueError, TypeError: they say something that cannot be.
    """
    if "preprocess" in metadata:
        whole = json.loads(metadata["preprocess"])
        return SeriesPreprocess.from_dict(whole).reading if whole.get("kind") == SERIES else None
    if "kind" not in metadata or json.loads(metadata["kind"]) != SERIES:
        return None
    (channels, length), mask = json.loads(metadata["image_shape"]), json.loads(metadata["mask"])
    return SeriesReading(channels - mask, length, mask, json.loads(metadata["missing"]))


def reading_said(metadata: Mapping[str, str], file: Path) -> Reading | SeriesReading | None:
    """Return how pictures or series were read in the training of a network; None where nothing says it.

    Args:
        metadata: of a file of `nas.training.weights.save_weights`, or of an exported model.
        file: that has them, for messages.

    Raises:
        DataError: they say something that cannot be.
    """
    if not metadata.keys() & {"image_shape", "preprocess"}:
        return None
    try:
        series = _series_said(metadata)
        if series is not None:
            return series
        values = {name: json.loads(metadata[name]) for name in READ_AS if name in metadata}
        values = json.loads(metadata["preprocess"]) if "preprocess" in metadata else values
        return Reading((3, 1, 1), **{name: values[name] for name in READ_AS if name in values})
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
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


def read_as(config: DataConfig, reading: Reading | SeriesReading | None) -> DataConfig:
    """Return settings of data whose files are read as in the training of a network.

    Args:
        config: of the data.
        reading: how they were read then; None where nothing says it.
    """
    if isinstance(reading, SeriesReading):
        own = DATA_SETS[config.name].series
        return replace(config, length=reading.length, mask="yes" if reading.mask else "no") if own else config
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
    calibration, count = model_input(data.train, spread, data.reading), len(data.val.labels)
    return CheckImages(calibration, lambda: _batches(data), count, data.task, data.scale)


def check_same(preprocess: AnyPreprocess, data: ImageData) -> None:
    """Raise `DataError` where a network was trained on other pictures or classes or for another task than data have."""
    for what, was, has in (
        (f"{preprocess.kind} of", preprocess.shape, tuple(data.input_shape)),
        (f"the {data.task.outputs}", preprocess.classes, data.classes),
        ("the task", preprocess.task, data.task.name),
    ):
        if was != has:
            raise DataError(f"data {data.name} has {what} {has!r:.200}, but the network was trained with {was!r:.200}")


def _batches(data: ImageData) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    images = data.val
    for indices in torch.split(torch.arange(len(images.labels)), _BATCH):
        yield model_input(images, indices, data.reading), images.labels[indices].numpy()


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
