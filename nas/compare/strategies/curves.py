"""The quality that a search has reached, by the number of evaluations and by time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.pareto import growing_hypervolume
from nas.search.study import Study
from nas.search.trial import State, Trial

Array = NDArray[np.float64]

NoiselessObjectives = Callable[[Trial], tuple[float, ...]]
"""Gives the objectives of a trial without noise; larger is better."""


@dataclass(frozen=True)
class Curve:
    """The course of a search."""

    strategy: str
    seed: int
    quality: Array
    """`(evaluations,)`, larger is better: with one objective the noiseless value of the network that was the best by
    its noisy score, with several the noiseless hypervolume of the trials that were on the noisy front."""
    seconds: Array
    """`(evaluations,)`: seconds from the start of the search to the end of each."""
    duration: float
    """Seconds of the whole search."""
    epochs: float
    """Number of epochs of all trials together."""
    proposals: int
    """Number of candidates, with those over a limit and duplicates."""


def curve_of(
    study: Study, strategy: str, seed: int, noiseless: NoiselessObjectives, reference: Sequence[float] | None
) -> Curve:
    """Return the curve of a study.

    Args:
        study: of a search that has ended.
        strategy: name of the strategy.
        seed: of the search.
        noiseless: gives the objectives of a trial without noise.
        reference: point of the hypervolume, for several objectives; larger is better in each.
    """
    done = [trial for trial in study.trials if trial.state is State.COMPLETED]
    signs = np.array([objective.sign for objective in study.objectives], float)
    observed = np.array([study.values(trial) for trial in done], float).reshape(len(done), len(signs)) * signs
    noiseless_values = np.array([noiseless(trial) for trial in done], float).reshape(len(done), len(signs))
    if len(signs) == 1:
        # The first of several equal ones stays the best.
        best = [int(np.argmax(observed[: count + 1, 0])) for count in range(len(done))]
        quality = noiseless_values[best, 0] if done else np.zeros(0)
    else:
        assert reference is not None
        quality = np.array(growing_hypervolume(observed, np.array(reference, float), noiseless_values))
    trained = [trial for trial in study.trials if trial.trained]
    return Curve(
        strategy,
        seed,
        quality,
        np.array([trial.elapsed for trial in done]),
        max((trial.elapsed for trial in study.trials), default=0.0),
        sum(max((row.get("epoch", 0.0) for row in trial.history), default=0.0) for trial in trained),
        len(study.trials),
    )


def quality_after(curve: Curve, evaluations: int) -> float:
    """Return the quality after a number of evaluations; of a search that had fewer, after its last."""
    return float(curve.quality[min(evaluations, len(curve.quality)) - 1]) if len(curve.quality) else float("nan")


def quality_at(curve: Curve, seconds: float) -> float:
    """Return the quality after some seconds; nan before the end of the first evaluation."""
    count = int(np.searchsorted(curve.seconds, seconds, side="right"))
    return float(curve.quality[count - 1]) if count else float("nan")
