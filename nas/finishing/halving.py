"""Successive halving over networks and learning rates within some seconds.

Jamieson & Talwalkar 2016, "Non-stochastic best arm identification and hyperparameter optimization", with the time of
each rung given, and not the number of its networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from nas.errors import NasError
from nas.finishing.bench import Bench, Contestant, FinishTrial, Measure
from nas.seeds import derived_seed

KEPT = 3
"""Of so many networks on a rung one goes on to the next, with so many times the epochs."""
_RUNGS = 3


@dataclass(frozen=True)
class Rung:
    """What was trained with some number of epochs."""

    epochs: int
    trials: tuple[FinishTrial, ...]
    """The best first; those that failed are left out."""


@dataclass(frozen=True)
class Halving:
    """What successive halving chose."""

    chosen: Contestant
    """The best of the highest rung that has a result."""
    rungs: tuple[Rung, ...]
    """The lowest first."""
    seconds: float
    """That it was given."""
    spent: float
    """That it took, counted at the end of its last training."""
    tried: int
    """Networks with learning rates that have a result on the lowest rung."""
    candidates: int
    """Networks with learning rates that there were to try."""


def epochs_of_rungs(epochs: int) -> list[int]:
    """Return the epochs of the rungs, rising to those of a whole training: a ninth, a third, and all."""
    return sorted({max(1, round(epochs / KEPT**power)) for power in range(_RUNGS)})


def successive_halving(
    contestants: Sequence[Contestant], bench: Bench, measure: Measure, *, phase: str, seconds: float, seed: int
) -> Halving:
    """Try networks with few epochs, the better third of them with three times as many, and so on.

    Every rung has the same share of the seconds; what one leaves is the next one's. On the lowest as many are tried as
    its time holds, in their order; on the highest the better third first and then further ones while there is time.
    Each training has a schedule of its own that ends at a learning rate of 0, so that few epochs rank well, and what
    comes of it depends on no checkpoint.

    Args:
        contestants: networks with recipes of equal epochs, in the order in which they are tried.
        bench: trains.
        measure: the score to choose by, of the validation split.
        phase: of the jobs, whose clock starts with it.
        seconds: for all of it, waiting and what is cut off at the end included.
        seed: of the study.

    Raises:
        NasError: there is nothing to try, or nothing was trained in the time.
    """
    if not contestants:
        raise NasError(f"finish.baseline={phase}: no network was found that holds the limits of the search")
    levels = epochs_of_rungs(contestants[0].recipe.epochs)
    ranked, rungs, spent = list(contestants), list[Rung](), 0.0
    for place, epochs in enumerate(levels):
        until = seconds * ((place + 1) / len(levels))  # the last one ends at `seconds`, to the last bit
        own_seed = derived_seed(seed, "finish", phase, epochs)
        batches = _batches(ranked, first=place == 0, last=place == len(levels) - 1)
        done: list[tuple[Contestant, FinishTrial]] = []
        for batch in batches:
            jobs = [contestant.job(phase, own_seed, epochs=epochs) for contestant in batch]
            trials = bench.run(jobs, until=until)
            ended = [(one, trials[job.key]) for one, job in zip(batch, jobs, strict=True) if job.key in trials]
            spent = max([spent, *(trial.elapsed for _, trial in ended)])
            done += [(one, trial) for one, trial in ended if not trial.reason]
            if len(ended) < len(batch):
                break
        done.sort(key=lambda pair: -measure.of(pair[1]))
        if not done:
            break
        ranked = [contestant for contestant, _ in done]
        rungs.append(Rung(epochs, tuple(trial for _, trial in done)))
    if not rungs:
        raise NasError(
            f"finish.baseline={phase}: no training of {levels[0]} epoch{'s' * (levels[0] != 1)} ended within "
            f"{seconds / len(levels):.0f} s, one of {len(levels)} equal parts of the time"
        )
    return Halving(ranked[0], tuple(rungs), seconds, spent, len(rungs[0].trials), len(contestants))


def _batches(ranked: Sequence[Contestant], *, first: bool, last: bool) -> list[Sequence[Contestant]]:
    """Return what to try on a rung: all on the first, else the better third, then on the last rung the others."""
    if first:
        return [ranked]
    better = ceil(len(ranked) / KEPT)
    return [ranked[:better], *([ranked[better:]] if last and len(ranked) > better else [])]
