"""`nas train`: one network by a recipe."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from nas.commands.network_argument import WAYS, read_for_data, with_recorded_data
from nas.console import defer_signals, run
from nas.errors import ConfigError
from nas.evaluation import fold_deviation
from nas.json_output import add_facts
from nas.machine import check_accelerator
from nas.names import check_name
from nas.records.server import server_of
from nas.resources import space_names
from nas.resume import (
    RecordSettings,
    begun_with,
    check_typed,
    read_settings,
    resumed,
    study_folder,
    with_absolute_paths,
)
from nas.run_folder import Held, hold, kept_where_refused, shown, user_path
from nas.settings import SEED, Range, changeable, check_settings, setting, settings_from
from nas.to_type import to_type
from nas.training.data.config import DataConfig
from nas.training.data.registry import check_files, check_recipe
from nas.training.devices import DEVICES, DEVICES_DOC, check_devices
from nas.training.recipe import Recipe
from nas.training.tasks.registry import task_named
from nas.training.transfer.settings import Transfer

if TYPE_CHECKING:
    from nas.evaluation import Evaluation
    from nas.records.training_records import TrainingRecords
    from nas.training.progress import Progress
    from nas.training.train import TrainedModel, TrainJob

_SETTINGS = "settings.json"
_ENDS = {"value": "", "low": "_low", "high": "_high"}
"""What is recorded of the main score, and what stands behind its name."""
_OWN = ("run_id", "job")
"""What that file keeps beside settings."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """All settings of the training of one network."""

    network: str | None = setting(
        None, "given as the first word: an architecture file, a run folder, or a space such as reference/resnet18",
        typed="text",
    )  # fmt: skip
    genotype: str | None = setting(None, "the decisions of a space with choices: JSON, or a .json file", typed="text")
    resolution: int | None = setting(
        None,
        "size of the images that a network of a space takes, which those of the data are resized to; null: theirs",
        Range(1, 10_000, whole=True),
    )
    seed: int = setting(0, "of weights, order and augmentation", SEED)
    seeds: int = setting(
        1,
        "trainings, with seed and those behind it: a mean with its interval; the weights of the first are the model",
        Range(1, 10_000, whole=True),
        may_change=True,
    )
    accelerator: str = setting("auto", "auto, cpu or gpu", may_change=True)
    devices: int = setting(1, DEVICES_DOC, DEVICES, may_change=True)
    name: str | None = setting(None, "of the run folder; null makes one from the time", typed="text")
    resume: str | None = setting(
        None,
        "a run folder to go on with; then only seeds, accelerator, devices, data.root, the place of transfer.weights "
        "and records may change",
        may_change=True,
        typed="text",
    )
    data: DataConfig = setting(DataConfig, "which data set, and how it is split and augmented")
    train: Recipe = setting(Recipe, "how the network is trained")
    transfer: Transfer = setting(Transfer, "weights to begin with, and what of the network learns when")
    records: RecordSettings = setting(RecordSettings, "where records go")

    def __post_init__(self) -> None:
        check_settings(self, "")
        if self.network is None:
            raise ConfigError(f"which network? nas train ARCH ...: {WAYS}")
        check_accelerator(self.accelerator)
        check_devices(self.devices, self.train, accelerator=self.accelerator, transfer=self.transfer)
        check_name(self.name)


def train_command(values: Mapping[str, Any], typed: Iterable[str]) -> int:
    """Train as some settings say.

    Args:
        values: settings as plain values.
        typed: paths of those that the user gave.

    Returns:
        The exit code.
    """
    return run("nas.train", lambda: _train(values, list(typed)))


def _train(values: Mapping[str, Any], typed: list[str]) -> None:
    folder = user_path(str(values["resume"])) if values.get("resume") else None
    config = settings_from(TrainConfig, _going_on(folder, values, typed) if folder else _new(values, typed))
    check_files(config.data)
    print("Loading torch and the data ...", flush=True)
    job = _job(config)
    with _held(config, folder) as held, kept_where_refused(_way_on(held.path)):
        _trained(config, job, held.path, going_on=folder is not None)


def _way_on(folder: Path) -> str:
    """Say how to go on where the system has refused a file."""
    place = shown(folder)
    return f"Whole epochs and seeds are kept in {place}; go on with: {to_type('train', f'resume={place}')}"


def _new(values: Mapping[str, Any], typed: list[str]) -> dict[str, Any]:
    """Return the settings of a new run: a run folder that is trained from brings its data."""
    network = values.get("network")
    brought = with_recorded_data(values, typed, network if isinstance(network, str) else None)
    return with_absolute_paths(TrainConfig, brought)


def _going_on(folder: Path, values: Mapping[str, Any], typed: list[str]) -> dict[str, Any]:
    saved = read_settings(folder / _SETTINGS, "training")
    check_typed(TrainConfig, typed)
    begun = {name: value for name, value in saved.items() if name not in _OWN}
    if not {"network", "data", "train"} <= begun.keys():
        raise ConfigError(f"resume: {folder} was made by nas.train from Python; go on with its argument resume=True")
    begun, values = (with_absolute_paths(TrainConfig, one) for one in (begun, values))
    settings = resumed(begun, values, typed, [*changeable(TrainConfig)], folder)
    with begun_with(folder / _SETTINGS):
        settings_from(TrainConfig, settings)
    return settings


def _job(config: TrainConfig) -> TrainJob:
    from nas.training.fit import load_data
    from nas.training.train import TrainJob, begins

    data = load_data(config.data)
    architecture = read_for_data(config.network or "", config.genotype, config.resolution, data)
    check_recipe(config.data, config.train)
    job = TrainJob(
        architecture=architecture,
        data=config.data,
        recipe=config.train,
        seed=config.seed,
        seeds=config.seeds,
        accelerator=config.accelerator,
        devices=config.devices,
        transfer=config.transfer,
        origin=_origin(config.network or ""),
    )
    begun = begins(job)
    if not begun:
        return job
    print(begun, flush=True)
    return replace(job, origin=f"{job.origin} {begun}".strip())


def _origin(network: str) -> str:
    """Say where a network comes from, for the card of what is exported; empty where a file alone is given."""
    if network in space_names():
        return f"A network of the space {network}."
    folder = user_path(network)
    if not folder.is_dir():
        return ""
    from nas.exporting.found import STUDY, origin_of

    trained_anew = " Chosen by its validation score there, and trained anew." if (folder / STUDY).is_file() else ""
    return origin_of(folder) + trained_anew


def _held(config: TrainConfig, folder: Path | None) -> Held:
    if folder is not None:
        return hold(folder, "training")
    root = user_path(config.records.dir)
    return study_folder(root, config.name, resume=False, settings=_SETTINGS, stem="train", what="training")


def _trained(config: TrainConfig, job: TrainJob, folder: Path, *, going_on: bool) -> None:
    from nas.cost import cost_of
    from nas.training.data.load import load_data
    from nas.training.fit import with_drop_path
    from nas.training.memory import training_memory
    from nas.training.progress import Progress
    from nas.training.train import begin, run_job

    saved = read_settings(folder / _SETTINGS, "training") if going_on else {}
    run_id = str(saved.get("run_id", uuid4().hex))
    begin(job, folder, {"run_id": run_id, **asdict(config), "name": folder.name, "resume": None}, resume=going_on)
    cost = cost_of(job.architecture)
    again = to_type("train", f"resume={shown(folder)}")
    memory = training_memory(with_drop_path(job.architecture, job.recipe.drop_path), job.recipe)
    if memory.blocks:
        blocks = "block is" if len(memory.blocks) == 1 else "blocks are"
        print(
            f"Training takes {memory.mib:,.1f} MiB by prediction: {len(memory.blocks)} {blocks} computed again in the "
            f"backward pass, {memory.recomputed_share:.1%} more multiply-adds a step"
        )
    print(
        f"{config.network}: {cost.params:,} parameters, {cost.macs:,} multiply-adds; data {job.data.name}; "
        f"{job.recipe.epochs} epoch{'s' * (job.recipe.epochs != 1)}"
        f"{f' with each of {job.seeds} seeds' if job.seeds > 1 else ''}"
        f"{f', once without each of {job.data.folds} folds' if job.data.folds else ''}\n"
        f"Run folder {shown(folder)}; if it is interrupted, go on with: {again}",
        flush=True,
    )
    records = None
    if config.records.mlflow:
        from nas.records.training_records import TrainingRecords

        server = server_of(config.records.uri)
        records = TrainingRecords(
            folder.parent, folder, run_id, folder.name, asdict(config), server=server, again=again
        )
    try:
        task = load_data(job.data).task
        progress = Progress(job.recipe.epochs, job.seeds, partial(print, flush=True), task, folds=job.data.folds)
        model = run_job(job, folder, _Watcher(progress, records))
    except BaseException:
        if records is not None:
            with defer_signals("The training is ending and writes its records"):
                records.interrupted()
        raise
    _report(config, model, records)


class _Watcher:
    """Prints a line an epoch, and hands what each seed came to to the records."""

    def __init__(self, progress: Progress, records: TrainingRecords | None) -> None:
        self._progress, self._records = progress, records
        self.epoch, self.again = progress.epoch, progress.again

    def trained(self, seed: int, evaluation: Evaluation) -> None:
        """Write the result of a seed to the records."""
        self._progress.trained(seed, evaluation)
        if self._records is not None:
            self._records.write(seed, evaluation)


def _report(config: TrainConfig, model: TrainedModel, records: TrainingRecords | None) -> None:
    from nas.training.model_file import SUMMARY

    summary = json.loads((model.folder / SUMMARY).read_text())
    task, place = task_named(summary["task"]), shown(model.folder)
    main, score = summary[task.objective], task.score(task.default)
    ends = "" if main["low"] is None else f"{main['low']:.4f} to {main['high']:.4f}; "
    folds = model.evaluation.folds
    add_facts({**summary, "run_folder": model.folder})
    print(
        f"\nValidation {score.words} {main['value']:.4f} ({ends}{main['interval']}, {main['images']:,} images); "
        "the test split was not read.\n"
        f"{_over_folds(folds, task.objective)}"
        f"Weights, curves and scores: {place}\n"
        "Next:\n"
        f"  {to_type('evaluate', place)}   scores class by class, and the images it is most wrong about\n"
        f"  {to_type('evaluate', place, 'split=test')}   once, when all decisions are made\n"
        f"  {to_type('export', place, 'out=DIR')}   model.onnx, which takes data as they are, and what ships beside it"
    )
    if records is None:
        return
    metrics = {f"{task.objective}{end}": main[name] for name, end in _ENDS.items() if main[name] is not None}
    records.end(metrics, [path for path in sorted(model.folder.iterdir()) if path.suffix in (".csv", ".png")])
    add_facts({"mlflow": records.facts})
    print(records.browse)


def _over_folds(folds: Sequence[Mapping[str, float]], name: str) -> str:
    """Return a line on how much a score differs between folds, and whose weights are kept; empty without folds."""
    deviation = fold_deviation(folds, name)
    if deviation is None:
        return ""
    each = ", ".join(f"{fold[name]:.4f}" for fold in folds)
    return (
        f"It is the mean over {len(folds)} folds: {each} (standard deviation {deviation:.4f}). The weights are those "
        "of the training without fold 1.\n"
    )
