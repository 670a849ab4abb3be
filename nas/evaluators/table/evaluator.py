"""The evaluator that looks a network up."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.evaluation import Budget, Evaluation, report
from nas.evaluators.table.table import Table
from nas.network.architecture import Architecture


class TableEvaluator:
    """Looks scores up in a table; of several repetitions the seed draws one."""

    def __init__(self, table: Table, *, noise: bool = True) -> None:
        """Take a table.

        Args:
            table: see `read_table`.
            noise: draw one of the repetitions; else their mean is given.
        """
        self._table, self._noise = table, noise

    def prepare(self) -> Mapping[str, Any]:
        """Describe the data of the table, as far as it is known, and after how many epochs it has scores."""
        table, space = self._table, self._table.space
        return {
            "name": table.name,
            "input_shape": list(space.input_shape),
            "num_classes": space.num_classes,
            "epochs": table.epochs,
            "networks": len(table),
            "split_fingerprint": table.fingerprint,
        }

    def __call__(self, architecture: Architecture, budget: Budget, seed: int) -> Evaluation:
        """Return the scores after as many epochs as the budget has.

        Raises:
            NasError: the network is not in the table.
        """
        entry = self._table.entry(architecture)
        if entry.curves:
            return self._along(entry.curves, entry.seconds, budget)
        rng = random.Random(seed)
        draw = rng.choice if self._noise else (lambda values: sum(values) / len(values))
        scores = {name: float(draw(values)) for name, values in entry.scores.items()}
        return Evaluation(scores, seconds={"evaluation": entry.seconds})

    def _along(self, curves: Mapping[str, Mapping[int, float]], seconds: float, budget: Budget) -> Evaluation:
        epochs = sorted(set.intersection(*(set(curve) for curve in curves.values())))
        mark = Path(budget.checkpoint) if budget.checkpoint else None
        before = int(mark.read_text()) if mark is not None and mark.exists() else 0
        rows: list[Mapping[str, float]] = []
        reached = before
        for epoch in (known for known in epochs if known <= (budget.epochs or epochs[-1])):
            rows.append({"epoch": float(epoch), **{name: curve[epoch] for name, curve in curves.items()}})
            reached = max(reached, epoch)
            if epoch > before and report(epoch, {name: curve[epoch] for name, curve in curves.items()}):
                break
        if mark is not None:
            mark.write_text(str(reached))
        scores = {name: value for name, value in rows[-1].items() if name != "epoch"} if rows else {}
        spent = seconds * (reached - before) / epochs[-1]
        return Evaluation(scores, tuple(rows), {"evaluation": spent})
