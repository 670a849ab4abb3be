"""Choosing the winner: finalists are trained seed by seed, and those that can no longer win are dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, sqrt
from statistics import fmean, variance

from scipy.stats import t

from nas.errors import NasError
from nas.finishing.bench import CHOOSE, Bench, Contestant, FinishTrial, Job, Measure

DROP_BELOW = 0.05
"""A finalist is dropped where its chance of a higher mean than the leader's, when all seeds are trained, is below."""


@dataclass(frozen=True)
class Race:
    """How the winner was chosen."""

    winner: int
    """Place of the winner among the finalists."""
    scores: tuple[tuple[float, ...], ...]
    """Of each finalist, a score a seed, as the measure has them: larger is better."""
    dropped: tuple[str, ...]
    """Why each left the race before its end, or nothing."""
    out_of_time: bool = False
    """Whether the time for choosing was up before all seeds were trained."""


def race(
    finalists: Sequence[Contestant],
    seeds: Sequence[int],
    bench: Bench,
    measure: Measure,
    *,
    until: float = inf,
) -> Race:
    """Train finalists with the first seed, then those still in the race with the second, and so on.

    All have the same seeds. From the second on finalists that can no longer win are dropped (`beaten`). Where the time
    is up, the means over the seeds that all who are in the race were trained with decide, and where no training has
    ended by then, the order of the search. One finalist alone wins without a training.

    Args:
        finalists: in the order of the search.
        seeds: of which none is used elsewhere.
        bench: trains.
        measure: the score to choose by.
        until: seconds of the phase after which nothing is trained.

    Raises:
        NasError: the training of every finalist failed.
    """
    if len(finalists) == 1:
        return Race(0, ((),), ("",))
    scores: list[list[float]] = [[] for _ in finalists]
    dropped = [""] * len(finalists)
    racing, late = list(range(len(finalists))), False
    for round_number, seed in enumerate(seeds, start=1):
        racing.sort(key=lambda i: -fmean(scores[i] or [0.0]))  # the best first, where the time is short
        jobs = {i: finalists[i].job(CHOOSE, seed) for i in racing}
        trials = bench.run([*jobs.values()], until=until)
        late = _enter(jobs, trials, scores, dropped, measure)
        racing = [i for i in racing if not dropped[i]]
        if late or len(racing) < 2:
            break
        for i, chance in beaten({i: scores[i] for i in racing}, len(seeds) - round_number).items():
            dropped[i] = f"after {round_number} seeds its chance to win was {chance:.0%}"
        racing = [i for i in racing if not dropped[i]]
        if len(racing) < 2:
            break
    return Race(_winner(racing, scores, dropped), tuple(map(tuple, scores)), tuple(dropped), late)


def _enter(
    jobs: Mapping[int, Job],
    trials: Mapping[str, FinishTrial],
    scores: list[list[float]],
    dropped: list[str],
    measure: Measure,
) -> bool:
    """Enter the trials of a round, and drop what failed; returns whether the time was up before its end."""
    late = False
    for i, job in jobs.items():
        trial = trials.get(job.key)
        if trial is None:
            late = True
        elif trial.reason:
            dropped[i] = f"its training failed: {trial.reason}"
        else:
            scores[i].append(measure.of(trial))
    return late


def _winner(racing: Sequence[int], scores: Sequence[Sequence[float]], dropped: Sequence[str]) -> int:
    """Return the one with the best mean over the seeds that all in the race have; of equal ones the search's better."""
    if not racing:
        raise NasError(f"no finalist could be trained to choose the winner: {next(filter(None, dropped))}")
    trained = [i for i in sorted(racing) if scores[i]]
    if not trained:
        return min(racing)
    common = min(len(scores[i]) for i in trained)
    return max(trained, key=lambda i: (fmean(scores[i][:common]), -i))


def beaten(scores: Mapping[int, Sequence[float]], seeds_left: int) -> dict[int, float]:
    """Return who can no longer win, with the chance of it.

    The chance that its mean over all seeds is above the leader's, given what both have so far: of the predictive
    distribution of the remaining differences, Student's with the variance pooled over all in the race. With r seeds
    trained of R, and D behind, P(t > D sqrt(R r / (2 (R - r))) / s). Who has a chance below `DROP_BELOW` is beaten.

    Args:
        scores: of those in the race, equally many each; larger is better.
        seeds_left: that are still to be trained.
    """
    trained = min(len(values) for values in scores.values())
    if trained < 2 or seeds_left < 1:
        return {}
    means = {i: fmean(values) for i, values in scores.items()}
    leader = max(means, key=lambda i: (means[i], -i))
    std = sqrt(fmean(variance(values) for values in scores.values()))
    freedom = len(scores) * (trained - 1)
    factor = sqrt((trained + seeds_left) * trained / (2 * seeds_left))
    found = {}
    for i, mean in means.items():
        behind = means[leader] - mean
        without_noise = 0.0 if behind > 0 else 0.5
        chance = float(t.sf(behind * factor / std, freedom)) if std > 0 else without_noise
        if i != leader and chance < DROP_BELOW:
            found[i] = chance
    return found
