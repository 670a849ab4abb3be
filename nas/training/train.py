"""`nas.train`: one network by a recipe, with its weights, its curves and its scores in a folder.

A run that is killed goes on from its last whole epoch, and comes out as one that never stopped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

from nas.checkpoint_files import remove_checkpoint
from nas.errors import ConfigError, check_function, check_kind
from nas.evaluation import Budget, Evaluation
from nas.exporting.card import CARD
from nas.exporting.folder import ARCHITECTURE, WEIGHTS
from nas.exporting.preprocess import PREPROCESS
from nas.line_log import LineLog
from nas.machine import check_accelerator
from nas.network.architecture import Architecture, checked_architecture
from nas.resume import with_absolute_paths
from nas.run_folder import claim, hold, read_json, user_path, write_whole
from nas.settings import SEED, Range, as_recorded, changeable
from nas.training.card import card_of_training
from nas.training.curves import draw_curves, write_curves
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data, load_learned
from nas.training.devices import DEVICES, check_devices
from nas.training.fit import with_drop_path
from nas.training.memory import training_memory
from nas.training.model_file import SUMMARY
from nas.training.own_training import check_own_training
from nas.training.preprocess import as_trained, preprocess_of
from nas.training.progress import Progress
from nas.training.progressive import check_stages
from nas.training.recipe import Recipe
from nas.training.recipe_files import read_data_config, read_recipe
from nas.training.summary import summary_of
from nas.training.teacher import teacher_of
from nas.training.together import train_network
from nas.training.transfer.settings import SCRATCH, Transfer
from nas.training.transfer.start import check_start
from nas.training.used_files import check_same_files, used_files
from nas.training.weights import Network, load_metadata, trained_network, why_lost

_SETTINGS, _SEEDS = "settings.json", "seeds.jsonl"
_CURVES = "curves.csv", "curves.png"
_MOST_SEEDS = Range(1, 10_000, whole=True)
_MAY_CHANGE = {"memory_mib", *changeable(DataConfig)}
"""Settings of the data that a run may go on with others of."""
_FILES = "files"
"""In the record: what it reads beside its data (`used_files`)."""


@dataclass(frozen=True, kw_only=True)
class TrainJob:
    """What is trained, and how."""

    architecture: Architecture
    """The network."""
    data: DataConfig
    """What it learns."""
    recipe: Recipe
    """How it learns."""
    seed: int = 0
    """Of the first training; the others count up from it."""
    seeds: int = 1
    """Number of trainings."""
    accelerator: str = "auto"
    """As Lightning takes it."""
    devices: int = 1
    """Processes that train together."""
    transfer: Transfer = SCRATCH
    """Other weights that it begins with, and what of the network learns when."""
    origin: str = ""
    """Where the network comes from, in sentences, for its card."""

    def record(self) -> dict[str, Any]:
        """Return what says whether a run is the one that was begun, as plain values."""
        data = {name: value for name, value in asdict(self.data).items() if name not in _MAY_CHANGE}
        parts: dict[str, Any] = {"network": self.architecture.to_dict(), "data": data, "train": _absolute(self.recipe)}
        parts |= {"seed": self.seed, "transfer": _recorded(self.transfer)}
        parts |= {_FILES: used_files(self.recipe, self.transfer)}
        return dict(json.loads(json.dumps(parts)))


class Watcher(Protocol):
    """Hears how a training goes."""

    def epoch(self, seed: int, metrics: Mapping[str, float]) -> None:
        """Hear the metrics of an epoch, see `TaskModule.epoch_metrics`."""

    def again(self, seed: int, why: str) -> None:
        """Hear that a training that was done is done again, since its weights are gone or damaged, and how."""

    def trained(self, seed: int, evaluation: Evaluation) -> None:
        """Hear what the training with a seed came to; of one that was done before, too."""


@dataclass(frozen=True)
class TrainedModel:
    """A network with its trained weights."""

    architecture: Architecture
    """The network."""
    folder: Path
    """Holds all that is known of it."""
    evaluations: Mapping[int, Evaluation]
    """What each seed came to on the validation split, by seed; the weights are those of the first."""

    @property
    def weights(self) -> Path:
        """The file of the weights of the first seed."""
        return self.folder / WEIGHTS

    @property
    def evaluation(self) -> Evaluation:
        """What the first seed came to."""
        return next(iter(self.evaluations.values()))

    def network(self) -> Network:
        """Return the network with its weights, ready for inference, on the CPU."""
        return trained_network(self.architecture, self.weights)


def train(
    architecture: Architecture,
    data: DataConfig | str = "digits",
    recipe: Recipe | str = "standard",
    *,
    folder: str | PathLike[str],
    seed: int = 0,
    seeds: int = 1,
    resume: bool = False,
    accelerator: str = "auto",
    devices: int = 1,
    transfer: Transfer = SCRATCH,
    say: Callable[[str], None] | None = None,
) -> TrainedModel:
    """Train a network, score it on the validation split, and keep its weights; the test split is not read.

    Args:
        architecture: the network.
        data: the data set: settings, or a name in `conf/data`.
        recipe: how it is trained: settings, or a name in `conf/recipe`.
        folder: for what comes out; a new one, or that of a run to go on with.
        seed: of weights, order and augmentation.
        seeds: trainings, with `seed` and those behind it; the weights of the first are the model.
        resume: go on with the run in `folder`; one that is done gives what it came to.
        accelerator: auto, cpu or gpu.
        devices: processes that train together, a GPU each where there are GPUs, and share each batch. They import the
            script that calls this, so that what it does has to be under `if __name__ == "__main__":`.
        transfer: other weights that it begins with, and what of the network learns when.
        say: told a line an epoch, e.g. `print`.

    Raises:
        NasError: an argument that does not hold, a folder that is taken, data that cannot be read or do not fit the
            network, or a loss that is no number.
    """
    checked_architecture(architecture, "train")
    check_kind("train: data", data, (DataConfig, str), "a DataConfig, or the name of a data set", ConfigError)
    check_kind("train: recipe", recipe, (Recipe, str), "a Recipe, or the name of one", ConfigError)
    check_kind("train: folder", folder, (str, PathLike), "the path of a folder", ConfigError)
    check_kind("train: resume", resume, bool, "True or False", ConfigError)
    check_kind("train: accelerator", accelerator, str, "auto, cpu or gpu", ConfigError)
    check_accelerator(accelerator)
    check_kind("train: transfer", transfer, Transfer, "a Transfer", ConfigError)
    check_function("train: say", say, "a function that takes a line")
    job = TrainJob(
        architecture=architecture,
        data=read_data_config(data) if isinstance(data, str) else data,
        recipe=read_recipe(recipe) if isinstance(recipe, str) else recipe,
        seed=SEED.checked("train: seed", seed),
        seeds=_MOST_SEEDS.checked("train: seeds", seeds),
        accelerator=accelerator,
        devices=DEVICES.checked("train: devices", devices),
        transfer=transfer,
    )
    begins(job)
    loaded = load_data(job.data)
    path = user_path(folder)
    held = hold(path, "training") if resume and path.is_dir() else claim(path, "training", "or resume=True goes on")
    say = say or (lambda line: None)
    progress = Progress(job.recipe.epochs, job.seeds, say, loaded.task, folds=job.data.folds)
    with held:
        begin(job, held.path, {}, resume=resume)
        return run_job(job, held.path, progress)


def begins(job: TrainJob) -> str:
    """Return what the network begins with, in a sentence; empty for fresh weights.

    Raises:
        NasError: data that cannot be read or do not fit the network, weights or a teacher that are of another one, or
            devices that cannot train it together.
    """
    data = load_data(job.data)
    data.check_fits(job.architecture)
    check_own_training(job.recipe, data, job.data.balance)
    images = len(load_learned(job.data).train.labels)
    check_devices(job.devices, job.recipe, accelerator=job.accelerator, transfer=job.transfer, images=images)
    teacher_of(job.recipe, data)
    built = with_drop_path(job.architecture, job.recipe.drop_path)
    training_memory(built, job.recipe)
    check_stages(built, job.recipe)
    return check_start(job.transfer, job.architecture, data)


def begin(job: TrainJob, folder: Path, settings: Mapping[str, Any], *, resume: bool) -> None:
    """Write what a run is, or make sure that it is the one that was begun.

    Args:
        job: what is trained.
        folder: held by this process.
        settings: what else is to be kept of it.
        resume: whether it was begun before.

    Raises:
        ConfigError: it was begun as another one; names the first difference.
    """
    record, path = job.record(), folder / _SETTINGS
    if resume and path.exists():
        job_before = read_json(path, "the settings of the training", _job_as_recorded)
        check_same_files(job_before.pop(_FILES), record[_FILES], folder, "begin a new run with it")
        before = _flat(job_before)
        for name, value in _flat({part: value for part, value in record.items() if part != _FILES}).items():
            if before.get(name) != value:
                raise ConfigError(
                    f"resume: {name} was {before.get(name)!r:.200} in {folder}, but is now {value!r:.200}"
                )
    write_whole(path, json.dumps({**settings, "job": record}, indent=1) + "\n")
    write_whole(folder / ARCHITECTURE, job.architecture.to_json(indent=1) + "\n")


def _job_as_recorded(values: Any) -> dict[str, Any]:
    """Return what a run was begun as, with settings that are younger than its record as they were done then."""
    job = dict(values["job"])
    recipe = with_absolute_paths(Recipe, as_recorded(Recipe, job["train"]))
    transfer = dict(job.get("transfer", _recorded(SCRATCH)))
    weights = transfer.pop("sha256", None)  # where there was no other file
    files = {} if weights is None else {"transfer.weights": {"sha256": weights}}
    known = {"data": as_recorded(DataConfig, job["data"]), "train": recipe, "transfer": transfer}
    return {_FILES: files} | job | known


def _recorded(transfer: Transfer) -> dict[str, Any]:
    """Return its settings but for the place of the file, which may be moved."""
    return {name: value for name, value in asdict(transfer).items() if name != "weights"}


def _absolute(settings: Recipe | Transfer) -> dict[str, Any]:
    """Return settings as plain values, with absolute paths of what is read."""
    return with_absolute_paths(type(settings), asdict(settings))


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings by their paths, such as `train.lr`; the network stays one value."""
    found: dict[str, Any] = {}
    for group, value in record.items():
        inner = isinstance(value, Mapping) and group != "network"
        found |= {f"{group}.{name}": one for name, one in value.items()} if inner else {group: value}
    return found


