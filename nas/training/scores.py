"""How well a classifier does on some images, from its logits: accuracy, classes, calibration, worst mistakes.

Never loads torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.statistics import proportion_interval
from nas.training.tasks.classification import TOP, balanced_accuracy, macro_f1

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CLOPPER_PEARSON = "Clopper-Pearson, 95 %, over the images, of this one network"
"""How the interval of a share of images was found, and what it is of."""
BINS = 15
"""Of confidence, equally wide, for the calibration error: as Guo et al. 2017."""


@dataclass(frozen=True, slots=True)
class ClassScores:
    """How well one class is told."""

    name: str
    """Of the class."""
    images: int
    """That are of it."""
    precision: float
    """Share of the images called so that are of it; 0 where none is called so."""
    recall: float
    """Share of its images that are called so; 0 where there are none."""
    f1: float
    """Harmonic mean of the two."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Images that were classified with about the same confidence."""

    low: float
    """Confidence is above it."""
    high: float
    """And at most this."""
    images: int
    """How many."""
    confidence: float
    """Mean probability of the class that was named."""
    accuracy: float
    """Share of them that is right."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """An image that is classified wrongly."""

    image: int
    """Its place in the split."""
    name: str
    """Its file, where it has one."""
    label: str
    """Its class."""
    predicted: str
    """The class that was named."""
    probability: float
    """That the network gave to the class that was named."""
    of_label: float
    """That it gave to the image's own class."""


@dataclass(frozen=True, slots=True)
class Scores:
    """How well a classifier does on some images."""

    images: int
    """How many."""
    correct: int
    """Of them."""
    accuracy: float
    """The share."""
    low: float
    """Lower end of its Clopper-Pearson 95 % interval, for images drawn independently: of this one network."""
    high: float
    """Upper end."""
    balanced_accuracy: float
    """Mean recall of the classes that have images (`balanced_accuracy`)."""
    macro_f1: float
    """Mean F1 of the classes that have images or are named (`macro_f1`)."""
    top5: float
    """Share of the images whose class is among the `TOP` likeliest."""
    log_loss: float
    """Mean negative log likelihood of the classes, natural logarithm."""
    calibration_error: float
    """Expected calibration error over `BINS` bins (Guo et al. 2017, "On calibration of modern neural networks",
    equation 3)."""
    bins: tuple[Bin, ...]
    """Those that hold images, by confidence."""
    classes: tuple[ClassScores, ...]
    """In order."""
    confusion: tuple[tuple[int, ...], ...]
    """Images of a class (row) by the class that was named (column)."""
    worst: tuple[Mistake, ...]
    """Mistakes, those with the least probability of the image's own class first."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, and what the interval is of."""
        return {"interval": CLOPPER_PEARSON, **asdict(self)}


def scores_of(
    logits: Floats, labels: Ints, classes: Sequence[str], *, names: Sequence[str] = (), worst: int = 24
) -> Scores:
    """Score logits.

    Args:
        logits: `(images, num_classes)`, finite; log probabilities give the same.
        labels: `(images,)`, the classes of the images as numbers.
        classes: their names.
        names: files of the images; empty where they have none.
        worst: number of mistakes to list.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    log_shares = logits - logits.max(axis=1, keepdims=True)
    log_shares = log_shares - np.log(np.exp(log_shares).sum(axis=1, keepdims=True))
    predicted, of_label = log_shares.argmax(axis=1), log_shares[np.arange(len(labels)), labels]
    confidence, correct = np.exp(log_shares.max(axis=1)), predicted == labels
    hits = int(correct.sum())
    low, high = proportion_interval(hits, len(labels))
    numbers = np.arange(len(classes))
    precision, recall, f1, counts = precision_recall_fscore_support(
        labels, predicted, labels=numbers, average=None, zero_division=0.0
    )
    bins = _bins(confidence, correct)
    wrong = np.flatnonzero(~correct)
    matrix = confusion_matrix(labels, predicted, labels=numbers)
    right, of_class, named = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    # Of equal ones the first, as for the class that is named.
    likeliest = np.argsort(-log_shares, axis=1, kind="stable")[:, :TOP]
    order = wrong[np.argsort(of_label[wrong], kind="stable")][:worst]
    return Scores(
        images=len(labels),
        correct=hits,
        accuracy=hits / len(labels),
        low=low,
        high=high,
        balanced_accuracy=balanced_accuracy(right, of_class),
        macro_f1=macro_f1(right, of_class, named),
        top5=float((likeliest == labels[:, None]).any(axis=1).mean()),
        log_loss=float(-of_label.mean()),
        calibration_error=sum(one.images * abs(one.accuracy - one.confidence) for one in bins) / len(labels),
        bins=bins,
        classes=tuple(
            ClassScores(name, int(counts[i]), float(precision[i]), float(recall[i]), float(f1[i]))
            for i, name in enumerate(classes)
        ),
        confusion=tuple(tuple(int(value) for value in row) for row in matrix),
        worst=tuple(
            Mistake(
                image=int(i),
                name=names[i] if names else "",
                label=classes[labels[i]],
                predicted=classes[predicted[i]],
                probability=float(confidence[i]),
                of_label=float(np.exp(of_label[i])),
            )
            for i in order
        ),
    )


def _bins(confidence: Floats, correct: NDArray[np.bool_]) -> tuple[Bin, ...]:
    """Return the bins that hold images; each has its upper end, and not its lower one."""
    place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    return tuple(
        Bin(
            low=number / BINS,
            high=(number + 1) / BINS,
            images=int(inside.sum()),
            confidence=float(confidence[inside].mean()),
            accuracy=float(correct[inside].mean()),
        )
        for number in range(BINS)
        if (inside := place == number).any()
    )
