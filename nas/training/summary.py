"""What trainings of one network came to, with an interval that says what it is of. Never loads torch."""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan
from typing import TYPE_CHECKING, Any

from nas.evaluation import Evaluation
from nas.network.architecture import Architecture
from nas.statistics import mean_interval, proportion_interval
from nas.training.tasks.task import Score

if TYPE_CHECKING:
    from nas.training.data.splits import ImageData

OVER_SEEDS = "mean over seeds, Student's 95 % interval"
OVER_IMAGES = "Clopper-Pearson 95 % interval over the images that it is scored on, chance in training left out"
"""What an interval is of."""
NO_INTERVAL = "no interval: one training tells none of this score, nor do two or three that came to the same"


def summary_of(
    architecture: Architecture, data: ImageData, evaluations: Mapping[int, Evaluation], *, images: int
) -> dict[str, Any]:
    """Return plain values: the network, the data, the scores of each seed, and the main score with its interval.

    Args:
        architecture: the network.
        data: that it was trained on.
        evaluations: by seed.
        images: that each was scored on.
    """
    main = data.task.score(data.task.default)
    scores = {seed: one.scores for seed, one in evaluations.items()}
    folds = {str(seed): [*map(dict, one.folds)] for seed, one in evaluations.items() if one.folds}
    return {
        "arch_id": architecture.arch_id,
        "data": {**data.record(), "classes": list(data.classes)},
        "scores": {str(seed): dict(one) for seed, one in scores.items()},
        **({"folds": folds} if folds else {}),
        "task": data.task.name,
        main.on_val: score_of(main, [one[main.on_val] for one in scores.values()], images),
    }


def score_of(score: Score, values: list[float], images: int) -> dict[str, Any]:
    """Return a mean score with its 95 % interval, and what that is of.

    It is over the images where seeds tell nothing: there is one, or all gave the same; only the share of images that
    are right has such a one. An interval of what lies from 0 to 1 is cut to that; Student's knows nothing of it.

    Args:
        score: what it is.
        values: of each seed.
        images: that each was scored on.
    """
    mean = sum(values) / len(values)
    low, high = mean_interval(values)
    what = OVER_SEEDS
    if isnan(low) and score.of_images:
        low, high = proportion_interval(round(mean * images), images)
        what = OVER_IMAGES
    ends: tuple[float, float] | tuple[None, None] = (low, high)
    if isnan(low):
        ends, what = (None, None), NO_INTERVAL
    elif score.share:
        ends = (max(0.0, low), min(1.0, high))
    return {"split": "val", "value": mean, "low": ends[0], "high": ends[1], "interval": what, "images": images}
