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
    from nas.exporting.predict import opened, predict, write
    from nas.exporting.predictions import AT_LEAST_ONE, AT_LEAST_ONE_PIXEL, exported_model, told_of_models

    for name in ("top", "batch"):
        AT_LEAST_ONE.checked(f"--{name}", getattr(options, name))
    AT_LEAST_ONE_PIXEL.checked("--max-pixels", options.max_pixels)
    model = exported_model(Path(options.folder), options.model, max_pixels=options.max_pixels)
    try:
        with told_of_models(), opened(options.output) as file:
            found = predict(model, options.images, top=options.top, batch=options.batch)
            failed = write(found, options.format, file)
    except OSError as error:
        raise ConfigError(f"--output={options.output} cannot be written: {error}") from None
    if failed:
        done = "; the others are done" if failed < len(options.images) else ""
        raise NasError(f"{failed:,} of {len(options.images):,} pictures cannot be read{done}")
