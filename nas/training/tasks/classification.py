"""Classification: one class an image, of two or more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from nas.errors import DataError
from nas.training.tasks.tally import reduced
from nas.training.tasks.task import LOSS, Loss, Processes, Scale, Score, Tally, Task, without_images

if TYPE_CHECKING:
    from torch import Tensor

    from nas.training.tasks.task import Floats, Ints, Targets

TOP = 5
"""The likeliest classes that `top5` looks for an image's own among: all of them where there are fewer, so that it is
then 1."""
ACCURACY = Score(name="accuracy", words="accuracy", share=True, of_images=True)
_SCORES = (
    ACCURACY,
    LOSS,
    Score(name="balanced_accuracy", words="balanced accuracy", share=True),
    Score(name="macro_f1", words="macro F1"),
    Score(name=f"top{TOP}", words=f"top-{TOP} accuracy", share=True, of_images=True),
)


@dataclass(frozen=True, kw_only=True)
class Classification(Task):
    """One class an image. A network gives a logit a class; targets are int64 of shape `(n,)`, the places of classes."""

    name: str = "classification"
    model: str = "image classifier"
    outputs: str = "classes"
    scores: tuple[Score, ...] = _SCORES
    default: str = ACCURACY.name
    eight_bits: str = ACCURACY.name
    activation: str = "softmax"
    raw: str = "logits"
    answer: str = "probabilities"
    balances: tuple[str, ...] = ("none", "weights", "sampler")
    mixes_areas: bool = True
    limits: tuple[str, ...] = (
        "It names one of its classes for every picture, also for one that shows none of them.",
        "Its accuracy holds for pictures like those of its data set; others may be answered wrongly and with high "
        "probability.",
        "Probabilities are what softmax gives, and not calibrated.",
    )

    def check(self, targets: Targets, names: Sequence[str], what: str) -> None:
        """Raise `DataError` where a class has no training images."""
        missing = sorted(set(range(len(names))) - set(targets.tolist()))
        if missing:
            raise DataError(f"{what}: {without_images([names[i] for i in missing])}")

    def counts(self, targets: Targets, outputs: int) -> tuple[int, ...]:
        """Return the number of images of each class."""
        import numpy as np

        return tuple(np.bincount(targets, minlength=outputs).tolist())

    def told(self, target: Any, names: Sequence[str]) -> str:
        """Return the name of the class."""
        return names[int(target)]

    def strata(self, targets: Targets) -> Ints:
        """Return the classes."""
        return targets

    def loss(self, scale: Scale | None = None, label_smoothing: float = 0.0, weights: Tensor | None = None) -> Loss:
        """Return the cross-entropy.

        With weights that of an image counts by the weight of its label, what is smoothed off it too, and a mean is over
        images, not over weights.
        """
        return partial(_cross_entropy, label_smoothing=label_smoothing, weights=weights)

    def weights(self, targets: Tensor, outputs: int) -> Tensor | None:
        """Return the weight of each class in the loss, see `class_weights`."""
        return class_weights(targets, outputs)

    def train_tally(self) -> Tally:
        """Return what counts loss and accuracy."""
        return Hits()

    def tally(self, scale: Scale | None = None) -> Tally:
        """Return what counts all scores, by class too."""
        return _ByClass()

    def answers(self, outputs: Floats, scale: Scale | None = None) -> Floats:
        """Return the softmax."""
        import numpy as np

        shares = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        found: Floats = shares / shares.sum(axis=1, keepdims=True)
        return found

    def measured(self, answers: Floats, targets: Targets) -> Mapping[str, float]:
        """Return the accuracy."""
        return {ACCURACY.name: float((answers.argmax(axis=1) == targets).mean())}


class Hits:
    """Sums of loss and hits, kept on the device until they are asked for."""

    def __init__(self) -> None:
        self.count = 0
        self._loss: Tensor | float = 0.0
        self._hits: Tensor | float = 0.0

    def add(self, outputs: Tensor, targets: Tensor, loss: Tensor) -> None:
        """Add a batch: logits `(batch, num_classes)`, labels `(batch,)`, and its mean loss."""
        self.count += len(targets)
        self._loss = self._loss + loss * len(targets)
        self._hits = self._hits + (outputs.argmax(1) == targets).sum()

    def scores(self, processes: Processes) -> dict[str, float]:
        """Return mean loss and accuracy over all processes; 0 of both where nothing was added."""
        import torch

        sums = torch.tensor([float(self._loss), float(self._hits), float(self.count)], dtype=torch.float64)
        loss, hits, count = processes.total(sums).tolist()
        return {"loss": loss / max(1.0, count), "accuracy": hits / max(1.0, count)}


class _ByClass(Hits):
    """Loss and hits, with counts by class."""

    def __init__(self) -> None:
        super().__init__()
        self._counts = ClassCounts()

    def add(self, outputs: Tensor, targets: Tensor, loss: Tensor) -> None:
        """Add a batch: logits `(batch, num_classes)`, labels `(batch,)`, and its mean loss."""
        super().add(outputs, targets, loss)
        self._counts.add(outputs, targets)

    def scores(self, processes: Processes) -> dict[str, float]:
        """Return all scores over all processes."""
        return super().scores(processes) | self._counts.scores(processes.total)


class ClassCounts:
    """Right answers, images and answers of each class, and images whose class is among the likeliest.

    They are kept on the device until they are asked for. Their size is that of the classes, not its square: neither
    of the scores needs to know which classes are taken for which.
    """

    def __init__(self) -> None:
        self._counts: Tensor | None = None
        """int64 of shape `(3 * num_classes + 1,)`; None before the first batch."""

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Add a batch: logits `(batch, num_classes)`, labels `(batch,)`."""
        import torch

        num_classes, named = logits.shape[1], logits.argmax(1)
        likeliest = logits.topk(min(TOP, num_classes), dim=1).indices
        in_top = (likeliest == labels[:, None]).any(1).sum()
        parts = [
            _by_class(labels, num_classes, (named == labels).long()),
            _by_class(labels, num_classes),
            _by_class(named, num_classes),
        ]
        counts = torch.cat([*parts, in_top[None]])
        self._counts = counts if self._counts is None else self._counts + counts

    def scores(self, total: Callable[[Tensor], Tensor] = lambda counts: counts) -> dict[str, float]:
        """Return `balanced_accuracy`, `macro_f1` and `top5` of all batches; 0 of each where there were no images.

        Args:
            total: sums float64 numbers over all processes that count together.
        """
        if self._counts is None:
            return dict.fromkeys(("balanced_accuracy", "macro_f1", "top5"), 0.0)
        numbers = total(self._counts.cpu().double()).long().numpy()
        right, images, named = numbers[:-1].reshape(3, -1)
        return {
            "balanced_accuracy": balanced_accuracy(right, images),
            "macro_f1": macro_f1(right, images, named),
            "top5": int(numbers[-1]) / max(1, int(images.sum())),
        }


