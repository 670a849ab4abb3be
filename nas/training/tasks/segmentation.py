"""Semantic segmentation: one class a pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from nas.errors import DataError
from nas.training.tasks.tally import Losses, reduced
from nas.training.tasks.task import LOSS, Loss, Pixels, Processes, Scale, Score, Tally, Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from nas.training.tasks.task import Floats, Ints, Targets

IGNORED = 255
"""What a mask holds where nothing is said of a pixel: it counts neither in the loss nor in scores."""
MOST_CLASSES = IGNORED
"""Of a mask with 8 bits a pixel."""
_SCORES = (
    Score(name="mean_iou", words="mean intersection over union", share=True),
    LOSS,
    Score(name="pixel_accuracy", words="pixel accuracy", share=True),
)


@dataclass(frozen=True, kw_only=True)
class Segmentation(Task):
    """One class a pixel. A network gives a map of logits a class, as large as its input.

    Targets are masks, uint8 of `(n, height, width)`: the places of classes, or `IGNORED`. They have the size of the
    data's images; what networks of other sizes give is resized to it, bilinearly, so that all are scored by the same
    pixels.
    """

    name: str = "segmentation"
    model: str = "segmentation network"
    outputs: str = "classes"
    network: Literal["classification", "segmentation"] = "segmentation"
    dense: bool = True
    scores: tuple[Score, ...] = _SCORES
    default: str = _SCORES[0].name
    eight_bits: str = _SCORES[0].name
    activation: str = "softmax"
    raw: str = "logits"
    answer: str = "probabilities"
    balances: tuple[str, ...] = ("none", "weights")
    mixes_areas: bool = False
    limits: tuple[str, ...] = (
        "It names one of its classes for every pixel, also where none of them is shown.",
        "Its scores hold for pictures like those of its data set, at their size; others may be answered wrongly.",
        "Each pixel is told by itself: it does not tell objects of one class apart, nor count them.",
    )

    def out_shapes(self, outputs: int, size: Pixels) -> tuple[tuple[int, ...], ...]:
        """Return one map a class, as large as the input."""
        return ((outputs, *size),)

    def check(self, targets: Targets, names: Sequence[str], what: str) -> None:
        """Raise `DataError` where a class has no pixel in any training image."""
        counts = self.counts(targets, len(names))
        missing = [name for name, count in zip(names, counts, strict=True) if not count]
        if missing:
            raise DataError(
                f"{what}: {len(missing)} classes have no pixel in training images: {', '.join(missing[:5])}"
            )

    def counts(self, targets: Targets, outputs: int) -> tuple[int, ...]:
        """Return the number of images that have pixels of each class; an image counts for each that it has."""
        return tuple(int(count) for count in _present(targets)[:, :outputs].sum(axis=0))

    def told(self, target: Any, names: Sequence[str]) -> str:
        """Return the names of the classes that have pixels."""
        present = _present(target[None])[0]
        return " | ".join(name for place, name in enumerate(names) if present[place]) or "none"

    def strata(self, targets: Targets) -> Ints:
        """Return the class of each image that the fewest images have, of equal ones the first; `IGNORED` for none.

        So what is rare is in proportion first, as in `Multilabel.strata`.
        """
        import numpy as np

        has = _present(targets)
        counts = np.where(has, has.sum(axis=0), np.inf)
        found: Ints = np.where(has.any(axis=1), counts.argmin(axis=1), IGNORED).astype(np.int64)
        return found

    def loss(self, scale: Scale | None = None, label_smoothing: float = 0.0, weights: Tensor | None = None) -> Loss:
        """Return the cross-entropy: of an image the mean over its pixels that are not `IGNORED`, 0 where all are.

        With weights a pixel counts by that of its class.
        """
        return partial(_cross_entropy, label_smoothing=label_smoothing, weights=weights)

    def weights(self, targets: Tensor, outputs: int) -> Tensor | None:
        """Return weights `(classes,)` by which all pixels of each class weigh the same together, 1 in the mean."""
        import torch

        counts = torch.bincount(targets.flatten(), minlength=IGNORED + 1)[:outputs].float()
        return counts.sum() / (outputs * counts.clamp_min(1))

    def train_tally(self) -> Tally:
        """Return what counts the loss."""
        return Losses()

    def tally(self, scale: Scale | None = None) -> Tally:
        """Return what adds up a confusion matrix."""
        return _Confusion()

    def answers(self, outputs: Floats, scale: Scale | None = None) -> Targets:
        """Return the class of each pixel, uint8 of `(n, height, width)`, of logits `(n, classes, height, width)`."""
        import numpy as np

        found: Targets = outputs.argmax(axis=1).astype(np.uint8)
        return found

    def measured(self, answers: Targets, targets: Targets) -> Mapping[str, float]:
        """Return all scores but the loss, of classes of pixels `(n, height, width)`.

        They are of the confusion matrix of all pixels together that are not `IGNORED`. The mean of intersections over
        unions is over the classes that have pixels or are told of some (as scikit-learn's `jaccard_score`, macro).
        """
        return scores_of_confusion(confusion_of(answers, targets))


def at_size(logits: Tensor, size: Sequence[int]) -> Tensor:
    """Return logits `(batch, classes, height, width)` at another size: bilinear, antialiased where it is smaller.

    That is what `nas.exporting.preprocess.resize_matrix` does, of which an exported model has it.
    """
    import torch.nn.functional as F

    if tuple(logits.shape[2:]) == tuple(size):
        return logits
    return F.interpolate(
        logits.float(), tuple(size), mode="bilinear", antialias=True
    )  # not there in 16 bits everywhere


def confusion_of(answers: Targets, targets: Targets) -> Ints:
    """Return how many pixels of each class are told as each, `(256, 256)`; those that are `IGNORED` are left out."""
    import numpy as np

    counted = targets != IGNORED
    pairs = targets[counted].astype(np.int64) * (IGNORED + 1) + answers[counted]
    found: Ints = np.bincount(pairs, minlength=(IGNORED + 1) ** 2).reshape(IGNORED + 1, IGNORED + 1)
    return found


def ious_of(confusion: Ints) -> Floats:
    """Return intersection over union of each class, NaN of one that has no pixels and is told of none.

    Args:
        confusion: pixels of each class, a row, that are told as each, a column; `(..., classes, classes)`.
    """
    import numpy as np

    right = confusion.diagonal(axis1=-2, axis2=-1)
    union = confusion.sum(axis=-1) + confusion.sum(axis=-2) - right
    found: Floats = np.where(union > 0, right / np.maximum(union, 1), np.nan)
    return found


def scores_of_confusion(confusion: Ints) -> dict[str, float]:
    """Return mean intersection over union and pixel accuracy; 0 of both where no pixel counts."""
    import numpy as np

    ious, count = ious_of(confusion), int(confusion.sum())
    if not count:
        return {"mean_iou": 0.0, "pixel_accuracy": 0.0}
    return {"mean_iou": float(np.nanmean(ious)), "pixel_accuracy": float(np.trace(confusion) / count)}


class _Confusion(Losses):
    """Losses, with a confusion matrix that is kept on the device until it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self._pixels: Tensor | None = None
        """int64 of `(classes * classes,)`: how many of each class are told as each; None before the first batch."""

    def add(self, outputs: Tensor, targets: Tensor, loss: Tensor) -> None:
        """Add a batch: logits `(batch, classes, height, width)`, masks, and its mean loss."""
        import torch

        super().add(outputs, targets, loss)
        classes = outputs.shape[1]
        told = at_size(outputs, targets.shape[1:]).argmax(1)
        # What is ignored goes to a place behind the matrix: nobody waits to hear how many these are.
        pairs = torch.where(targets == IGNORED, classes * classes, targets.long() * classes + told)
        pixels = torch.bincount(pairs.flatten(), minlength=classes * classes + 1)[:-1]
        self._pixels = pixels if self._pixels is None else self._pixels + pixels

    def scores(self, processes: Processes) -> dict[str, float]:
        """Return all scores over all processes; 0 of each where nothing was added."""
        found = super().scores(processes)
        if self._pixels is None:
            return found | dict.fromkeys([score.name for score in _SCORES if score != LOSS], 0.0)
        total = processes.total(self._pixels.double()).long().numpy()
        classes = round(len(total) ** 0.5)
        return found | scores_of_confusion(total.reshape(classes, classes))


def _present(targets: Targets) -> NDArray[np.bool_]:
    """Return which classes have pixels in each mask, `(n, IGNORED)`."""
    import numpy as np

    rows = [np.bincount(mask.ravel(), minlength=IGNORED + 1)[:IGNORED] > 0 for mask in targets]
    return np.stack(rows) if rows else np.zeros((0, IGNORED), dtype=np.bool_)


def _cross_entropy(
    logits: Tensor, masks: Tensor, reduction: str, *, label_smoothing: float, weights: Tensor | None
) -> Tensor:
    import torch.nn.functional as F

    each = F.cross_entropy(
        at_size(logits, masks.shape[1:]),
        masks.long(),
        weight=None if weights is None else weights.to(logits.dtype),
        ignore_index=IGNORED,
        reduction="none",
        label_smoothing=label_smoothing,
    )
    counted = (masks != IGNORED).flatten(1).sum(1)
    return reduced(each.flatten(1).sum(1) / counted.clamp_min(1), reduction)


SEGMENTATION = Segmentation()