def run_job(job: TrainJob, folder: Path, watcher: Watcher) -> TrainedModel:
    """Train with each seed that is not done yet, and write what came out after each.

    The first one, whose weights are the model, is trained again where these are gone or damaged.

    Args:
        job: what is trained.
        folder: held by this process; `begin` was called for it.
        watcher: hears how it goes.

    Raises:
        NasError: data that cannot be read or do not fit the network, or a loss that is no number.
    """
    log = LineLog(folder / _SEEDS)
    done = dict(log.read("the result of a seed", _evaluation))
    try:
        for seed in range(job.seed, job.seed + job.seeds):
            lost = seed == job.seed and seed in done and why_lost(folder / WEIGHTS, job.architecture)
            if lost:
                watcher.again(seed, lost)
            if lost or seed not in done:
                done[seed] = _trained(job, folder, seed, watcher)
                log.append(_line(seed, done[seed]), durable=True)
                remove_checkpoint(_checkpoint(folder, seed))
                _write(job, folder, done)
            watcher.trained(seed, done[seed])
    finally:
        log.close()
    done = {seed: done[seed] for seed in range(job.seed, job.seed + job.seeds)}
    _write(job, folder, done)
    return TrainedModel(job.architecture, folder, done)


def _trained(job: TrainJob, folder: Path, seed: int, watcher: Watcher) -> Evaluation:
    weights = folder / (WEIGHTS if seed == job.seed else f"weights_seed{seed}.safetensors")
    return train_network(
        job.architecture,
        job.data,
        job.recipe,
        Budget(checkpoint=str(_checkpoint(folder, seed)), weights=str(weights)),
        seed=seed,
        accelerator=job.accelerator,
        devices=job.devices,
        transfer=job.transfer,
        after_epoch=lambda metrics: watcher.epoch(seed, metrics),
    )


