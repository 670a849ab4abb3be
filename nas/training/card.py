"""What the folder of a training says of its network for whoever exports it. Never loads torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.evaluation import Evaluation
from nas.exporting.card import Card, Score
from nas.training.data.config import DataConfig
from nas.training.recipe import Recipe
from nas.training.summary import OVER_IMAGES, OVER_SEEDS, score_of
from nas.training.tasks.task import Task

if TYPE_CHECKING:
    from nas.training.data.splits import ImageData

_INTERVALS = {OVER_SEEDS: "seeds", OVER_IMAGES: "images"}
"""What an interval is over, in short."""


def card_of_training(
    name: str,
    recipe: Recipe,
    data: ImageData,
    evaluations: Mapping[int, Evaluation],
    *,
    settings: DataConfig,
    images: int,
    origin: str = "",
) -> Card:
    """Return the card of a network that was trained by a recipe.

    Args:
        name: of the folder.
        recipe: how it was trained.
        data: what it was trained on.
        evaluations: what each seed came to on the validation split, by seed; the weights are those of the first.
        settings: of the data, which say what was done to training images and for uneven classes.
        images: that each of them was scored on.
        origin: where the network comes from, in sentences.
    """
    seeds, task = [*evaluations], data.task
    reached = [one.scores[task.objective] for one in evaluations.values()]
    first = evaluations[seeds[0]]
    how = f"one training, with seed {seeds[0]}, whose weights these are"
    scores = [_score(task, reached[:1], images, how)]
    folds = ""
    if first.folds:
        folds = f", each the mean over {len(first.folds)} folds"
        how = f"mean over {len(first.folds)} folds of as many trainings, with seed {seeds[0]}"
        alone = f"the weights in this folder alone: trained without fold 1 of {len(first.folds)}, and scored on it"
        own = _score(task, [first.folds[0][task.objective]], len(data.val.labels), alone)
        scores = [_score(task, reached[:1], images, how), own]
    if len(seeds) > 1:
        how = f"mean of {len(seeds)} trainings with seeds {', '.join(map(str, seeds))}{folds}"
        scores.insert(0, _score(task, reached, images, how))
    seconds = first.seconds.get("evaluation")
    # A card is shipped, and nobody's folders are told with it.
    teacher = {"teacher": Path(recipe.teacher).name} if recipe.teacher is not None else {}
    done_to_data = {"augment": settings.augment, "balance": settings.balance}
    return Card(
        name=f"{task.model[0].upper()}{task.model[1:]} {name}",
        scores=tuple(scores),
        training={**asdict(recipe), **teacher, **done_to_data, "seed": seeds[0], **_rounded("seconds", seconds)},
        data=data.record(),
        origin=origin,
        limits=task.limits,
    )


def _score(task: Task, values: list[float], images: int, how: str) -> Score:
    score = task.score(task.default)
    found = score_of(score, values, images)
    ends = {name: found[name] for name in ("low", "high")}
    how += f"; interval over {_INTERVALS[found['interval']]}" if found["interval"] in _INTERVALS else ""
    return Score(value=found["value"], split="validation", how=how, images=images, name=score.name, **ends)


def _rounded(name: str, seconds: float | None) -> dict[str, Any]:
    return {} if seconds is None else {name: round(seconds, 1)}
