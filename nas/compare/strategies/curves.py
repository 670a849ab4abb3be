"""What a search had found after so many evaluations, and after so much time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.pareto import growing_hypervolume
from nas.search.study import Study
from nas.search.trial import State, Trial

Array = NDArray[np.float64]

True_ = Callable[[Trial], tuple[float, ...]]
"""Returns the objectives of a trial without noise; larger is better."""


@dataclass(frozen=True)
class Curve:
    """One search."""

    strategy: str
    seed: int
    quality: Array
    """`(evaluations,)`: what it had found after each, larger is better: with one objective the noiseless value of the
    network that looked best, with several the noiseless hypervolume of the trials that were on the front."""
    seconds: Array
    """`(evaluations,)`: time of the search at each."""
    took: float
    """Seconds of the whole search."""
    epochs: float
    """All epochs that it trained."""
    proposals: int
    """With those over a limit and duplicates."""


def curve_of(study: Study, strategy: str, seed: int, true: True_, reference: Sequence[float] | None) -> Curve:
    """Return the curve of a study.

    Args:
        study: it has ended.
        strategy: its name.
        seed: its seed.
        true: what its trials are worth.
        reference: of the hypervolume, for several objectives; larger is better in each.
    """
    done = [trial for trial in study.trials if trial.state is State.COMPLETED]
    signs = np.array([one.sign for one in study.objectives], float)
    seen = np.array([study.values(trial) for trial in done], float).reshape(len(done), len(signs)) * signs
    worth = np.array([true(trial) for trial in done], float).reshape(len(done), len(signs))
    if len(signs) == 1:
        # The first of equal ones stays.
        best = [int(np.argmax(seen[: count + 1, 0])) for count in range(len(done))]
        quality = worth[best, 0] if done else np.zeros(0)
    else:
        assert reference is not None
        quality = np.array(growing_hypervolume(seen, np.array(reference, float), worth))
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


def at(curve: Curve, evaluations: int) -> float:
    """Return the quality after so many evaluations; of a search that had fewer, after its last."""
    return float(curve.quality[min(evaluations, len(curve.quality)) - 1]) if len(curve.quality) else float("nan")


def at_time(curve: Curve, seconds: float) -> float:
    """Return the quality after so much time; nan before the first evaluation."""
    count = int(np.searchsorted(curve.seconds, seconds, side="right"))
    return float(curve.quality[count - 1]) if count else float("nan")
