"""`nas.export`: a trained network as a folder that ships, from the folder of its training or search on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

from nas.errors import ConfigError, NasError, check_kind, naming
from nas.exporting.card import Measured
from nas.exporting.choice import INT8, CheckImages
from nas.exporting.folder import ARCHITECTURE, WEIGHTS, Exportable, check_installed, export_model
from nas.exporting.found import architecture_in, found_in, found_with
from nas.exporting.markdown import markdown
from nas.exporting.place import check_free
from nas.exporting.settings import ExportSettings
from nas.exporting.source import architecture_source
from nas.network.architecture import Architecture
from nas.run_folder import best_weights_file, shown, user_path
from nas.settings import settings_from
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.data.recorded import recorded_data
from nas.training.data.registry import MOVED
from nas.training.preprocess import check_images, check_same, preprocess_of, read_as
from nas.training.recipe_files import read_data_config
from nas.training.train import TrainedModel
from nas.training.trained_on import FOLD, TrainedOn, as_split, relation, trained_on
from nas.training.weights import load_metadata


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote."""

    paths: tuple[Path, ...]
    """Of its files."""
    unmeasured: str
    """Why nothing was measured with images, and `model.int8.onnx` not made; empty where it was."""
    measured: Measured
    """What was measured of the models."""
    shape: tuple[int, ...]
    """Of an input of the network: `(channels, height, width)`, of series `(channels, length)`."""


def export(
    model: str | PathLike[str] | Architecture | TrainedModel,
    out: str | PathLike[str],
    *,
    weights: str | PathLike[str] | None = None,
    data: DataConfig | str | None = None,
    settings: ExportSettings | None = None,
) -> tuple[Path, ...]:
    """Write a trained network as a folder that ships.

    It has `model.onnx`, which takes pictures of any size, `model.int8.onnx` where that is measured to be worth it,
    `model.safetensors`, `model.py`, `preprocess.json`, `predict.py`, and `card.md`, which says what the model is good
    for. The test split is not read.

    Args:
        model: what `nas.train` returned, the folder of a training, that of a search, which means its best network, or
            an architecture.
        out: the folder to write, which is not there yet, or is empty.
        weights: of the network, a safetensors file by the names of `nas.build`; None takes those in the folder.
        data: the data set that it was trained on, settings or a name in `conf/data`, to calibrate 8 bits and to
            measure. None takes that of the training or the search; where it cannot be read, nothing is measured, and
            the card says so.
        settings: what is written beside `model.onnx`, and when.

    Returns:
        The paths of the files.

    Raises:
        ConfigError: an argument is not what it must be, there is no such network, its folder or weights cannot be read,
            nothing says how pictures were prepared, `out` is there already or cannot be written, or what is asked for
            is not installed.
        DataError: weights, preprocessing or data do not fit the network.
        NasError: the network cannot be written as ONNX or as code. DeviceError: onnxruntime cannot run it.
    """
    return export_whole(model, out, weights=weights, data=data, settings=settings).paths


