"""The evaluator that scores trained weights on the test split. The only one that reads that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nas.evaluation import Budget
from nas.network.architecture import Architecture
from nas.training.data.config import DataConfig
from nas.training.recipe import Recipe


@dataclass(frozen=True)
class FinalScores:
    """Scores weights on the test split, once, with a line in the ledger of the run folder.

    The object is small and picklable; torch is loaded in the process that calls it.
    """

    data: DataConfig
    recipe: Recipe
    """Its batch size is that of the scoring."""
    weights: str
    """File of the weights."""
    run: str
    """The run folder, which has the ledger of who read the test split."""

    def __call__(self, architecture: Architecture, budget: Budget, seed: int) -> Mapping[str, float]:
        """Return `test_accuracy` and `test_loss`.

        Args:
            architecture: the network.
            budget: is not used.
            seed: that it was trained with, for the ledger.

        Raises:
            DataError: the weights or the data cannot be read, or do not fit the network.
        """
        from nas.training.scores_on_test import scores_on_test

        return scores_on_test(architecture, self.weights, self.data, self.recipe, seed=seed, run=self.run)
