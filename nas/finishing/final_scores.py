"""Scores of trained weights on the test split. The only place of a finish that reads that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nas.finishing.bench import Job
from nas.training.data.config import DataConfig


@dataclass(frozen=True)
class FinalScores:
    """Scores weights on the test split, in the process that calls it; torch is loaded then."""

    data: DataConfig
    run: Path
    """The run folder, which has the ledger of who read the test split."""
    accelerator: str = "auto"
    """auto, cpu or gpu."""

    def __call__(self, job: Job, weights: Path) -> Mapping[str, float]:
        """Return `Task.scores` of the test split, with `test_` before their names.

        Args:
            job: of which network, with which seed and batch size; the seed is for the ledger.
            weights: file of the weights.

        Raises:
            HeldOutError: this process may not read the test split.
            DataError: the weights or the data cannot be read, or do not fit the network.
            ConfigError, OSError: the ledger was edited, or cannot be written.
        """
        from nas.training.scores_on_test import scores_on_test

        return scores_on_test(
            job.architecture,
            weights,
            self.data,
            job.recipe,
            seed=job.seed,
            run=self.run,
            accelerator=self.accelerator,
        )
