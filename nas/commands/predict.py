"""What pictures show, by an exported model: the code that is shipped beside it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from nas import console
from nas.commands.options import predict_parser
from nas.errors import ConfigError, NasError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = predict_parser().parse_args(arguments)
    return console.run("nas.predict", lambda: _work(options))


def _work(options: argparse.Namespace) -> None:
    from nas.exporting.predict import ModelError, open_model, opened, predict, write

    for name in ("top", "batch"):
        if getattr(options, name) < 1:
            raise ConfigError(f"--{name} must be >= 1, but got {getattr(options, name)}")
    try:
        model = open_model(model_file(Path(options.folder).expanduser(), options.model))
        with opened(options.output) as file:
            found = predict(model, options.images, top=options.top, batch=options.batch)
            failed = write(found, options.format, file)
    except ModelError as error:
        raise ConfigError(f"{error}") from None
    except OSError as error:
        raise ConfigError(f"--output={options.output} cannot be written: {error}") from None
    if failed:
        raise NasError(f"{failed:,} of {len(options.images):,} pictures cannot be read; the others are done")


def model_file(folder: Path, name: str | None) -> Path:
    """Return the model that is meant: a file itself, or one in an exported folder, or in `model` of a run folder.

    Args:
        folder: what the user gave.
        name: of the file; None takes model.onnx.

    Raises:
        ConfigError: there is none.
    """
    if folder.suffix == ".onnx" and not folder.is_dir():
        return folder
    places = [path / (name or "model.onnx") for path in (folder, folder / "model")]
    for place in places:
        if place.exists() or place.is_symlink():
            return place
    there = sorted(path.name for path in folder.glob("*.onnx")) if folder.is_dir() else []
    known = f"it has {', '.join(there)}" if there else "nas export RUN out=DIR makes such a folder"
    raise ConfigError(f"{folder} has no {places[0].name}; {known}")
