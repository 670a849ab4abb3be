"""Multi-label classification: any number of classes an image, also none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from nas.errors import DataError
from nas.training.tasks.classification import macro_f1
from nas.training.tasks.tally import Losses, Outputs, reduced
from nas.training.tasks.task import LOSS, Loss, Scale, Score, Tally, Task, without_images

if TYPE_CHECKING:
    from torch import Tensor

    from nas.training.tasks.task import Floats, Ints, Targets

THRESHOLD = 0.5
"""Probability above which an image is said to have a class."""
_SCORES = (
    Score(name="mean_average_precision", words="mean average precision", share=True),
    LOSS,
    Score(name="micro_f1", words="micro F1"),
    Score(name="macro_f1", words="macro F1"),
    Score(name="exact_match", words="share of images with all classes right", share=True, of_images=True),
)


@dataclass(frozen=True, kw_only=True)
class Multilabel(Task):
    """Several classes an image. A network gives a logit a class; targets are float32 of `(n, num_classes)`, 0 or 1."""

    name: str = "multilabel"
    model: str = "multi-label image classifier"
    outputs: str = "classes"
    scores: tuple[Score, ...] = _SCORES
    default: str = _SCORES[0].name
    eight_bits: str = _SCORES[0].name
    activation: str = "sigmoid"
    raw: str = "logits"
    answer: str = "probabilities"
    balances: tuple[str, ...] = ("none", "weights")
    mixes_areas: bool = True
    limits: tuple[str, ...] = (
        f"It names each class with a probability above {THRESHOLD:g}, and none where there is no such one.",
        "Its scores hold for pictures like those of its data set; others may be answered wrongly and with high "
        "probability.",
        "Probabilities are what the sigmoid gives, of each class alone, and not calibrated.",
    )

    def check(self, targets: Targets, names: Sequence[str], what: str) -> None:
        """Raise `DataError` where a class has no training images."""
        missing = [name for name, count in zip(names, targets.sum(axis=0), strict=True) if not count]
        if missing:
            raise DataError(f"{what}: {without_images(missing)}")

    def counts(self, targets: Targets, outputs: int) -> tuple[int, ...]:
        """Return the number of images of each class; an image counts for each that it has."""
        return tuple(int(count) for count in targets.reshape(-1, outputs).sum(axis=0))

    def told(self, target: Any, names: Sequence[str]) -> str:
        """Return the names of the classes."""
        return " | ".join(name for name, has in zip(names, target, strict=True) if has) or "none"

    def strata(self, targets: Targets) -> Ints:
        """Return the rarest class of each image, of equally rare ones the first; where it has none, their number.

        So what is rare is in proportion first, as iterative stratification has it (Sechidis et al. 2011, "On the
        stratification of multi-label data"), but an image's group depends on the image and on counts alone.
        """
        import numpy as np

        counts = np.where(targets > 0, targets.sum(axis=0), np.inf)
        found: Ints = np.where((targets > 0).any(axis=1), counts.argmin(axis=1), targets.shape[1]).astype(np.int64)
        return found

    def loss(self, scale: Scale | None = None, label_smoothing: float = 0.0, weights: Tensor | None = None) -> Loss:
        """Return the binary cross-entropy, a mean over classes.

        Smoothed labels are `label_smoothing / 2` from 0 and from 1: a share of each goes to both answers alike. With
        weights the logarithm of a class that an image has counts so often.
        """
        return partial(_cross_entropy, label_smoothing=label_smoothing, weights=weights)

    def weights(self, targets: Tensor, outputs: int) -> Tensor | None:
        """Return images without a class for each that has it, so that both weigh the same: `(num_classes,)`."""
        have = targets.sum(0)
        return ((len(targets) - have).clamp_min(1) / have.clamp_min(1)).float()

    def train_tally(self) -> Tally:
        """Return what counts the loss."""
        return Losses()

    def tally(self, scale: Scale | None = None) -> Tally:
        """Return what keeps all outputs: a mean average precision needs the order of all images."""
        names = tuple(score.name for score in self.scores if score != LOSS)
        return Outputs(partial(self.of_outputs, scale), names)

    def answers(self, outputs: Floats, scale: Scale | None = None) -> Floats:
        """Return the sigmoid."""
        import numpy as np

        # As tanh, which overflows for none.
        found: Floats = 0.5 * (1 + np.tanh(0.5 * outputs))
        return found

    def measured(self, answers: Floats, targets: Targets) -> Mapping[str, float]:
        """Return all scores but the loss.

        The average precision of a class is that of scikit-learn, without interpolation, and the mean is over the
        classes that have images. F1 and exact matches are at a probability of .5; macro F1 is over the classes that
        have images or are named.
        """
        has, said = targets > 0, answers > THRESHOLD
        right, images, named = (has & said).sum(axis=0), has.sum(axis=0), said.sum(axis=0)
        precisions = [precision for precision in average_precisions(answers, targets) if precision is not None]
        return {
            "mean_average_precision": sum(precisions) / max(1, len(precisions)),
            "micro_f1": float(2 * right.sum() / max(1, images.sum() + named.sum())),
            "macro_f1": macro_f1(right, images, named),
            "exact_match": float((has == said).all(axis=1).mean()),
        }


def _cross_entropy(
    logits: Tensor, labels: Tensor, reduction: str, *, label_smoothing: float, weights: Tensor | None
) -> Tensor:
    import torch.nn.functional as F

    smooth = labels * (1 - label_smoothing) + label_smoothing / 2 if label_smoothing else labels
    each = F.binary_cross_entropy_with_logits(logits, smooth, pos_weight=weights, reduction="none").mean(1)
    return reduced(each, reduction)


def average_precisions(answers: Floats, targets: Targets) -> list[float | None]:
    """Return the average precision of each class, as scikit-learn has it; None of one without images.

    Args:
        answers: `(n, num_classes)`, larger where a class is more likely.
        targets: 1 where an image has the class, likewise.
    """
    from sklearn.metrics import average_precision_score

    pairs = zip(answers.T, targets.T > 0, strict=True)
    return [float(average_precision_score(has, shares)) if has.any() else None for shares, has in pairs]


MULTILABEL = Multilabel()
