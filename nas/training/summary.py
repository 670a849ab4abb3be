"""What trainings of one network came to, with an interval that says what it is of. Never loads torch."""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan
from typing import TYPE_CHECKING, Any

from nas.network.architecture import Architecture
from nas.statistics import mean_interval, proportion_interval

if TYPE_CHECKING:
    from nas.training.data.splits import ImageData

OVER_SEEDS = "mean over seeds, Student's 95 % interval"
OVER_IMAGES = "Clopper-Pearson 95 % interval over the images that it is scored on, chance in training left out"
"""What an interval is of."""


def summary_of(
    architecture: Architecture, data: ImageData, scores: Mapping[int, Mapping[str, float]]
) -> dict[str, Any]:
    """Return plain values: the network, the data, the scores of each seed, and the accuracy with its interval.

    Args:
        architecture: the network.
        data: that it was trained on.
        scores: on the validation split, by seed.
    """
    return {
        "arch_id": architecture.arch_id,
        "data": {**data.record(), "classes": list(data.classes)},
        "scores": {str(seed): dict(one) for seed, one in scores.items()},
        "val_accuracy": accuracy_of([one["val_accuracy"] for one in scores.values()], len(data.val.labels)),
    }


def accuracy_of(values: list[float], images: int) -> dict[str, Any]:
    """Return an accuracy with its 95 % interval, and what that is of.

    It is over the images where seeds tell nothing: there is one, or all gave the same. It is cut to 0 and 1, which no
    accuracy goes beyond; Student's knows nothing of that.

    Args:
        values: of each seed.
        images: that each was scored on.
    """
    mean = sum(values) / len(values)
    low, high = mean_interval(values)
    what = OVER_SEEDS
    if isnan(low):
        low, high = proportion_interval(round(mean * images), images)
        what = OVER_IMAGES
    return {
        "split": "val",
        "value": mean,
        "low": max(0.0, low),
        "high": min(1.0, high),
        "interval": what,
        "images": images,
    }