def _checkpoint(folder: Path, seed: int) -> Path:
    return folder / f"seed{seed}.ckpt"


def _line(seed: int, evaluation: Evaluation) -> dict[str, Any]:
    """Return what is kept of the training with a seed."""
    folds = {"folds": [*map(dict, evaluation.folds)]} if evaluation.folds else {}
    scores, history = dict(evaluation.scores), [*map(dict, evaluation.history)]
    return {"seed": seed, "scores": scores, "history": history, "seconds": dict(evaluation.seconds), **folds}


def _evaluation(line: Mapping[str, Any]) -> tuple[int, Evaluation]:
    scores = {str(name): float(score) for name, score in line["scores"].items()}
    history = tuple({name: float(value) for name, value in row.items()} for row in line["history"])
    folds = tuple({name: float(value) for name, value in one.items()} for one in line.get("folds", ()))
    return int(line["seed"]), Evaluation(scores, history, dict(line["seconds"]), folds=folds)


def _write(job: TrainJob, folder: Path, done: Mapping[int, Evaluation]) -> None:
    """Write what is known by now, from what each seed came to."""
    data = load_learned(job.data)
    if job.transfer != SCRATCH:
        data = as_trained(data, load_metadata(folder / WEIGHTS), folder / WEIGHTS)
    images = load_data(job.data).scored_images
    summary = summary_of(job.architecture, data, done, images=images)
    seconds = {str(seed): one.seconds.get("evaluation") for seed, one in done.items()}
    parts = {**summary, "seconds": seconds, "train": _absolute(job.recipe), "data_settings": asdict(job.data)}
    parts |= {"transfer": _absolute(job.transfer)} if job.transfer != SCRATCH else {}
    write_whole(folder / SUMMARY, json.dumps(parts, indent=1) + "\n")
    card = card_of_training(folder.name, job.recipe, data, done, settings=job.data, images=images, origin=job.origin)
    for name, one in ((PREPROCESS, preprocess_of(data, job.architecture)), (CARD, card)):
        write_whole(folder / name, json.dumps(one.to_dict(), indent=1) + "\n")
    histories = {seed: one.history for seed, one in done.items()}
    write_curves(folder / _CURVES[0], histories, data.task)
    draw_curves(folder / _CURVES[1], histories, data.task)
