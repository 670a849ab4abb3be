"""Writes a trained network as files for other programs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.console import run
from nas.errors import ConfigError, nearest, why_unreadable
from nas.exporting.settings import ExportSettings
from nas.network.architecture import Architecture
from nas.resources import space_names
from nas.run_folder import shown
from nas.settings import as_recorded, setting, settings_from
from nas.space import load_space
from nas.training.data.config import DataConfig

if TYPE_CHECKING:
    from nas.exporting.card import Card
    from nas.exporting.folder import Exportable
    from nas.search.trial import Trial
    from nas.training.data.splits import ImageData

_USAGE = "nas export RUN|FOLDER|ARCH out=DIR; --help says more"
_WINNER, _STUDY, _WEIGHTS = "best_architecture.json", "study.json", "weights"


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """All settings of an export."""

    model: str | None = setting(
        None,
        "given as the first word: a folder with architecture.json and weights.safetensors, the run folder of a search, "
        "an architecture (.json), or reference/NAME",
        typed="path",
    )
    out: str | None = setting(None, "folder to write, which is not there yet", typed="path")
    weights: str | None = setting(None, "of the network (.safetensors); null: those in the folder", typed="path")
    data: DataConfig = setting(
        DataConfig, "the data set that it was trained on: for class names, to calibrate 8 bits and to measure"
    )
    export: ExportSettings = setting(ExportSettings, "what is written beside model.onnx")

    def __post_init__(self) -> None:
        if self.model is None or self.out is None:
            raise ConfigError(f"which {'network' if self.model is None else 'folder to write'}? {_USAGE}")

    @property
    def path(self) -> Path:
        """The folder or file of the network."""
        return Path(str(self.model)).expanduser()


def export_command(values: Mapping[str, Any], typed: Iterable[str] | None = None) -> int:
    """Do what some settings say.

    Args:
        values: settings as plain values.
        typed: paths of those that the user gave, such as `data.root`; None: all of `values`.

    Returns:
        The exit code.
    """
    given = list(values if typed is None else typed)
    return run("nas.export", lambda: _export(settings_from(ExportConfig, values), given))


def _export(config: ExportConfig, typed: Collection[str]) -> None:
    from nas.exporting.folder import check_free, check_installed, export_model
    from nas.exporting.source import architecture_source
    from nas.training.preprocess import check_images, check_same, preprocess_of

    out = Path(str(config.out)).expanduser()
    check_installed(config.export)
    check_free(out)
    found = _exportable(config)
    data = _data(config, typed)
    if found.preprocess is None and data is None:
        raise ConfigError(
            f"nothing says how pictures were prepared and what the classes are called: give data=... as in training "
            f"({shown(config.path)} has no preprocess.json)"
        )
    images = None
    if data is not None:
        preprocess = found.preprocess or preprocess_of(data, found.architecture)
        check_same(preprocess, data)
        images = check_images(data, config.export.calibration_images)
        found = replace(found, preprocess=preprocess, card=replace(found.card, data=found.card.data or data.record()))
    assert found.preprocess is not None
    paths = export_model(
        out,
        found.architecture,
        found.weights,
        found.preprocess,
        found.card,
        source=architecture_source(found.architecture),
        images=images,
        settings=config.export,
    )
    _tell(out, paths, measured=images is not None)


def _tell(out: Path, paths: Sequence[Path], *, measured: bool) -> None:
    from nas.exporting.card import WHICH, section

    print(f"{shown(out)}: {', '.join(path.name for path in paths)}")
    print(section((out / "card.md").read_text(), WHICH))
    if not measured:
        print("Its accuracy was not measured, and there is no model.int8.onnx: give data=... for both")
    print(f"Try it: nas predict {shown(out)} PICTURE ...   (or python {shown(out)}/predict.py PICTURE ...)")


def _data(config: ExportConfig, typed: Collection[str]) -> ImageData | None:
    """Return the data that the user gave, or those of the search; None where neither says."""
    from nas.training.data.load import load_data

    if any(path == "data" or path.startswith("data.") for path in typed):
        return load_data(config.data)
    if (config.path / _STUDY).is_file():
        return load_data(_data_of_study(config.path))
    return None


def _data_of_study(folder: Path) -> DataConfig:
    from nas.search.log import read_study

    config = read_study(folder)["notes"].get("config", {})
    if not isinstance(config.get("data"), dict):
        raise ConfigError(f"{shown(folder)} does not say what its networks were trained on; give data=...")
    return settings_from(DataConfig, as_recorded(DataConfig, config["data"]), "data")


def _exportable(config: ExportConfig) -> Exportable:
    from nas.exporting.card import Card
    from nas.exporting.folder import ARCHITECTURE, Exportable, exportable, read_weights

    path = config.path
    if config.weights is None and (path / ARCHITECTURE).exists():
        return exportable(path)
    architecture = _architecture(path, config)
    if config.weights is not None:  # trained who knows how
        return Exportable(architecture, read_weights(Path(config.weights).expanduser()), None, Card(name=path.stem))
    weights = read_weights(_weights_of(path, architecture))
    return Exportable(architecture, weights, None, _card_of_search(path, architecture))


def _card_of_search(folder: Path, architecture: Architecture) -> Card:
    """Return what the record of a search says of its best network: its score is the best one out of several."""
    from nas.exporting.card import Card, Score
    from nas.search.log import read_study, read_trials

    study, trials = read_study(folder), read_trials(folder)
    config = study["notes"].get("config", {})
    trained = [trial for trial in trials if trial.trained]
    accuracies = [trial.scores["val_accuracy"] for trial in trained if _is_of(trial, architecture)]
    scores = [
        Score(accuracy=value, split="validation", how=f"selected out of {_counted(len(trained))}")
        for value in accuracies[:1]
    ]
    bounds = {name: bound for name, bound in config.get("constraints", {}).items() if bound is not None}
    limits = ", ".join(f"{name} {_number(bound)}" for name, bound in bounds.items())
    return Card(
        name=f"Image classifier of {folder.absolute().name}",
        scores=tuple(scores),
        training=config.get("train", {}),
        data=study["notes"].get("data", {}),
        origin=f"Found by a search of the space {config.get('space', '?')}{f', limits: {limits}' if limits else ''}.",
    )


def _counted(networks: int) -> str:
    return f"{networks:,} trained network{'s' * (networks != 1)}"


def _number(bound: object) -> str:
    return f"{bound:,.12g}" if isinstance(bound, int | float) else str(bound)


def _is_of(trial: Trial, architecture: Architecture) -> bool:
    return trial.arch_id == architecture.arch_id and "val_accuracy" in trial.scores


def _architecture(path: Path, config: ExportConfig) -> Architecture:
    from nas.exporting.folder import ARCHITECTURE

    if path.is_dir():
        files = [path / name for name in (ARCHITECTURE, _WINNER) if (path / name).exists()]
        if not files:
            raise ConfigError(f"{shown(path)} has neither {ARCHITECTURE} nor {_WINNER}. {_USAGE}")
        path = files[0]
    if path.suffix == ".json":
        try:
            return Architecture.from_json(path.read_text())
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} cannot be read: {why_unreadable(error)}") from None
    if str(path) not in space_names():
        raise ConfigError(f"no network {str(path)!r}. {nearest(str(path), space_names())} {_USAGE}")
    return _reference(str(path), config.data)


def _reference(name: str, data: DataConfig) -> Architecture:
    """Return a published network for some data."""
    from nas.training.data.load import load_data

    known = data.known_shape()
    shape, classes = known if known is not None else (load_data(data).input_shape, load_data(data).num_classes)
    space = load_space(name).for_data(shape, classes, task="classification")
    if space.size() > 1:
        raise ConfigError(f"space {name} has {space.size():,} networks; give the architecture (.json) of one of them")
    return space.decode(space.sample(seed=0))


def _weights_of(path: Path, architecture: Architecture) -> Path:
    """Return where a search keeps the weights of its best network."""
    file = path / _WEIGHTS / f"{architecture.arch_id}.safetensors"
    if not path.is_dir() or not file.exists():
        raise ConfigError(
            f"there are no weights of the network in {shown(path)}: train it with nas train, and export that folder, "
            "or give weights=FILE (.safetensors)"
        )
    return file
