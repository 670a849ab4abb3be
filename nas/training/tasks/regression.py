"""Regression: one or several numbers an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from nas.errors import DataError
from nas.training.tasks.tally import Losses, Outputs, reduced
from nas.training.tasks.task import LOSS, Loss, Scale, Score, Tally, Task

if TYPE_CHECKING:
    from torch import Tensor

    from nas.training.tasks.task import Floats, Ints, Targets

_R2 = Score(name="r2", words="R2")
_SCORES = (
    Score(name="rmse", words="root mean squared error", larger_is_better=False),
    LOSS,
    Score(name="mae", words="mean absolute error", larger_is_better=False),
    _R2,
)


@dataclass(frozen=True, kw_only=True)
class Regression(Task):
    """Numbers. A network gives each as `Scale` has it; targets are float32 of `(n, numbers)`, in their own units.

    Scores are in these units, and of several numbers the mean over them.
    """

    name: str = "regression"
    model: str = "image regressor"
    outputs: str = "numbers"
    scores: tuple[Score, ...] = _SCORES
    default: str = _SCORES[0].name
    eight_bits: str = _R2.name
    activation: str = "scale"
    raw: str = "standardised"
    answer: str = "numbers"
    balances: tuple[str, ...] = ("none",)
    mixes_areas: bool = False
    limits: tuple[str, ...] = (
        "It gives a number for every picture, also for one where that means nothing, and does not say how sure it is.",
        "Its errors hold for pictures like those of its data set; others may be answered wrongly.",
        "Beyond the numbers of its training images it was never shown what is right.",
    )

    def check(self, targets: Targets, names: Sequence[str], what: str) -> None:
        """Raise `DataError` where a number is the same for all training images."""
        same = [name for name, values in zip(names, targets.T, strict=True) if (values == values[0]).all()]
        if same:
            raise DataError(
                f"{what}: all training images have the same {', '.join(same[:5])}: there is nothing to learn"
            )

    def counts(self, targets: Targets, outputs: int) -> tuple[int, ...]:
        """Return the number of images, which all have each number."""
        return (len(targets),) * outputs

    def told(self, target: Any, names: Sequence[str]) -> str:
        """Return the numbers with their names."""
        return ", ".join(f"{name} {float(number):g}" for name, number in zip(names, target, strict=True))

    def strata(self, targets: Targets) -> Ints:
        """Return one group: a split by content is not in proportion to numbers, so that none is moved for another."""
        import numpy as np

        return np.zeros(len(targets), dtype=np.int64)

    def scale(self, targets: Targets) -> Scale | None:
        """Return mean and deviation of each number over the training split."""
        exact = targets.astype("float64")
        return Scale(tuple(exact.mean(axis=0).tolist()), tuple(exact.std(axis=0).tolist()))

    def loss(self, scale: Scale | None = None, label_smoothing: float = 0.0, weights: Tensor | None = None) -> Loss:
        """Return the squared error of standardised numbers, a mean over them; there are no labels to be smoothed."""
        assert scale is not None
        return _SquaredError(scale)

    def train_tally(self) -> Tally:
        """Return what counts the loss."""
        return Losses()

    def tally(self, scale: Scale | None = None) -> Tally:
        """Return what keeps all outputs."""
        names = tuple(score.name for score in self.scores if score != LOSS)
        return Outputs(partial(self.of_outputs, scale), names)

    def answers(self, outputs: Floats, scale: Scale | None = None) -> Floats:
        """Return the numbers in their own units."""
        import numpy as np

        assert scale is not None
        found: Floats = outputs * np.array(scale.std) + np.array(scale.mean)
        return found

    def measured(self, answers: Floats, targets: Targets) -> Mapping[str, float]:
        """Return all scores but the loss, as scikit-learn has them; R2 of numbers that are all the same is 0."""
        import numpy as np

        errors = answers - targets
        squared = np.square(errors).mean(axis=0)
        spread = np.square(targets - targets.mean(axis=0)).mean(axis=0)
        explained = 1 - squared[spread > 0] / spread[spread > 0]
        return {
            "rmse": float(np.sqrt(squared).mean()),
            "mae": float(np.abs(errors).mean()),
            "r2": float(explained.sum() / len(squared)),
        }


class _SquaredError:
    """Squared errors of standardised numbers; it goes to other processes as it is."""

    def __init__(self, scale: Scale) -> None:
        import torch

        self._ends = torch.tensor([scale.mean, scale.std])

    def __call__(self, outputs: Tensor, numbers: Tensor, reduction: str, /) -> Tensor:
        self._ends = self._ends.to(outputs.device)  # once
        mean, std = self._ends
        return reduced((outputs - (numbers - mean) / std).square().mean(1), reduction)


REGRESSION = Regression()
