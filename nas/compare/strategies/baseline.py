"""The comparison of a search with the random candidates of its own baseline, `search.baseline_fraction`."""

from __future__ import annotations

from math import isnan

import numpy as np

from nas.search.study import Study
from nas.search.trial import State, Trial
from nas.statistics import unpaired


def baseline_lines(study: Study) -> list[str]:
    """Return the comparison of the sampler's candidates with random ones by the first objective; empty without any."""
    # A random candidate that was evaluated before counts with that result: without it the others would be worse than
    # random candidates are. Those of the sampler count once.
    done = [trial for trial in study.trials if _counts(trial)]
    sign = study.objectives[0].sign
    own = np.array([sign * study.judged(trial) for trial in done if not trial.baseline and not trial.design])
    random = np.array([sign * study.judged(trial) for trial in done if trial.baseline])
    if not any(trial.baseline for trial in study.trials):
        return []
    if min(len(random), len(own)) < 2:
        return ["Random baseline: too few candidates were evaluated to compare with"]
    difference = unpaired(own, random)
    words = {"better": "the search beat it", "worse": "it beat the search", "not shown": "no difference is shown"}
    interval = (
        "all of each alike"
        if isnan(difference.low)
        else f"95 % interval {min(sign * difference.low, sign * difference.high):+.4f} to "
        f"{max(sign * difference.low, sign * difference.high):+.4f}, p {difference.p:.2g}"
    )
    lines = [
        f"Random baseline: {len(random)} of {len(done)} candidates. Mean {study.objective} of the search's own "
        f"{sign * own.mean():.4f}, of the random ones {sign * random.mean():.4f}: {sign * difference.mean:+.4f}, "
        f"{interval}: {words.get(difference.verdict, difference.verdict)}"
    ]
    lines.append(
        f"Best of the {len(random)} random ones {sign * random.max():.4f}; best of as many of the search's own, on "
        f"average, {sign * _expected_best(own, len(random)):.4f}"
    )
    return lines


def _counts(trial: Trial) -> bool:
    answered = trial.baseline and trial.state is State.DUPLICATE and bool(trial.scores) and not trial.reason
    return trial.state is State.COMPLETED or answered


def _expected_best(values: np.ndarray[tuple[int], np.dtype[np.float64]], count: int) -> float:
    """Return the expected maximum of `count` values drawn from `values` with replacement."""
    order = np.sort(values)
    chance = (np.arange(1, len(order) + 1) / len(order)) ** count
    return float(np.diff(chance, prepend=0.0) @ order)
