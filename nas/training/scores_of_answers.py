"""How well a network does on some images that have several classes each, or numbers. Never loads torch.

What has one class an image is scored in `nas.training.scores`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.statistics import proportion_interval
from nas.training.scores import CLOPPER_PEARSON
from nas.training.tasks.multilabel import MULTILABEL, THRESHOLD, average_precisions
from nas.training.tasks.regression import REGRESSION
from nas.training.tasks.task import Task

Floats = NDArray[np.float64]
NO_INTERVAL = "none of these scores has an interval"


@dataclass(frozen=True, slots=True)
class OutputScores:
    """How well one class, or one number, is told."""

    name: str
    """Of it."""
    images: int
    """That have the class; of a number all."""
    scores: dict[str, float | None]
    """By name; None of what images without the class do not say."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """An image that the network is much wrong about."""

    image: int
    """Its place in the split."""
    name: str
    """Its file, where it has one."""
    label: str
    """What it is to be told as."""
    predicted: str
    """What it is told as."""
    off: float
    """By how much: of classes the mean difference of probabilities from 0 or 1, of numbers the mean of differences in
    units of the deviation of their training split, of classes of pixels the share of those that are wrong."""


@dataclass(frozen=True, slots=True)
class AnswerScores:
    """How well a network does on some images."""

    task: str
    images: int
    """How many."""
    scores: dict[str, float]
    """`Task.measured`."""
    intervals: dict[str, tuple[float, float]]
    """95 % intervals of those that have one: shares of images, and scores of pixels."""
    outputs: tuple[OutputScores, ...]
    """Of each class or number, in order."""
    worst: tuple[Wrong, ...]
    """Images, those that it is most wrong about first."""
    interval: str
    """How the intervals were found, and what they are of, or that there are none."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, with the scores by their names."""
        return {**self.scores, **asdict(self)}


def scores_of_answers(
    task: Task,
    answers: Floats,
    targets: NDArray[np.float32],
    classes: Sequence[str],
    *,
    deviations: Sequence[float] = (),
    names: Sequence[str] = (),
    worst: int = 24,
) -> AnswerScores:
    """Score answers of a multi-label task, or of a regression.

    Args:
        task: which.
        answers: probabilities, or numbers, `(images, outputs)`, finite.
        targets: what they are to be, likewise.
        classes: names of the outputs.
        deviations: of numbers, over the training split; empty where there are none.
        names: files of the images; empty where they have none.
        worst: number of images to list, of those that are not told as they are to be.
    """
    found, count = dict(task.measured(answers, targets)), len(targets)
    shares = [score.name for score in task.scores if score.of_images and score.name in found]
    off = np.abs(answers - targets) / (np.array(deviations) if len(deviations) else 1.0)
    mean_off = off.mean(axis=1)
    outputs = _classes(answers, targets, classes) if task == MULTILABEL else _numbers(answers, targets, classes)
    said = (answers > THRESHOLD) if task == MULTILABEL else answers
    order = np.argsort(-mean_off, kind="stable")
    order = order[(said != targets).any(axis=1)[order]][:worst]  # what is told as it is to be is no mistake
    return AnswerScores(
        task=task.name,
        images=count,
        scores=found,
        intervals={name: proportion_interval(round(found[name] * count), count) for name in shares},
        outputs=outputs,
        worst=tuple(
            Wrong(
                image=int(i),
                name=names[i] if names else "",
                label=task.told(targets[i], classes),
                predicted=task.told(said[i], classes),
                off=float(mean_off[i]),
            )
            for i in order
        ),
        interval=CLOPPER_PEARSON if shares else NO_INTERVAL,
    )


def _classes(answers: Floats, targets: NDArray[np.float32], classes: Sequence[str]) -> tuple[OutputScores, ...]:
    has, said = targets > 0, answers > THRESHOLD
    right, images, named = (has & said).sum(axis=0), has.sum(axis=0), said.sum(axis=0)
    precisions = average_precisions(answers, targets)
    return tuple(
        OutputScores(
            name,
            int(images[i]),
            {
                "average_precision": precisions[i],
                "precision": float(right[i] / named[i]) if named[i] else 0.0,
                "recall": float(right[i] / images[i]) if images[i] else 0.0,
                "f1": float(2 * right[i] / max(1, images[i] + named[i])),
            },
        )
        for i, name in enumerate(classes)
    )


def _numbers(answers: Floats, targets: NDArray[np.float32], names: Sequence[str]) -> tuple[OutputScores, ...]:
    one = [REGRESSION.measured(answers[:, i : i + 1], targets[:, i : i + 1]) for i in range(len(names))]
    return tuple(OutputScores(name, len(targets), dict(found)) for name, found in zip(names, one, strict=True))
