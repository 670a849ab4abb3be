"""Reads the tensors in a file of weights that somebody else made, without running anything in it."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from nas.errors import ConfigError, DataError, plain, reason_of, why_unreadable
from nas.run_folder import read_inside

_LENGTH_BYTES = 8
"""Of a safetensors file: before its header, which is JSON, the length of that."""
_OF_DATA_PARALLEL = "module."
"""What all names begin with where `torch.nn.DataParallel` held the network."""


@dataclass(frozen=True)
class StateFile:
    """What a file of weights holds."""

    tensors: Mapping[str, Tensor]
    """On the CPU, by the names in the file."""
    metadata: Mapping[str, str]
    """Of a safetensors file; empty of others."""


def read_state_file(path: Path) -> StateFile:
    """Read a safetensors file, or a state dict that `torch.save` wrote.

    The latter is a pickle, of which torch's restricted reader (`weights_only=True`) makes tensors and containers alone.

    Args:
        path: of the file, which may be a link.

    Raises:
        DataError: it cannot be read, is cut off, or holds something else than numbers by name.
    """
    try:
        data = read_inside(path.resolve())
    except OSError as error:
        raise DataError(f"weights {path} cannot be read: {why_unreadable(error)}") from None
    except ConfigError as error:
        raise DataError(f"weights: {error}") from None
    if data[_LENGTH_BYTES : _LENGTH_BYTES + 1] == b"{":
        try:
            return StateFile(_checked(path, safetensors.torch.load(data)), _metadata(data))
        except SafetensorError as error:
            raise DataError(f"weights {path} are no whole safetensors file: {plain(str(error), 200)}") from None
    return StateFile(_checked(path, _of_torch(path, data)), {})


def _of_torch(path: Path, data: bytes) -> object:
    try:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise DataError(
            f"weights {path} are no plain state dict: the file is cut off, or holds objects beside tensors, which are "
            "not opened since they can run code; write one with torch.save(model.state_dict(), FILE), or safetensors"
        ) from None
    except Exception as error:  # there is no telling what a torn file makes of its reader
        raise DataError(
            f"weights {path} are no whole file of safetensors or torch.save: {plain(reason_of(error), 200)}"
        ) from None


def _metadata(data: bytes) -> dict[str, str]:
    end = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "little")
    return {
        str(name): str(value) for name, value in json.loads(data[_LENGTH_BYTES:end]).get("__metadata__", {}).items()
    }


def _checked(path: Path, found: object) -> dict[str, Tensor]:
    """Return tensors by name, without the prefix of `torch.nn.DataParallel`."""
    if not isinstance(found, Mapping) or not found:
        raise DataError(f"weights {path} hold {type(found).__name__}, but tensors by name are needed: a state dict")
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise DataError(
                f"weights {path} hold {type(value).__name__} at {name!r:.80}, where a state dict has a tensor; where "
                "the state dict is in there, write it to a file of its own"
            )
        if value.layout != torch.strided or value.is_quantized or value.is_complex() or value.device.type != "cpu":
            raise DataError(f"weights {path}: {name!r:.80} is no plain tensor of numbers ({value.dtype})")
    if all(name.startswith(_OF_DATA_PARALLEL) for name in found):
        return {name.removeprefix(_OF_DATA_PARALLEL): value for name, value in found.items()}
    return dict(found)
