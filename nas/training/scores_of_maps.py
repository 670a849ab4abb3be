"""How well a network tells the class of each pixel. Never loads torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nas.training.scores_of_answers import AnswerScores, OutputScores, Wrong
from nas.training.tasks.segmentation import IGNORED, confusion_of, ious_of, scores_of_confusion
from nas.training.tasks.task import Task

Maps = NDArray[np.uint8]
"""Classes of pixels, `(images, height, width)`."""
_DRAWS = 2000
"""Of the images, with replacement."""
_ENDS = (2.5, 97.5)
"""Percentiles of an interval."""
BOOTSTRAP = "bootstrap over the images, 95 %, of this one network"


def scores_of_maps(
    task: Task, told: Maps, masks: Maps, classes: Sequence[str], *, names: Sequence[str] = (), worst: int = 24
) -> AnswerScores:
    """Score classes of pixels.

    An interval is of the images that might have been in the split: the percentiles of scores of 2,000 draws of as many
    images with replacement, from one seed (Efron & Tibshirani 1993, "An introduction to the bootstrap", chapter 13).

    Args:
        task: segmentation.
        told: what a network says.
        masks: what is right.
        classes: their names.
        names: files of the images; empty where they have none.
        worst: number of images to list: those with the largest share of wrong pixels, of those that count; none without
            such a pixel.
    """
    count = len(classes)
    each = np.stack([confusion_of(one, mask)[:count, :count] for one, mask in zip(told, masks, strict=True)])
    total = each.sum(axis=0)
    counted = (masks != IGNORED).sum(axis=(1, 2))
    off = 1 - np.trace(each, axis1=1, axis2=2) / np.maximum(counted, 1)
    off[counted == 0] = 0
    order = np.argsort(-off, kind="stable")[: min(worst, np.count_nonzero(off))]
    return AnswerScores(
        task=task.name,
        images=len(masks),
        scores=scores_of_confusion(total),
        intervals=_intervals(each),
        outputs=tuple(_output(name, place, total, masks) for place, name in enumerate(classes)),
        worst=tuple(
            Wrong(
                image=int(i),
                name=names[i] if names else "",
                label=task.told(masks[i], classes),
                predicted=f"{task.told(told[i], classes)}, {off[i]:.1%} of pixels wrong",
                off=float(off[i]),
            )
            for i in order
        ),
        interval=BOOTSTRAP,
    )


def _intervals(each: NDArray[np.int64]) -> dict[str, tuple[float, float]]:
    """Return the 95 % intervals of both scores, by the confusion matrix of each image, `(images, classes, classes)`."""
    rng, count = np.random.default_rng(0), len(each)
    drawn = [scores_of_confusion(_drawn(each, rng, count)) for _ in range(_DRAWS)]
    ends = {}
    for name in drawn[0]:
        low, high = np.percentile([scores[name] for scores in drawn], _ENDS)
        ends[name] = float(low), float(high)
    return ends


def _drawn(each: NDArray[np.int64], rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Return the sum of the matrices of as many images, drawn with replacement."""
    times = np.bincount(rng.integers(0, count, count), minlength=count)
    found: NDArray[np.int64] = np.tensordot(times, each, axes=1)
    return found


def _output(name: str, place: int, confusion: NDArray[np.int64], masks: Maps) -> OutputScores:
    """Return how well a class is told; nothing of one without pixels that is told of none."""
    right, pixels, named = confusion[place, place], confusion[place].sum(), confusion[:, place].sum()
    iou = float(ious_of(confusion)[place])
    scores: dict[str, float | None] = {
        "iou": None if np.isnan(iou) else iou,
        "precision": float(right / named) if named else None,
        "recall": float(right / pixels) if pixels else None,
        "share_of_pixels": float(pixels / max(1, confusion.sum())),
    }
    return OutputScores(name, int((masks == place).any(axis=(1, 2)).sum()), scores)
