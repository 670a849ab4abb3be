"""Writes a trained network as files for other programs."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.commands.network_argument import read_network, types_data, with_recorded_data
from nas.console import long_step, run
from nas.errors import ConfigError
from nas.exporting.settings import ExportSettings
from nas.json_output import add_facts
from nas.run_folder import shown, user_path
from nas.settings import setting, settings_from
from nas.to_type import to_type
from nas.training.data.config import DataConfig

if TYPE_CHECKING:
    from nas.exporting.export import Exported
    from nas.network.architecture import Architecture

_USAGE = "nas export RUN|FOLDER|ARCH out=DIR; --help says more"


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """All settings of an export."""

    model: str | None = setting(
        None,
        "given as the first word: the folder of a training, or of a search, which means its best network; or an "
        "architecture (.json) or reference/NAME, with weights=",
        typed="path",
    )
    out: str | None = setting(None, "folder to write, which is not there yet", typed="path")
    weights: str | None = setting(None, "of the network (.safetensors); null: those in the folder", typed="path")
    data: DataConfig = setting(
        DataConfig,
        "the data set that it was trained on, to calibrate 8 bits and to measure; that of the training or search where "
        "nothing is said of it",
    )
    export: ExportSettings = setting(ExportSettings, "what is written beside model.onnx")

    def __post_init__(self) -> None:
        if self.model is None or self.out is None:
            raise ConfigError(f"which {'network' if self.model is None else 'folder to write'}? {_USAGE}")

    @property
    def path(self) -> Path:
        """The folder or file of the network."""
        return user_path(str(self.model))


def export_command(values: Mapping[str, Any], typed: Iterable[str] | None = None) -> int:
    """Do what some settings say.

    Args:
        values: settings as plain values.
        typed: paths of those that the user gave, such as `data.root`; None: all of `values`.

    Returns:
        The exit code.
    """
    given = list(values if typed is None else typed)
    return run("nas.export", lambda: _export(values, given))


def _export(values: Mapping[str, Any], typed: Collection[str]) -> None:
    model = values.get("model")
    config = settings_from(ExportConfig, with_recorded_data(values, typed, model if isinstance(model, str) else None))
    out = user_path(str(config.out))
    with long_step("Loading torch and the model, and writing it"):
        from nas.exporting.export import export_whole

        found = export_whole(
            config.path if config.path.is_dir() else _architecture(config),
            out,
            weights=config.weights,
            data=config.data if types_data(typed) else None,
            settings=config.export,
        )
    _tell(out, found)


def _architecture(config: ExportConfig) -> Architecture:
    """Return the network that is no folder: an architecture file, or a published one for the data."""
    from nas.training.data.load import load_data

    known = None if config.path.suffix == ".json" else config.data.known_shape()
    if known is None and config.path.suffix != ".json":
        data = load_data(config.data)
        known = data.input_shape, data.num_classes
    return read_network(str(config.model), None, *(known or ((), 0)), task="open")


def export_run(
    folder: Path,
    out: Path,
    settings: ExportSettings | None = None,
    *,
    data: DataConfig | None = None,
    replace: bool = False,
) -> tuple[Path, ...]:
    """Export the best network of a search, whose weights it has kept, and print what was written.

    Args:
        folder: of the search.
        out: the folder to write.
        settings: what is written beside `model.onnx`, and when.
        data: where its data are now; None: where they were.
        replace: whether a folder that an earlier export wrote, and in which nothing else is, is replaced.

    Returns:
        The paths of the files.

    Raises:
        NasError: as `nas.export`.
    """
    from nas.exporting.export import export_whole

    found = export_whole(folder, out, data=data, settings=settings, replace_earlier=replace)
    _tell(out, found)
    return found.paths


def _tell(out: Path, found: Exported) -> None:
    from nas.exporting.card import WHICH, section
    from nas.exporting.series_words import to_predict

    measured = found.measured
    add_facts(
        {
            "folder": out,
            "files": [path.name for path in found.paths],
            "models": [figures.to_dict() for figures in measured.files],
            "val_images": measured.images,
            "device": measured.device,
            "unmeasured": found.unmeasured,
        }
    )
    place = shlex.quote(str(shown(out)))
    print(f"{place}: {', '.join(path.name for path in found.paths)}")
    print(section((out / "card.md").read_text(encoding="utf-8"), WHICH))
    if found.unmeasured:
        print(f"How well it does was not measured, and there is no model.int8.onnx: {found.unmeasured}")
    given = to_predict(found.shape)
    print(f"Try it: {to_type('predict', shown(out))} {given}   (or python {place}/predict.py {given})")
