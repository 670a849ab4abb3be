"""`nas.evaluate`: how well a model does on a split of a data set, the model being weights or an exported file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nas.errors import ConfigError, DataError, NasError, check_kind, reason_of
from nas.exporting.series_files import SeriesReading
from nas.network.architecture import Architecture
from nas.run_folder import read_json, user_path
from nas.settings import Range, settings_from
from nas.training.data.batches import Batches
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.data.recorded import recorded_data
from nas.training.data.splits import ImageData, Images, SomeImages, model_input, shown_values
from nas.training.data.test_split import Ledger, read_test_split
from nas.training.model_file import SUMMARY, ModelIn, check_classes, model_in, open_session
from nas.training.preprocess import as_trained, read_as, reading_said, target_scale
from nas.training.recipe_files import read_data_config
from nas.training.scores import Scores, scores_of
from nas.training.scores_of_answers import AnswerScores, scores_of_answers
from nas.training.scores_of_maps import scores_of_maps
from nas.training.tasks.registry import DEFAULT
from nas.training.tasks.segmentation import at_size
from nas.training.tasks.task import Scale
from nas.training.train import TrainedModel
from nas.training.trained_on import arch_id_of, as_split, relation, trained_on
from nas.training.weights import load_metadata, trained_network

SPLITS = ("val", "test")
_WORDS = {"val": "validation", "test": "test"}
"""What can be scored on."""
_BATCH, _MOST_PIXELS = 256, 2**21
"""Images that are run at a time, and pixels of these where each has a class."""
_MOST_WORST = Range(0, 1000, whole=True)


@dataclass(frozen=True, eq=False)
class Evaluated:
    """A model's scores, and what they are of."""

    folder: Path
    """As it was given."""
    file: str
    """In it, that was run."""
    arch_id: str
    """Of the network; empty where the folder does not say it."""
    data: str
    """Name of the data set."""
    split: str
    """`val` or `test`."""
    fingerprint: str
    """Of the splits."""
    scored: Scores | AnswerScores
    """Scores on all images of the split: of other tasks than classification `AnswerScores`."""
    pixels: tuple[NDArray[Any], ...]
    """Of the worst mistakes, each `(channels, height, width)`, in their order; of series each `(channels, length)`."""
    other_data: str = ""
    """A sentence where these are other data than those of the training, or nobody knows; empty where they are those."""
    maps: tuple[tuple[NDArray[np.uint8], NDArray[np.uint8]], ...] = ()
    """Where each pixel has a class: what is right and what is said of the worst mistakes, `(height, width)` each."""
    fold: tuple[int, int] | None = None
    """Of a network that was trained without a fold and is scored on that: its number, from 1, of how many."""

    @property
    def where(self) -> str:
        """What it is scored on, in words."""
        if self.fold is None:
            return f"{_WORDS[self.split]} split"
        number, count = self.fold
        return f"held-out fold {number} of {count}"

    @property
    def scores(self) -> Scores:
        """Those of a classification, on all images of the split; raises `NasError` for another task (`scored`)."""
        if not isinstance(self.scored, Scores):
            raise NasError(f"these are scores of {self.scored.task}, which are in `scored`, not in `scores`")
        return self.scored

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, without pixels."""
        return {
            "model": str(self.folder),
            "file": self.file,
            "arch_id": self.arch_id,
            "data": self.data,
            "split": self.split,
            "split_fingerprint": self.fingerprint,
            "other_data": self.other_data,
            **({"fold": list(self.fold)} if self.fold is not None else {}),
            **self.scored.to_dict(),
        }


def evaluate(
    folder: str | PathLike[str] | TrainedModel,
    data: DataConfig | str | None = None,
    *,
    split: str = "val",
    worst: int = 24,
) -> Evaluated:
    """Score a model on a split of a data set.

    Args:
        folder: of a training, with `architecture.json` and `weights.safetensors`, or what `nas.train` returned; or an
            exported one, with `model.onnx`; or that of a search, whose best network is taken with the weights that
            were kept of it. Where it is none of these its `model/` is taken.
        data: the data set: settings, or a name in `conf/data`; None takes that of the training or the search. Files are
            read as in the training (`background`, `depth` and `fit`), whatever is said here.
        split: val or test.
        worst: number of mistakes to list.

    Raises:
        NasError: the folder has no model, or one for other classes; data that cannot be read, or are those of the
            training split in another way, so that images were learned.
    """
    check_kind("evaluate: folder", folder, (str, PathLike, TrainedModel), "the path of a folder", ConfigError)
    check_kind("evaluate: data", data, (DataConfig, str, type(None)), "a DataConfig, a name, or None", ConfigError)
    if split not in SPLITS:
        raise ConfigError(f"evaluate: split must be one of {', '.join(SPLITS)}, but got {split!r:.80}")
    worst = _MOST_WORST.checked("evaluate: worst", worst)
    place = folder.folder if isinstance(folder, TrainedModel) else user_path(folder)
    model = model_in(place)
    config = read_data_config(data) if isinstance(data, str) else data or recorded_data_of(model)
    classifier, arch_id, metadata = _classifier(model)
    config = read_as(config, reading_said(metadata, model.file))
    loaded = load_data(config)
    classify = classifier(loaded)
    was = trained_on(metadata, model.folders)
    other = relation(was, loaded, config, model.folders)
    loaded = as_split(loaded, was)
    images = loaded.val if split == "val" else _test_images(config, model, arch_id, loaded.fingerprint)
    outputs = classify(images)  # classes where each pixel has one
    if not np.isfinite(outputs).all():
        raise DataError(f"{model.file} gives something else than numbers for some images")
    scores = _scores(outputs, images, loaded, target_scale(metadata, model.file) or loaded.scale, worst)
    wrong = torch.tensor([mistake.image for mistake in scores.worst], dtype=torch.int64)
    pixels = tuple(shown_values(images, wrong, loaded.reading)) if len(wrong) else ()
    file = str(model.file.relative_to(place))
    said = (images.labels[wrong].numpy(), outputs[wrong.numpy()]) if loaded.task.dense else ((), ())
    maps = tuple(zip(*said, strict=True))
    fold = loaded.fold if split == "val" else None
    return Evaluated(place, file, arch_id, loaded.name, split, loaded.fingerprint, scores, pixels, other, maps, fold)


def _scores(
    outputs: NDArray[Any], images: Images, data: ImageData, scale: Scale | None, worst: int
) -> Scores | AnswerScores:
    """Return the scores of what a network gives, which was trained with targets of some scale."""
    labels, names = images.labels.numpy(), _names(images)
    if data.task == DEFAULT:
        return scores_of(outputs, labels, data.classes, names=names, worst=worst)
    if data.task.dense:
        return scores_of_maps(data.task, outputs, labels, data.classes, names=names, worst=worst)
    answers, deviations = data.task.answers(outputs, scale), scale.std if scale is not None else ()
    return scores_of_answers(data.task, answers, labels, data.classes, deviations=deviations, names=names, worst=worst)


def _test_images(config: DataConfig, model: ModelIn, arch_id: str, fingerprint: str) -> Images:
    """Read the test split, which the ledger in the folder then says.

    Raises:
        HeldOutError: a search is running in this process. ConfigError: the ledger cannot be written.
    """
    folder, record = model.ledger, model.file.parent / SUMMARY
    seed = read_json(record, "the record of the training", _seed) if record.is_file() else 0
    try:
        folder.mkdir(exist_ok=True)
        purpose = "nas evaluate"
        return read_test_split(
            config, Ledger(folder), arch_id=arch_id, seed=seed, purpose=purpose, fingerprint=fingerprint
        )
    except OSError as error:
        raise ConfigError(
            f"that the test split is read must be noted in {folder}, which cannot be written: {error}"
        ) from None


def _seed(values: Any) -> int:
    """Return the first of the seeds: that of the weights in `WEIGHTS`."""
    return min(int(seed) for seed in values["scores"])


def recorded_data_of(model: ModelIn) -> DataConfig:
    """Return the settings of the data that a model was trained on; raises `ConfigError` where its folder lacks them."""
    for folder in dict.fromkeys((model.folder, *model.folders)):
        known = recorded_data(folder)
        if known is not None:
            return settings_from(DataConfig, known, "data")
    raise ConfigError(f"{model.folder} does not say what data it was trained on: give data=")


Classifier = Callable[[Images], NDArray[Any]]
"""From images to logits `(images, num_classes)`, or to the classes of pixels, `(images, height, width)`."""


def _kept(outputs: Tensor, data: ImageData) -> NDArray[Any]:
    """Return what is kept of the outputs of a network: all, but of maps what they say, since they are large.

    Raises:
        DataError: a map that holds something else than numbers.
    """
    if not data.task.dense:
        return outputs.double().numpy()
    if not outputs.isfinite().all():
        raise DataError("the model gives something else than numbers for some images")
    return data.task.answers(at_size(outputs, data.input_shape[1:]).numpy())


def _batch(data: ImageData) -> int:
    """Return how many images are run at a time: of maps so many as have a few million pixels."""
    return max(1, min(_BATCH, _MOST_PIXELS // math.prod(data.input_shape[1:]))) if data.task.dense else _BATCH


def _classifier(model: ModelIn) -> tuple[Callable[[ImageData], Classifier], str, Mapping[str, str]]:
    """Return what makes a classifier of images of some data, which may raise `DataError`.

    Then the id of the network, empty where nothing says it, and the metadata of the file.
    """
    weights = model.file
    if model.architecture is None:
        session = open_session(weights)
        metadata = session.get_modelmeta().custom_metadata_map
        return partial(_onnx_classifier, session, weights), arch_id_of(metadata, weights.parent), metadata
    arch, metadata = read_json(model.architecture, "the network", Architecture.from_dict), load_metadata(weights)

    def classifier(data: ImageData) -> Classifier:
        data.check_fits(arch)
        check_classes(metadata, data, weights)
        return _torch_classifier(trained_network(arch, weights), arch, as_trained(data, metadata, weights))

    return classifier, arch.arch_id, metadata


def _torch_classifier(network: torch.nn.Module, arch: Architecture, data: ImageData) -> Classifier:
    # As in training, so that the scores are the same to the last digit.
    network = network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in the stubs

    def classify(images: Images) -> NDArray[Any]:
        with torch.inference_mode():
            batches = Batches(images, data, _batch(data), arch.input_shape)
            return np.concatenate([_kept(network(inputs), data) for inputs, _ in batches])

    return classify


def _onnx_classifier(session: Any, path: Path, data: ImageData) -> Classifier:
    """Return what runs an exported file: it takes pixels or values as they are, and has normalisation inside."""
    check_classes(session.get_modelmeta().custom_metadata_map, data, path)
    inputs, outputs = session.get_inputs(), [output.name for output in session.get_outputs()]
    dimensions = 1 + len(data.input_shape)
    if len(inputs) != 1 or len(inputs[0].shape) != dimensions:
        raise DataError(f"evaluate: {path} must take one input of {dimensions} dimensions, but takes {len(inputs)}")
    given = inputs[0]
    wanted = data.task.raw if data.task.raw in outputs else outputs[0]
    last = given.shape[-1] == data.input_shape[0] and given.shape[1] != data.input_shape[0]
    kind = np.uint8 if given.type == "tensor(uint8)" else np.float32

    def classify(images: Images) -> NDArray[Any]:
        found, each = [], data.task.out_shapes(data.num_classes, data.input_shape[1:])[0]
        for indices in torch.split(torch.arange(len(images.labels)), _batch(data)):
            as_is = last or isinstance(data.reading, SeriesReading)
            pixels = model_input(images, indices, data.reading) if as_is else images.read(indices).numpy()
            try:
                (logits,) = session.run([wanted], {given.name: np.ascontiguousarray(pixels, dtype=kind)})
            except Exception as error:
                raise DataError(f"evaluate: {path} cannot be run: {reason_of(error)}") from None
            if np.shape(logits) != (len(indices), *each):
                raise DataError(
                    f"evaluate: {path} must give {(len(indices), *each)} numbers for {len(indices)} images "
                    f"of {data.num_classes} classes, but gives {np.shape(logits)}"
                )
            found.append(_kept(torch.from_numpy(np.asarray(logits)), data))
        return np.concatenate(found)

    return classify


def _names(images: Images) -> Sequence[str]:
    """Return the files of images; empty where they have none of their own."""
    inner: Images = images
    indices = torch.arange(len(images.labels))
    while isinstance(inner, SomeImages):
        indices = inner.indices[indices]
        inner = inner.images
    files = getattr(inner, "files", ())
    return [str(files[i]) for i in _list(indices)] if files else ()


def _list(indices: Tensor) -> list[int]:
    return [int(i) for i in indices]