def _by_class(classes: Tensor, num_classes: int, values: Tensor | None = None) -> Tensor:
    """Return the sum of values, by default of ones, of each class; no index of some, for which a GPU would wait."""
    import torch

    values = torch.ones_like(classes) if values is None else values
    return torch.zeros(num_classes, dtype=torch.int64, device=classes.device).scatter_add_(0, classes, values)


def class_weights(labels: Tensor, num_classes: int) -> Tensor:
    """Return the weight of each class in the loss: `images / (classes * images of the class)`.

    Together the images of each class weigh the same, and the mean weight of an image is 1, so that a learning rate fits
    as before. It is `class_weight="balanced"` of scikit-learn.

    Args:
        labels: of what is trained on, int64 of shape `(n,)`.
        num_classes: of the data; one without images counts as none and has the weight 0.

    Returns:
        float32 of shape `(num_classes,)`.
    """
    import torch

    counts = torch.bincount(labels, minlength=num_classes).double()
    weights = len(labels) / ((counts > 0).sum() * counts.clamp_min(1))
    return torch.where(counts > 0, weights, 0.0).float()


def balanced_accuracy(right: Ints, images: Ints) -> float:
    """Return the mean recall of the classes that have images: each counts the same, however few images it has.

    It is the balanced accuracy of scikit-learn (Brodersen et al. 2010, "The balanced accuracy and its posterior
    distribution"), not adjusted for chance; 0 where there are no images.

    Args:
        right: images of each class that are told right, `(num_classes,)`.
        images: of each class.
    """
    some = images > 0
    return float((right[some] / images[some]).mean()) if some.any() else 0.0


def macro_f1(right: Ints, images: Ints, named: Ints) -> float:
    """Return the mean F1 of the classes that have images or are named, as scikit-learn and torchmetrics count it.

    F1 is the harmonic mean of precision and recall, `2 * right / (images + named)`; 0 where there are no images.

    Args:
        right: images of each class that are told right, `(num_classes,)`.
        images: of each class.
        named: images that are taken for each class.
    """
    some = images + named > 0
    return float((2 * right[some] / (images + named)[some]).mean()) if some.any() else 0.0


CLASSIFICATION = Classification()


def _cross_entropy(
    logits: Tensor, labels: Tensor, reduction: str, *, label_smoothing: float, weights: Tensor | None
) -> Tensor:
    import torch.nn.functional as F

    if weights is None:
        return F.cross_entropy(logits, labels, label_smoothing=label_smoothing, reduction=reduction)
    each = weights[labels] * F.cross_entropy(logits, labels, label_smoothing=label_smoothing, reduction="none")
    return reduced(each, reduction)
