"""How many trials of a search will have the budget of each rung."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from nas.evaluation import Budget
from nas.search.budgets.pruning import Pruning

_MOST_TRIALS = 200
"""Of a search that is played through; of a longer one the counts are in proportion."""


def trials_by_rung(pruning: Pruning, full: Budget, trials: int) -> tuple[float, ...]:
    """Return how many of so many trials have the budget of each rung, by playing the search with random scores.

    Which trials are promoted depends on their scores; how many, hardly: with asha one in `eta` of those on a rung.

    Args:
        pruning: what decides who gets more budget; without rungs all trials have the one budget.
        full: the budget of a whole evaluation.
        trials: that begin.
    """
    budgets = pruning.budgets(full)
    played = min(trials, _MOST_TRIALS)
    halving = pruning.halving(budgets, played)
    if halving is None:
        return (float(trials),)
    rng, counts = random.Random(0), Counter[int]()
    waiting = list(range(played))
    while True:
        promoted = halving.next()
        if promoted is None and not waiting:
            return tuple(counts[rung] * trials / played for rung in range(len(budgets)))
        number, rung = promoted or (waiting[0], halving.begin(waiting.pop(0)))
        counts[rung] += 1
        halving.ended(number, (rng.random(),))


def added_epochs(pruning: Pruning, budgets: Sequence[Budget]) -> tuple[int, ...]:
    """Return the epochs that a trial is trained on each rung, in addition to those of the rungs below.

    Args:
        pruning: over epochs a trial goes on from where it was; else it begins anew on each rung.
        budgets: of the rungs, each with its epochs.
    """
    epochs = [budget.epochs or 1 for budget in budgets]
    if not pruning.halves or pruning.fidelity != "epochs":
        return tuple(epochs)
    return tuple(now - before for before, now in zip([0, *epochs], epochs, strict=False))
