"""What pictures show, or what series are, by an exported model: the code that is shipped beside it."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from nas import console
from nas.commands.options import predict_parser
from nas.errors import ConfigError, NasError
from nas.json_output import add_facts
from nas.run_folder import user_path

if TYPE_CHECKING:
    from nas.exporting.prediction_files import Prediction


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = predict_parser().parse_args(arguments)
    return console.run("nas.predict", lambda: _work(options), json=options.json, may_be_silent=True)


def _work(options: argparse.Namespace) -> None:
    from nas.exporting.predict import predict
    from nas.exporting.predict_series import VALUES, SeriesModel, predict_series, series_in
    from nas.exporting.prediction_files import SEGMENTATION, opened, record_of, with_masks, write
    from nas.exporting.predictions import AT_LEAST_ONE, AT_LEAST_ONE_PIXEL, exported_model, told_of_models

    for name in ("top", "batch"):
        AT_LEAST_ONE.checked(f"--{name}", getattr(options, name))
    AT_LEAST_ONE_PIXEL.checked("--max-pixels", options.max_pixels)
    model = exported_model(Path(options.folder), options.model, max_pixels=options.max_pixels)
    if options.masks and model.task != SEGMENTATION:
        raise ConfigError(f"--masks is of models for {SEGMENTATION}, but this one is for {model.task}")
    told: list[Prediction] = []
    what = VALUES if isinstance(model, SeriesModel) else "image"
    # In the document they are instead of on standard output.
    only_json = options.json and options.output is None
    try:
        with told_of_models(), nullcontext(StringIO()) if only_json else opened(options.output, options.images) as file:
            if isinstance(model, SeriesModel):
                series = series_in(options.images, labelled=options.labelled, classes=model.classes)
                found = predict_series(model, series, top=options.top, batch=options.batch)
            else:
                found = predict(model, options.images, top=options.top, batch=options.batch)
            found = with_masks(found, user_path(options.masks)) if options.masks else found
            failed = write(_kept(found, told) if options.json else found, options.format, file, model.task, what)
    except OSError as error:
        places = [f"--{name}={value}" for name in ("output", "masks") if (value := getattr(options, name))]
        where = " or ".join(places or ["standard output"])
        raise ConfigError(f"{where} cannot be written: {error}") from None
    predictions = [record_of(one, what) for one in told]
    add_facts({"predictions": predictions, "failed": failed, "output": options.output, "masks": options.masks})
    if failed and what == VALUES:
        raise NasError(f"{failed:,} of the files or series cannot be used; any others are done")
    if failed:
        done = "; the others are done" if failed < len(options.images) else ""
        raise NasError(f"{failed:,} of {len(options.images):,} pictures cannot be read{done}")


def _kept(predictions: Iterable[Prediction], told: list[Prediction]) -> Iterator[Prediction]:
    """Yield predictions as they come, and keep them."""
    for one in predictions:
        told.append(replace(one, mask=None))
        yield one
