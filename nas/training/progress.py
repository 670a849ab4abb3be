"""A line an epoch for those who wait for a training."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from nas.evaluation import Evaluation


class Progress:
    """Says the metrics of each epoch, and how long the rest will take."""

    def __init__(self, epochs: int, seeds: int, say: Callable[[str], None]) -> None:
        """Start the clock.

        Args:
            epochs: of each training.
            seeds: number of trainings.
            say: told a line an epoch.
        """
        self._every, self._seeds, self._say = epochs, seeds, say
        self._started = time.monotonic()
        self._epochs = self._trained = 0

    def epoch(self, seed: int, metrics: Mapping[str, float]) -> None:
        """Say the metrics of an epoch, see `Classification.epoch_metrics`."""
        self._epochs += 1
        epoch = int(metrics["epoch"])
        left = self._every * (self._seeds - self._trained) - epoch
        seconds = (time.monotonic() - self._started) / self._epochs * left
        of_seed = f"seed {seed}  " if self._seeds > 1 else ""
        self._say(
            f"  {of_seed}epoch {epoch:{len(str(self._every))}}/{self._every}  "
            f"training loss {metrics['train_loss']:.4f}, accuracy {metrics['train_accuracy']:.4f}  "
            f"validation loss {metrics['val_loss']:.4f}, accuracy {metrics['val_accuracy']:.4f}  "
            f"{_clock(seconds)} left"
        )

    def trained(self, seed: int, evaluation: Evaluation) -> None:
        """Hear that the training with a seed has ended."""
        self._trained += 1


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
