"""Trained weights as safetensors files: written whole or not at all, read without running anything in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, fx, nn

from nas.errors import ConfigError, DataError, NasError, naming, why_unreadable
from nas.network.architecture import Architecture
from nas.pytorch import build
from nas.run_folder import read_inside, shown, write_bytes
from nas.training.data.splits import ImageData, read_as_said

Network = fx.GraphModule
"""A network as `nas.build` makes it."""
LEARNED_AS = ("task", "target_mean", "target_std")
"""Keys of what is kept beside weights of what the network has learned, as fields of `nas.exporting.preprocess`."""
_TRAINING_ONLY = "auxiliary."
"""What the names of auxiliary classifiers begin with, which inference has no use for."""
_LENGTH_BYTES = 8
"""Of a safetensors file: before its header, the length of that, little-endian."""


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """Return the state of a network by the names of `nas.build`, without auxiliary classifiers."""
    return {
        name: value.detach().cpu().contiguous()
        for name, value in module.state_dict().items()
        if not name.startswith(_TRAINING_ONLY)
    }


def weights_metadata(architecture: Architecture, data: ImageData) -> dict[str, str]:
    """Return what is kept beside weights: the network, and what inputs it was trained on.

    `architecture`, `mean` and `std` (a channel, in units of full white = 1, of series in their own), `classes`, `fold`
    (what it was trained without: its number, from 1, and how many there are), `image_shape`, how files are read
    (`background`, `depth`, `resize`; of series `kind`, `mask` and `missing`) and `task` are JSON; so are `target_mean`
    and `target_std` of numbers.
    """
    scale = data.scale
    targets = {} if scale is None else {"target_mean": scale.mean, "target_std": scale.std}
    return {
        "arch_id": architecture.arch_id,
        "architecture": architecture.to_json(),
        "data": data.name,
        "split_fingerprint": data.fingerprint,
        "image_shape": json.dumps(list(data.input_shape)),
        "mean": json.dumps(list(data.mean)),
        "std": json.dumps(list(data.std)),
        "classes": json.dumps(list(data.classes)),
        **({"fold": json.dumps(list(data.fold))} if data.fold is not None else {}),
        **{name: json.dumps(value) for name, value in read_as_said(data.reading).items()},
        "task": json.dumps(data.task.name),
        **{name: json.dumps(list(values)) for name, values in targets.items()},
    }


def save_weights(path: Path, module: nn.Module, metadata: Mapping[str, str]) -> None:
    """Write the weights of a network, whole or not at all.

    Args:
        path: of the file; one that is there is replaced, and its folder is made.
        module: as `nas.build` makes it.
        metadata: kept in the file's header, e.g. `weights_metadata`.
    """
    path.parent.mkdir(exist_ok=True)
    write_bytes(path, safetensors.torch.save(weights_of(module), dict(metadata)))


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read weights by the names of `nas.build`, on the CPU.

    Raises:
        DataError: the file cannot be read, is a link, or is no whole safetensors file: a pickle is never opened.
    """
    try:
        return safetensors.torch.load(_bytes(path))
    except SafetensorError as error:
        raise _no_weights(path, error) from None


def load_metadata(path: Path) -> dict[str, str]:
    """Read what is kept beside weights; raises `DataError` as `load_weights`."""
    data = _bytes(path)
    try:
        end = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "little")
        found = json.loads(data[_LENGTH_BYTES:end]).get("__metadata__", {})
        return {str(name): str(value) for name, value in found.items()}
    except (ValueError, AttributeError, RecursionError) as error:
        raise _no_weights(path, error) from None


def fit_weights(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put weights into a network.

    Args:
        module: as `nas.build` makes it; auxiliary classifiers keep what they have.
        weights: by the same names.

    Raises:
        DataError: names or shapes are not those of the network; names the first that differ.
    """
    own = weights_of(module)
    for name in sorted({*own} | {*weights}):
        if name not in weights:
            raise DataError(f"weights: the network has {name!r}, which the weights lack: they are of another network")
        if name not in own:
            raise DataError(f"weights: {name!r} is nothing that the network has: they are of another network")
        if weights[name].shape != own[name].shape:
            raise DataError(
                f"weights: {name!r} has shape {tuple(weights[name].shape)}, but the network's has "
                f"{tuple(own[name].shape)}: they are of another network"
            )
    module.load_state_dict(dict(weights), strict=False)


def trained_network(architecture: Architecture, path: Path) -> Network:
    """Return a network with the weights in a file, ready for inference, on the CPU.

    Raises:
        DataError: the file cannot be read, or is of another network.
    """
    network = build(architecture)
    weights = load_weights(path)
    with naming("weights", path):
        fit_weights(network, weights)
    return network.eval()


def why_lost(path: Path, architecture: Architecture) -> str:
    """Return why there are no weights of a network in the file that they were written to; empty where they are there.

    Args:
        path: of the file.
        architecture: the network, which the header of the file names if any.
    """
    if not path.is_file():
        return f"are gone from {shown(path.parent)}"
    try:
        load_weights(path)
        said = load_metadata(path).get("architecture")
        other = said is not None and Architecture.from_json(said).arch_id != architecture.arch_id
    except NasError:
        return f"are damaged: {shown(path)} is no whole safetensors file"
    return f"are gone: {shown(path)} has those of another network" if other else ""


def _bytes(path: Path) -> bytes:
    try:
        return read_inside(path)
    except OSError as error:
        raise DataError(f"weights {path} cannot be read: {why_unreadable(error)}") from None
    except ConfigError as error:
        raise DataError(f"weights: {error}") from None


def _no_weights(path: Path, error: Exception) -> DataError:
    return DataError(
        f"weights {path} are no whole safetensors file ({str(error)[:200]}); other forms, such as torch.save's, are "
        "not read, since they can hold code"
    )
