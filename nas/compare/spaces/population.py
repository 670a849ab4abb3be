"""Networks drawn from a space at random and evaluated."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from nas.compare.spaces.complexity import MIN_NETWORKS, Array
from nas.cost import BATCH_OF_ONE, Cost, Workload, value_of
from nas.errors import NasError, SpaceError
from nas.evaluation import Budget
from nas.search.objectives import Objective
from nas.search.run import run_search
from nas.search.settings import Settings
from nas.search.stopping import check_ended
from nas.search.study import Study
from nas.search.trial import State, Trial
from nas.space import SearchSpace
from nas.workers.pool import Pool

_MAX_REJECTIONS = 200
"""Draws in a row that give nothing new, after which a space counts as exhausted."""
_REPORT_EVERY = 10


@dataclass(frozen=True, slots=True)
class EvaluatedNetwork:
    """A network of a population, with its error."""

    arch_id: str
    error: float
    """One less the score where that is maximized, the score itself where it is minimized."""
    cost: Cost


@dataclass(frozen=True, kw_only=True)
class Population:
    """Different networks of a space, drawn uniformly over its genotypes that hold the limits."""

    name: str
    networks: tuple[EvaluatedNetwork, ...]
    share: float
    """Share of the random genotypes that hold the limits."""
    failed: int = 0
    """Networks whose evaluation gave no score, which are left out."""
    reason: str = ""
    """Why the first of those failed."""

    @property
    def errors(self) -> Array:
        """The error of each network, `(networks,)`."""
        return np.array([network.error for network in self.networks])

    def values(self, metric: str) -> Array:
        """Return a counted cost of each network, `(networks,)`."""
        return np.array([value_of(network.cost, metric) for network in self.networks])


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A space that networks are drawn from."""

    space: SearchSpace
    """Made for the data at hand."""
    name: str
    """What messages call it."""
    share: float
    """Share of its random genotypes that hold the limits; see `nas.compare.spaces.acceptance`."""
    run_dir: Path | None = None
    """The folder of the record; a search that is there already is resumed."""


def evaluate_populations(
    drawn: Sequence[Drawn],
    *,
    pool: Pool,
    settings: Settings,
    budget: Budget | None,
    workload: Workload = BATCH_OF_ONE,
    most_seconds: float | None = None,
    at_once: int = MIN_NETWORKS,
    drop: Callable[[Drawn, NasError], None] | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> list[Population]:
    """Draw networks of several spaces and evaluate them.

    Within a time the spaces take turns, each with the same number of networks, so that it ends all alike. A round that
    would take longer than is left, by the one before it, is not begun: a network that would be cut off is a slow one,
    and without these a space would look other than it is.

    Args:
        drawn: the spaces; each needs a folder where there is a time.
        pool: where they are evaluated.
        settings: as `evaluate_population` takes them.
        budget: of each evaluation.
        workload: batch sizes, where a limit depends on them.
        most_seconds: the time for all of them; a first round is done whatever it takes. None: without turns.
        at_once: networks of each space in a round, at least `MIN_NETWORKS`.
        drop: takes a space of which nothing can be evaluated, and why, and the others go on; None: that ends all.
        say: takes lines of progress.

    Raises:
        NasError: as `evaluate_population`, without `drop`.
    """
    started, trials = time.monotonic(), settings.search.most_trials
    step = max(MIN_NETWORKS, at_once)
    left, populations = list(drawn), list[Population]()
    for count in [trials] if most_seconds is None else [*range(step, trials, step), trials]:
        begun, populations = time.monotonic(), []
        for one in list(left):
            try:
                populations.append(
                    evaluate_population(
                        one, pool=pool, settings=settings, budget=budget, workload=workload, count=count, say=say
                    )
                )
            except NasError as error:
                if drop is None:
                    raise
                left.remove(one)
                drop(one, error)
        now = time.monotonic()
        if most_seconds is not None and now - started + (now - begun) > most_seconds:
            break
    return populations


def evaluate_population(
    drawn: Drawn,
    *,
    pool: Pool,
    settings: Settings,
    budget: Budget | None,
    workload: Workload = BATCH_OF_ONE,
    count: int | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Population:
    """Draw networks uniformly and evaluate them.

    Args:
        drawn: the space.
        pool: where they are evaluated.
        settings: of the draws: how many networks to evaluate (a space that has fewer gives what it has), hard limits,
            the seed, and the score. The error is one less it where it is maximized, and itself where it is minimized.
        budget: of each evaluation.
        workload: batch sizes, where a limit depends on them.
        count: of the networks that the settings say, how many are to be evaluated by the end; None: all.
        say: takes a line of progress every ten networks.

    Raises:
        SpaceError: no network could be evaluated.
        EvaluationError: evaluations in a row failed alike.
    """
    run_dir, trials = drawn.run_dir, settings.search.most_trials
    study = run_search(
        drawn.space,
        pool=pool,
        settings=replace(settings, search=replace(settings.search, trials=count or trials)),
        sampler="uniform",
        budget=budget,
        workload=workload,
        max_rejections=_MAX_REJECTIONS,
        run_dir=run_dir,
        resume=run_dir is not None and (run_dir / "study.json").exists(),
        recorders=[_Progress(drawn.name, trials, say)],
    )
    check_ended(study)
    return population_of(study, name=drawn.name, share=drawn.share)


def population_of(study: Study, *, name: str, share: float) -> Population:
    """Return the networks that a search evaluated; those that were drawn again count once.

    Raises:
        SpaceError: no network was evaluated.
    """
    done = [trial for trial in study.trials if trial.state is State.COMPLETED]
    failed = [trial for trial in study.trials if trial.state is State.FAILED or trial.out_of_memory]
    reason = failed[0].reason if failed else ""
    if not done:
        raise SpaceError(f"{name}: no network could be evaluated: {reason or study.stop_reason}")
    networks = tuple(_network(trial, study.objectives[0]) for trial in done)
    return Population(name=name, networks=networks, share=share, failed=len(failed), reason=reason)


def _network(trial: Trial, objective: Objective) -> EvaluatedNetwork:
    assert trial.arch_id is not None
    assert trial.cost is not None
    score = trial.scores[objective.name]
    return EvaluatedNetwork(trial.arch_id, 1 - score if objective.sign > 0 else score, trial.cost)


class _Progress:
    """A recorder that prints how many networks are evaluated, every `_REPORT_EVERY`."""

    def __init__(self, name: str, trials: int, say: Callable[[str], None]) -> None:
        self._name, self._trials, self._say = name, trials, say

    def begin(self, study: Study) -> None:
        """Print nothing."""

    def proposed(self, study: Study, running: int) -> None:
        """Print nothing."""

    def paused(self, study: Study, trial: Trial) -> None:
        """Print nothing: without a pruner no trial is paused."""

    def ended(self, study: Study, trial: Trial) -> None:
        """Print the number of networks that are evaluated, where it is a multiple of ten or all of them."""
        count = sum(other.trained for other in study.trials)
        if trial.trained and (count % _REPORT_EVERY == 0 or count == self._trials):
            self._say(f"  {self._name}: {count} of {self._trials} networks")

    def end(self, study: Study) -> None:
        """Print nothing: the table has the results."""