def export_whole(
    model: str | PathLike[str] | Architecture | TrainedModel,
    out: str | PathLike[str],
    *,
    weights: str | PathLike[str] | None = None,
    data: DataConfig | str | None = None,
    settings: ExportSettings | None = None,
    replace_earlier: bool = False,
) -> Exported:
    """Do as `export`, and say what was not measured.

    Args:
        model: as of `export`, and so the others.
        replace_earlier: whether a folder that an earlier export wrote is replaced.

    Raises:
        NasError: as `export`.
    """
    what = "the path of a folder, an Architecture, or what nas.train returned"
    check_kind("export: model", model, (str, PathLike, Architecture, TrainedModel), what, ConfigError)
    check_kind("export: out", out, (str, PathLike), "the path of a folder", ConfigError)
    check_kind("export: weights", weights, (str, PathLike, type(None)), "the path of a file, or None", ConfigError)
    check_kind("export: data", data, (DataConfig, str, type(None)), "a DataConfig, a name, or None", ConfigError)
    check_kind("export: settings", settings, (ExportSettings, type(None)), "ExportSettings, or None", ConfigError)
    settings, place = settings or ExportSettings(), user_path(out)
    check_installed(settings)
    check_free(place, replace_earlier=replace_earlier)
    folder = _folder(model)
    found = _found(model, folder, None if weights is None else user_path(weights))
    config = read_data_config(data) if isinstance(data, str) else data
    file = _weights(folder, found.architecture) if weights is None else user_path(weights)
    header = load_metadata(file)
    was = trained_on(header, [folder] if folder is not None else [])
    if was is not None and was.fold is not None and found.card.data:
        found = replace(found, card=replace(found.card, data={**found.card.data, FOLD: list(was.fold)}))
    found, images, unmeasured, other = _with_images(found, config, folder, settings.calibration_images, was)
    assert found.preprocess is not None
    why = f"How well it does was not measured, and there is no `{INT8}`: {markdown(unmeasured)}." if unmeasured else ""
    with naming("weights", file):
        written = export_model(
            place,
            found.architecture,
            found.weights,
            found.preprocess,
            found.card,
            source=architecture_source(found.architecture),
            images=images,
            settings=settings,
            note=why or other,
            replace_earlier=replace_earlier,
        )
    return Exported(written.paths, unmeasured, written.measured, found.architecture.input_shape)


def _folder(model: str | PathLike[str] | Architecture | TrainedModel) -> Path | None:
    """Return the folder of a network; None for an architecture.

    Raises:
        ConfigError: there is no such folder.
    """
    if isinstance(model, Architecture):
        return None
    folder = model.folder if isinstance(model, TrainedModel) else user_path(model)
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder}: give that of a training or of a search")
    return folder


def _weights(folder: Path | None, architecture: Architecture) -> Path:
    """Return the file of the weights that `_found` reads in a folder."""
    assert folder is not None
    return folder / WEIGHTS if (folder / ARCHITECTURE).exists() else best_weights_file(folder, architecture.arch_id)


def _found(model: object, folder: Path | None, weights: Path | None) -> Exportable:
    """Return the network with its weights, and what is known of it."""
    if weights is None:
        if folder is None:
            raise ConfigError(
                "there are no weights of the network: train it with nas train, and export that folder, or give "
                "weights=FILE (.safetensors)"
            )
        return found_in(folder)
    if folder is not None:
        return found_with(architecture_in(folder), weights, folder.absolute().name)
    assert isinstance(model, Architecture)
    return found_with(model, weights, weights.name)


def _with_images(
    found: Exportable, given: DataConfig | None, folder: Path | None, calibration_images: int, was: TrainedOn | None
) -> tuple[Exportable, CheckImages | None, str, str]:
    """Return the network with what was done to its pictures, and images to measure it with.

    Then why there are none, and what is to be said where they are not those of the training.
    """
    config, unmeasured = given, "give data=... for both"
    try:
        recorded = recorded_data(folder) if folder is not None and given is None else None
        config = given if recorded is None else settings_from(DataConfig, recorded, "data")
        if config is not None and found.preprocess is not None:
            config = read_as(config, found.preprocess.reading)
        data = None if config is None else load_data(config)
        if config is not None and data is not None:
            preprocess = found.preprocess or preprocess_of(data, found.architecture)
            check_same(preprocess, data)
            card = replace(found.card, data=found.card.data or data.record())
            other = "" if was is None else relation(was, data, config, [] if folder is None else [folder])
            data = as_split(data, was)
            other = other and f"Of the images that this was measured with: {markdown(other)}."
            return replace(found, preprocess=preprocess, card=card), check_images(data, calibration_images), "", other
    except NasError as error:
        if given is not None or found.preprocess is None:
            raise
        unmeasured = str(error) if MOVED in str(error) else f"{error}; data.root=FOLDER says where the data are now"
    if found.preprocess is None:
        place = "an architecture" if folder is None else shown(folder)
        raise ConfigError(
            f"nothing says how pictures were prepared and what the classes are called: give data=... as in training "
            f"({place} has no preprocess.json, and the weights do not say it)"
        )
    return found, None, unmeasured, ""
