"""`nas.predict`: what pictures or series are, by an exported model; the code is that which is shipped beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.errors import ConfigError, DataError, check_kind, plain
from nas.run_folder import user_path
from nas.settings import Range

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nas.exporting.predict import Model
    from nas.exporting.predict_series import SeriesModel
    from nas.exporting.prediction_files import Prediction

AT_LEAST_ONE, THREADS = Range(1, 1_000_000, whole=True), Range(0, 4096, whole=True)
"""What numbers of pictures and classes may be, and those of threads."""
AT_LEAST_ONE_PIXEL = Range(1, 2**40, whole=True)
"""What the number of pixels of a file may be limited to."""


def predict(
    model: str | PathLike[str],
    pictures: Iterable[str | PathLike[str] | NDArray[Any]],
    *,
    top: int = 5,
    batch: int = 32,
    threads: int = 0,
    max_pixels: int = 100_000_000,
    labelled: bool | None = None,
) -> list[Prediction]:
    """Say what pictures show, or of which class series are.

    Args:
        model: a folder that `nas.export` wrote, one with such a folder as `model`, or an .onnx file of one.
        pictures: paths, which are read as in training, or uint8 arrays `(height, width, channels)` of any size, grey
            (1 channel), RGB (3) or RGB with transparency (4), which is laid on the background of the training. Of a
            model for series: paths of files with them (.ts, .tsv, .csv, .npz; see `nas predict --help`), or arrays
            `(channels, length)`.
        top: classes that are told of each.
        batch: pictures or series that are run at a time.
        threads: that may be used; 0: as many as there are cores.
        max_pixels: of a file; one with more is not read.
        labelled: whether rows of .tsv and .csv begin with a class, which is left out; None: they do not, and a file is
            refused whose rows all begin with the name of a class.

    Returns:
        What each shows, in order: `image` is its path, or of an array its place from 0, `top` has the likeliest classes
        with their probabilities. Of a model with several classes a picture `probabilities` has all, and `present` those
        above .5; of one for numbers `numbers` has them in their units; of one for pixels `mask` has the class of each
        pixel, and `shares` how many have which. A series of a file is `FILE:LINE`. Where one cannot be read, `error`
        says why, and the others go on.

    Raises:
        ConfigError: there is no such model, it cannot run, or an argument is not what it must be.
        DataError: an array is no picture, or no series.
    """
    from nas.exporting.predict import predict as predictions
    from nas.exporting.predict_series import SeriesModel, predict_series

    what = "the path of an exported folder, or of an .onnx file"
    check_kind("predict: model", model, (str, PathLike), what, ConfigError)
    top, batch = AT_LEAST_ONE.checked("predict: top", top), AT_LEAST_ONE.checked("predict: batch", batch)
    threads, given = THREADS.checked("predict: threads", threads), _listed(pictures)
    max_pixels = AT_LEAST_ONE_PIXEL.checked("predict: max_pixels", max_pixels)
    opened = exported_model(Path(fspath(model)), threads=threads, max_pixels=max_pixels)
    with told_of_models():
        if isinstance(opened, SeriesModel):
            return list(predict_series(opened, _series(given, labelled, opened.classes), top=top, batch=batch))
        for place, picture in enumerate(given):
            if not isinstance(picture, str):
                _check_levels(place, picture)
        return list(predictions(opened, given, top=top, batch=batch))


def _listed(given: object) -> list[Any]:
    """Return paths as text, and arrays as they are; raises `ConfigError` where something is neither."""
    from numpy import ndarray

    if isinstance(given, str | PathLike | ndarray) or not isinstance(given, Iterable):
        raise ConfigError(f"predict: pictures must be several paths or arrays, as in [one], but got {given!r:.80}")
    pictures = [*given]
    for place, picture in enumerate(pictures):
        check_kind(f"predict: picture {place}", picture, (str, PathLike, ndarray), "a path or an array", ConfigError)
    return [picture if isinstance(picture, ndarray) else str(fspath(picture)) for picture in pictures]


def _series(
    given: list[Any], labelled: bool | None, classes: Sequence[str]
) -> Iterator[tuple[str, NDArray[Any] | str]]:
    """Yield the series of files and arrays with their names; raises `DataError` where an array is no series."""
    from nas.exporting.predict_series import series_in
    from nas.exporting.series_files import SeriesError, of_array

    for place, one in enumerate(given):
        if isinstance(one, str):
            yield from series_in([one], labelled=labelled, classes=classes)
            continue
        try:
            (values,) = of_array(one[None] if one.ndim == 2 else one, f"array {place}")
        except (SeriesError, ValueError) as error:
            raise DataError(
                f"predict: series {place} must be numbers (channels, length), but is {one.dtype} of {one.shape}: "
                f"{error}"
            ) from None
        yield str(place), values


def _check_levels(place: int, levels: NDArray[Any]) -> None:
    fits = levels.ndim == 3 and levels.size and levels.shape[2] in (1, 3, 4)
    if levels.dtype != "uint8" or not fits:
        raise DataError(
            f"predict: picture {place} must be 8-bit levels (height, width, channels) with 1, 3 or 4 channels, but is "
            f"{levels.dtype} of {levels.shape}"
        )


def exported_model(
    path: Path, name: str | None = None, *, threads: int = 0, max_pixels: int = 100_000_000
) -> Model | SeriesModel:
    """Load an exported model, for pictures or for series.

    Args:
        path: a file itself, an exported folder, or a run folder with one as `model`.
        name: of the file in that folder; None takes model.onnx.
        threads: that it may use; 0: as many as there are cores.
        max_pixels: of a file; one with more is not read.

    Raises:
        ConfigError: there is none, or it is no exported model.
    """
    from nas.exporting.predict import model_of, opened_session
    from nas.exporting.predict_series import VALUES, series_model_of

    with told_of_models():
        file = _model_file(user_path(path), name)
        opened = opened_session(file, threads)
        return (
            series_model_of(file, *opened) if opened[2].get("kind") == VALUES else model_of(file, *opened, max_pixels)
        )


@contextmanager
def told_of_models() -> Iterator[None]:
    """Raise what the shipped code says of a model, which knows no nas, as `ConfigError`."""
    from nas.exporting.predict import ModelError

    try:
        yield
    except ModelError as error:
        raise ConfigError(plain(str(error))) from None


def _model_file(path: Path, name: str | None) -> Path:
    if path.suffix == ".onnx" and not path.is_dir():
        return path
    places = [folder / (name or "model.onnx") for folder in (path, path / "model")]
    for place in places:
        if place.exists() or place.is_symlink():
            return place
    there = sorted(one.name for one in path.glob("*.onnx")) if path.is_dir() else []
    known = f"it has {', '.join(there)}" if there else "nas export RUN out=DIR makes such a folder"
    raise ConfigError(f"{path} has no {places[0].name}; {known}")
