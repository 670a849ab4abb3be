"""What a path means to an export: a network with its weights, and what the folder of its training or search says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nas.errors import ConfigError, DataError, why_unreadable
from nas.exporting.card import CARD, Card, Score
from nas.exporting.folder import ARCHITECTURE, WEIGHTS, Exportable, exportable, read_known, read_weights
from nas.network.architecture import Architecture
from nas.run_folder import BEST_ARCHITECTURE, best_recipe, best_weights_file, read_inside, shown
from nas.search.log import read_study, read_trials
from nas.search.trial import State
from nas.statistics import proportion_interval
from nas.to_type import to_type
from nas.training.preprocess import preprocess_beside
from nas.training.tasks.registry import DEFAULT, task_named
from nas.training.tasks.task import Score as TaskScore
from nas.training.tasks.task import Task

STUDY = "study.json"
"""The file of the folder of a search that says what it is."""


def found_in(folder: Path) -> Exportable:
    """Return the network of a folder with all that is known of it.

    Args:
        folder: of a training, or of a search that has kept the weights of its best network.

    Raises:
        ConfigError: it holds neither, or a file cannot be read. DataError: a file holds something else.
    """
    if (folder / ARCHITECTURE).exists():
        found = exportable(folder)
        if found.preprocess is not None:
            return found
        preprocess = preprocess_beside(folder / WEIGHTS, found.architecture)
        return Exportable(found.architecture, found.weights, preprocess, found.card)
    architecture = architecture_in(folder)
    weights = best_weights_file(folder, architecture.arch_id)
    train = to_type("train", shown(folder))
    way_on = f"train it with {train}, and export that folder, or give weights=FILE (.safetensors)"
    if not weights.exists():
        raise ConfigError(f"there are no weights of the best network in {shown(folder)}: {way_on}")
    try:
        state, preprocess = read_weights(weights), preprocess_beside(weights, architecture)
    except DataError as error:
        raise DataError(f"{error}: {way_on}") from None
    return Exportable(architecture, state, preprocess, card_of_search(folder, architecture))


def found_with(architecture: Architecture, weights: Path, source: str) -> Exportable:
    """Return a network with weights from a file of their own, trained who knows how.

    Args:
        architecture: the network.
        weights: a safetensors file.
        source: what the model is of, for its name.

    Raises:
        ConfigError: the file cannot be read. DataError: it is no safetensors file.
    """
    preprocess = preprocess_beside(weights, architecture)
    task = DEFAULT if preprocess is None else task_named(preprocess.task)
    card = Card(name=_named(task, source), limits=task.limits)
    return Exportable(architecture, read_weights(weights), preprocess, card)


def _named(task: Task, source: str) -> str:
    return f"{task.model[0].upper()}{task.model[1:]} of {source}"


def architecture_in(folder: Path) -> Architecture:
    """Return the network of a folder: that of a training, or the best one of a search.

    Raises:
        ConfigError: there is none, or it cannot be read. NasError: the file describes none.
    """
    path = next((folder / name for name in (ARCHITECTURE, BEST_ARCHITECTURE) if (folder / name).exists()), None)
    if path is None:
        raise ConfigError(
            f"{shown(folder)} has neither {ARCHITECTURE}, which a training leaves, nor {BEST_ARCHITECTURE}, which a "
            "search does"
        )
    try:
        return Architecture.from_json(read_inside(path).decode())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"network: {path} cannot be read: {why_unreadable(error)}") from None


def origin_of(folder: Path) -> str:
    """Say where the network of the folder of a search or a training comes from; empty where it does not say."""
    if (folder / CARD).is_file():
        return read_known(folder / CARD, "card", Card.from_dict).origin
    if not (folder / STUDY).is_file():
        return ""
    config = read_study(folder)["notes"].get("config", {})
    bounds = config.get("constraints", {})
    limits = ", ".join(f"{name} {_number(bound)}" for name, bound in _items(bounds) if bound is not None)
    return f"Found by a search of the space {config.get('space', '?')}{f', limits: {limits}' if limits else ''}."


def card_of_search(folder: Path, architecture: Architecture) -> Card:
    """Return what the record of a search says of its best network: its score is the best one out of several."""
    study = read_study(folder)
    config = study["notes"].get("config", {})
    trained = [trial for trial in read_trials(folder) if trial.trained and trial.state != State.FAILED]
    data = dict(_items(study["notes"].get("data", {})))
    task = task_named(data.get("task", DEFAULT.name))
    recipe = best_recipe(folder)
    ours = [trial for trial in trained if (trial.arch_id, dict(trial.recipe)) == (architecture.arch_id, recipe)]
    own = [trial for trial in ours if task.objective in trial.scores][:1]
    main, folds = task.score(task.default), data.get("fold_images")
    images = sum(folds) if isinstance(folds, list) else data.get("val_images")
    scores = [
        _selected(main, trial.scores[task.objective], len(trained), images, folds=len(trial.folds)) for trial in own
    ]
    scores += [_alone(main, trial.folds, folds) for trial in own if trial.folds]
    return Card(
        name=_named(task, folder.absolute().name),
        scores=tuple(scores),
        training={**dict(_items(config.get("train", {}))), **recipe},
        data=data,
        origin=origin_of(folder),
        limits=task.limits,
    )


def _alone(score: TaskScore, folds: Sequence[Mapping[str, float]], images: object) -> Score:
    """Return the score of the weights that are kept: those of the training without the first fold."""
    how = f"the weights in this folder alone: trained without fold 1 of {len(folds)}, and scored on it"
    count = images[0] if isinstance(images, list) and images else None
    return Score(value=folds[0][score.on_val], split="validation", how=how, images=count, name=score.name)


def _selected(score: TaskScore, value: float, networks: int, images: object, *, folds: int = 0) -> Score:
    """Return the score of the best of some networks, which is too high; with folds it is the mean over these."""
    how = f"mean over {folds} folds, " if folds else ""
    how += f"selected out of {_counted(networks)} by this very score, so expect less; the test split was not read"
    if not isinstance(images, int) or images < 1:
        return Score(value=value, split="validation", how=how, name=score.name)
    low, high = proportion_interval(round(value * images), images) if score.of_images else (None, None)
    how += "; interval over images" if score.of_images else ""
    return Score(value=value, split="validation", how=how, low=low, high=high, images=images, name=score.name)


def _items(values: object) -> list[tuple[Any, Any]]:
    """Return what a record holds under a name, where that is a mapping."""
    return [*values.items()] if isinstance(values, Mapping) else []


def _counted(networks: int) -> str:
    return f"{networks:,} trained network{'s' * (networks != 1)}"


def _number(bound: object) -> str:
    return f"{bound:,.12g}" if isinstance(bound, int | float) else str(bound)
