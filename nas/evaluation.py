"""What the search loop asks of whatever scores an architecture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from nas.network.architecture import Architecture


@dataclass(frozen=True, slots=True)
class Budget:
    """How much may be spent on one evaluation."""

    epochs: int | None = None
    """Epochs of training; None is what the recipe says."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What an evaluator found."""

    scores: Mapping[str, float]
    """By name, e.g. `val_accuracy`."""
    history: tuple[Mapping[str, float], ...] = ()
    """One row of metrics an epoch."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Where the time went, by name, e.g. `train_steps`."""


class Evaluator(Protocol):
    """Scores an architecture. Training is one; a tabular benchmark, a cheap proxy or a plain function are others.

    It may return a number, which then is the score searched for, a dict of scores, or an `Evaluation`. It may raise:
    the trial is then recorded as failed with the error as its reason.
    """

    def __call__(
        self, architecture: Architecture, budget: Budget, seed: int, /
    ) -> float | Mapping[str, float] | Evaluation: ...
