"""Counts of a classifier's answers by class, batch by batch, and the scores that follow from them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from nas.training.scores import TOP, balanced_accuracy, macro_f1


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
    values = torch.ones_like(classes) if values is None else values
    return torch.zeros(num_classes, dtype=torch.int64, device=classes.device).scatter_add_(0, classes, values)
