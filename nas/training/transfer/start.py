"""Begins a training with the weights of another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import nn

from nas.errors import ConfigError, DataError
from nas.network.architecture import Architecture
from nas.network.ops import Shape
from nas.pytorch import build
from nas.run_folder import user_path
from nas.space import load_space
from nas.training.data.splits import ImageData
from nas.training.transfer.published import Begun, begin_with
from nas.training.transfer.settings import SCRATCH, Transfer
from nas.training.transfer.state_file import read_state_file

_PIXELS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
"""Means and deviations of pixels, in units of full white = 1, of red, green and blue."""
_LARGEST = 1e6


def start(
    transfer: Transfer, network: nn.Module, architecture: Architecture, data: ImageData
) -> tuple[ImageData, Begun | None]:
    """Put the weights that a training begins with into its network.

    Args:
        transfer: which weights; None in it leaves the network as it is.
        network: as `nas.build` makes it, on the CPU.
        architecture: its description.
        data: that it is to learn.

    Returns:
        The data with the mean and deviation that its images are to be normalised by; and what the network began with.

    Raises:
        DataError: the file cannot be read, or is of another network.
        NasError: `transfer.network` is no space of one network.
    """
    if transfer.weights is None:
        return data, None
    parent = None
    if transfer.network is not None:
        parent = network_of(transfer, architecture.input_shape, len(data.classes))
    begun = begin_with(user_path(transfer.weights), network, architecture, data.classes, parent)
    mean, std = _PIXELS.get(transfer.pixels, (begun.mean, begun.std))
    if transfer.pixels == "data" or mean is None or std is None:
        return data, begun
    channels = data.input_shape[0]
    if not min(std) > 0:
        raise DataError(f"weights {transfer.weights}: their deviation of pixels is {std!r:.80}, which must be > 0")
    return replace(data, mean=_of_channels(mean, channels), std=_of_channels(std, channels)), begun


def network_of(transfer: Transfer, input_shape: Shape, num_classes: int) -> Architecture | None:
    """Return the network that weights are of, for images of a shape and so many classes.

    Returns:
        None where there are no weights, or neither their file nor the settings say it.

    Raises:
        NasError: the file cannot be read, or what says it does not hold.
    """
    if transfer.weights is None:
        return None
    said = read_state_file(user_path(transfer.weights)).metadata.get("architecture")
    if said is not None:
        return replace(Architecture.from_json(said), input_shape=input_shape, num_classes=num_classes)
    if transfer.network is None:
        return None
    space = load_space(transfer.network).for_data(input_shape, num_classes, task="open")
    if space.size() > 1:
        raise ConfigError(f"transfer.network={transfer.network} leaves choices open, but weights are of one network")
    return space.decode({})


def check_file(transfer: Transfer, data: ImageData) -> None:
    """Make sure that a search of networks for some data can begin with a file of weights, whose candidates differ.

    Raises:
        DataError: the file cannot be read, or its weights have learned what networks are to be scored on.
        ConfigError: neither it nor the settings say of which network it is.
    """
    if transfer.weights is None:
        return
    metadata = read_state_file(user_path(transfer.weights)).metadata
    _check_unseen(transfer, metadata, data)
    if "architecture" not in metadata and transfer.network is None:
        raise ConfigError(
            f"evaluator.transfer.weights={transfer.weights} does not say of which network it is, as files of ours do: "
            "give evaluator.transfer.network, such as reference/resnet18"
        )


def check_start(transfer: Transfer, architecture: Architecture, data: ImageData) -> str:
    """Return what a network will begin with, in a sentence; empty for fresh weights. Raises as `start`."""
    if transfer == SCRATCH:
        return ""
    assert transfer.weights is not None
    _check_unseen(transfer, read_state_file(user_path(transfer.weights)).metadata, data)
    _, begun = start(transfer, build(architecture), architecture, data)
    assert begun is not None
    return begun.sentence


def _check_unseen(transfer: Transfer, metadata: Mapping[str, str], data: ImageData) -> None:
    """Raise `DataError` where weights were trained on images of folds that networks are to be scored on."""
    if data.folds and metadata.get("split_fingerprint") == data.fingerprint:
        raise DataError(
            f"transfer.weights={transfer.weights} were trained on these very data, so that they have learned images of "
            f"each of the {len(data.folds)} folds, on which networks would be scored; set data.folds to 0, or take "
            "weights of other data"
        )


def _of_channels(values: Sequence[float], channels: int) -> tuple[float, ...]:
    """Return a number a channel: for grey images the mean of those of colours, and for colours that of grey."""
    if len(values) not in {1, 3, channels} or not all(abs(value) < _LARGEST for value in values):
        raise DataError(f"weights: their mean or deviation of pixels is {values!r:.80}, for {channels} channels")
    if len(values) == channels:
        return tuple(values)
    return (sum(values) / len(values),) * channels
