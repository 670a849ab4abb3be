"""The folder that a trained network ships in: written whole or not at all, and what is needed to write it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from nas.cost import cost_of
from nas.errors import ConfigError, DataError, NasError, nearest, why_unreadable
from nas.exporting.card import CARD, Card, Measured, card_text
from nas.exporting.choice import CheckImages, measured_models
from nas.exporting.int8 import outputs
from nas.exporting.onnx.graph import to_onnx
from nas.exporting.onnx.series import as_shipped
from nas.exporting.onnx.writer import Weights
from nas.exporting.place import check_free, write_folder
from nas.exporting.preprocess import PREPROCESS
from nas.exporting.script import script
from nas.exporting.series_preprocess import AnyPreprocess, preprocess_from
from nas.exporting.settings import ExportSettings
from nas.network.architecture import Architecture
from nas.network.graph import Graph
from nas.network.lower import lower
from nas.run_folder import read_inside, read_json

T = TypeVar("T")

ARCHITECTURE, WEIGHTS = "architecture.json", "weights.safetensors"
"""Files of a trained network: what `exportable` reads, with `PREPROCESS` and `CARD`."""


class Source(Protocol):
    """A network as PyTorch code."""

    @property
    def text(self) -> str:
        """The module."""

    @property
    def names(self) -> Mapping[str, str]:
        """Names in its state dict, by those of ours."""


@dataclass(frozen=True, slots=True)
class Exportable:
    """A trained network with what is known of it."""

    architecture: Architecture
    """The network."""
    weights: Weights
    """Its state dict, without auxiliary classifiers."""
    preprocess: AnyPreprocess | None
    """What was done to pictures or series; None where the folder does not say."""
    card: Card
    """What is known of it; little where the folder has no card."""


def exportable(path: Path) -> Exportable:
    """Read a trained network from a folder with `architecture.json`, `weights.safetensors` and, where they are there,
    `preprocess.json` and `card.json`.

    Raises:
        ConfigError: a file is missing, a link, or cannot be read. DataError: it holds something else.
    """
    text = _read(path / ARCHITECTURE, "architecture")
    try:
        architecture = Architecture.from_json(text.decode())
    except UnicodeDecodeError as error:
        raise ConfigError(f"architecture {path / ARCHITECTURE} cannot be read: {error}") from None
    except NasError as error:
        raise DataError(f"{path / ARCHITECTURE}: {error}") from None
    preprocess = card = None
    if os.path.lexists(path / PREPROCESS):
        preprocess = read_known(path / PREPROCESS, "preprocess", preprocess_from)
    if os.path.lexists(path / CARD):
        card = read_known(path / CARD, "card", Card.from_dict)
    weights = read_weights(path / WEIGHTS)
    return Exportable(architecture, weights, preprocess, card or Card(name=path.absolute().name))


def read_known(path: Path, what: str, parse: Callable[[Any], T]) -> T:
    """Read a JSON file as `read_json`; what is wrong in it is said with the name of the file."""
    try:
        return read_json(path, what, parse)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def read_weights(path: Path) -> Weights:
    """Read a safetensors file, which is no link, as arrays by their names.

    Raises:
        ConfigError: it cannot be read. DataError: it is no safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    data = _read(path, "weights")
    try:
        return load(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:  # KeyError: a type that numpy has not
        raise DataError(f"weights {path} is no safetensors file that can be read: {error}") from None


def _read(path: Path, what: str) -> bytes:
    try:
        return read_inside(path)
    except OSError as error:
        raise ConfigError(f"{what} {path} cannot be read: {why_unreadable(error)}") from None


@dataclass(frozen=True, slots=True)
class Written:
    """A folder that ships, as it was written."""

    paths: tuple[Path, ...]
    """Of its files."""
    measured: Measured
    """What was measured of the models in it."""


def export_model(
    out: Path,
    architecture: Architecture,
    weights: Weights,
    preprocess: AnyPreprocess,
    card: Card,
    *,
    source: Source | None = None,
    images: CheckImages | None = None,
    settings: ExportSettings | None = None,
    note: str = "",
    replace_earlier: bool = False,
) -> Written:
    """Write a folder that a trained network ships in: all of it, or nothing.

    It has `model.onnx` for pictures of any size, `model.safetensors`, `model.py` where there is a source,
    `model.int8.onnx` where it is worth it, `preprocess.json`, `predict.py` and `card.md`.

    Args:
        out: the folder, which is not there yet, or is empty, or may be replaced.
        architecture: the network, a classifier of images.
        weights: its state dict; auxiliary classifiers are left out.
        preprocess: what was done to pictures in training.
        card: what is known of the network.
        source: the network as PyTorch code.
        images: to calibrate 8 bits and to measure the files with; None: there is no `model.int8.onnx`.
        settings: when that is kept.
        note: what else the card says of the files, a sentence.
        replace_earlier: whether a folder that an earlier export wrote, and in which nothing else is, is replaced, when
            the new one is whole.

    Raises:
        ConfigError: the folder is there already or cannot be written, or what is asked for is not installed.
        DataError: weights or preprocessing do not fit the network. NasError: it cannot be written as ONNX.
        DeviceError: onnxruntime cannot run it.
    """
    settings = settings or ExportSettings()
    check_installed(settings)
    check_free(out, replace_earlier=replace_earlier)
    about = about_network(architecture, card.data)
    network, model = onnx_models(architecture, weights, preprocess, about)
    graph = lower(architecture)
    files: dict[str, bytes] = {"model.onnx": model}
    measured, int8 = measured_models(network, model, preprocess, images, settings, about=about)
    measured = replace(measured, notes=(*measured.notes, note)) if note else measured
    files |= {"model.int8.onnx": int8} if int8 is not None else {}
    files |= _for_phones(graph, weights) if settings.executorch else {}
    files |= _others(graph, weights, preprocess, source)
    text = card_text(
        card,
        arch_id=architecture.arch_id,
        cost=cost_of(architecture),
        preprocess=preprocess,
        measured=measured,
        files=[*files],
    )
    files["card.md"] = text.encode()
    return Written(write_folder(out, files, replace_earlier=replace_earlier), measured)


def onnx_models(
    architecture: Architecture, weights: Weights, preprocess: AnyPreprocess, about: Mapping[str, str]
) -> tuple[bytes, bytes]:
    """Return a trained network as ONNX: the network alone, and for pictures of any size, which is `model.onnx`.

    Args:
        architecture: the network, a classifier of images.
        weights: its state dict; auxiliary classifiers are left out.
        preprocess: what was done to pictures in training.
        about: what `about_network` gives.

    Raises:
        DataError: weights or preprocessing do not fit the network. NasError: it cannot be written as ONNX.
        DeviceError: onnxruntime cannot run it.
    """
    graph = lower(architecture)
    check_fits(graph, architecture, weights, preprocess)
    network = to_onnx(graph, weights)
    model = as_shipped(network, preprocess, about)
    _check_runs(model, preprocess)
    return network, model


def about_network(architecture: Architecture, data: Mapping[str, Any]) -> dict[str, str]:
    """Return what the metadata of an exported model say beside its classes: which network, and what it learned from.

    Args:
        architecture: the network.
        data: what `ImageData.record` says of its data, or nothing.
    """
    names = ("name", "split_fingerprint", "images_by_class", "fold")
    trained_on = {name: data[name] for name in names if name in data}
    return {"arch_id": architecture.arch_id, **({"trained_on": json.dumps(trained_on)} if trained_on else {})}


def check_installed(settings: ExportSettings) -> None:
    """Raise `ConfigError` where something is asked for that needs a package which is not there; says how to get it."""
    if settings.executorch:
        from nas.pytorch.executorch import check_executorch

        check_executorch()


def _for_phones(graph: Graph, weights: Weights) -> dict[str, bytes]:
    from nas.pytorch.executorch import to_pte

    return {"model.pte": to_pte(graph, weights)}


def check_fits(graph: Graph, architecture: Architecture, weights: Weights, preprocess: AnyPreprocess) -> None:
    """Raise `DataError` where weights or preprocessing are not those of a network."""
    wanted = (preprocess.shape[0], *preprocess.size)
    if architecture.input_shape != wanted:
        raise DataError(
            f"the network takes {architecture.input_shape}, but its {preprocess.kind} are brought to {wanted}"
        )
    if graph.out_shapes != (preprocess.network_gives,):
        each = "a number" if len(preprocess.network_gives) == 1 else "a map"
        raise DataError(
            f"an exported network gives {each} for each of its {len(preprocess.classes)} classes, but this one gives "
            f"{graph.out_shapes}"
        )
    _check_weights(graph, weights)
    for name, value in weights.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise DataError(f"weights: {name} has numbers that are not finite, so the network has no use")


def _check_weights(graph: Graph, weights: Weights) -> None:
    from nas.pytorch.build import state_shapes

    wanted = {name: shape for name, shape in state_shapes(graph).items() if not name.startswith("auxiliary.")}
    for name in (*wanted, *weights):
        if name not in weights:
            raise DataError(f"weights: the network has {name!r}, but they do not. {nearest(name, weights)}")
        if name not in wanted and not name.startswith("auxiliary."):
            raise DataError(f"weights: they have {name!r}, but the network does not. {nearest(name, wanted)}")
        if name in wanted and weights[name].shape != wanted[name]:
            raise DataError(f"weights: {name} must have the shape {wanted[name]}, but has {weights[name].shape}")


def _check_runs(model: bytes, preprocess: AnyPreprocess) -> None:
    """Run a model once, where it can be on inputs of another size, so that no file ships that does not run."""
    (found,) = outputs(model, [preprocess.extremes()])
    assert found.shape == (2, *preprocess.gives)
    if not np.isfinite(found).all():
        raise DataError(
            f"the network gives something else than numbers for {preprocess.extreme_words}, so it has no use; "
            f"preprocess.mean is {preprocess.mean!r:.80}, and std {preprocess.std!r:.80}"
        )


def _others(graph: Graph, weights: Weights, preprocess: AnyPreprocess, source: Source | None) -> dict[str, bytes]:
    """Return the files beside the models by name."""
    from safetensors.numpy import save

    inference = {name: value for name, value in weights.items() if not name.startswith("auxiliary.")}
    names: Callable[[str], str] = (lambda name: name) if source is None else (lambda name: source.names.get(name, name))
    renamed = {names(name): np.asarray(value, order="C") for name, value in inference.items()}
    return {
        **({} if source is None else {"model.py": source.text.encode()}),
        "model.safetensors": save(renamed, {"format": "pt"}),
        PREPROCESS: _json(preprocess.to_dict()),
        "predict.py": script(preprocess.kind).encode(),
    }


def _json(values: Mapping[str, Any]) -> bytes:
    return (json.dumps(values, indent=1) + "\n").encode()
