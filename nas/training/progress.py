"""A line an epoch for those who wait for a training."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from nas.evaluation import Evaluation
from nas.training.cross_validation import FOLD
from nas.training.tasks.task import LOSS, Task


class Progress:
    """Says the metrics of each epoch, and how long the rest will take."""

    def __init__(self, epochs: int, seeds: int, say: Callable[[str], None], task: Task, *, folds: int = 0) -> None:
        """Start the clock.

        Args:
            epochs: of each training.
            seeds: number of trainings.
            say: told a line an epoch.
            task: whose main score is told.
            folds: that each seed is trained without, one after another; 0: each is trained once.
        """
        self._folds = max(1, folds)
        self._every, self._seeds, self._say, self._score = epochs, seeds, say, task.score(task.default)
        self._started = time.monotonic()
        self._epochs = self._trained = 0

    def epoch(self, seed: int, metrics: Mapping[str, float]) -> None:
        """Say the metrics of an epoch, see `TaskModule.epoch_metrics`; of a fold its number is among them."""
        self._epochs += 1
        epoch, fold = int(metrics["epoch"]), int(metrics.get(FOLD, 0))
        left = self._every * (self._folds * (self._seeds - self._trained) - max(0, fold - 1)) - epoch
        seconds = (time.monotonic() - self._started) / self._epochs * left
        of_seed = f"seed {seed}  " if self._seeds > 1 else ""
        of_seed += f"fold {fold:{len(str(self._folds))}}/{self._folds}  " if fold else ""
        self._say(
            f"  {of_seed}epoch {epoch:{len(str(self._every))}}/{self._every}  "
            f"training {self._of('train', metrics)}  validation {self._of('val', metrics)}  "
            f"{_clock(seconds)} left"
        )

    def _of(self, split: str, metrics: Mapping[str, float]) -> str:
        """Return loss and main score of a split, as far as they are counted."""
        found = ((score.words, metrics.get(f"{split}_{score.name}")) for score in (LOSS, self._score))
        return ", ".join(f"{words} {value:.4f}" for words, value in found if value is not None)

    def again(self, seed: int, why: str) -> None:
        """Say that a training that was done is done again, since its weights are gone or damaged."""
        self._say(f"The weights of seed {seed} {why}. It is trained again:")

    def trained(self, seed: int, evaluation: Evaluation) -> None:
        """Hear that the training with a seed has ended."""
        self._trained += 1


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
