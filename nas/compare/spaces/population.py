"""Networks drawn from a space at random and evaluated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.compare.spaces.complexity import Array
from nas.cost import Cost, value_of
from nas.errors import SpaceError
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


def evaluate_population(
    space: SearchSpace,
    *,
    name: str,
    share: float,
    pool: Pool,
    settings: Settings,
    budget: Budget | None,
    run_dir: Path | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Population:
    """Draw networks uniformly and evaluate them.

    Args:
        space: made for the data at hand.
        name: what messages call the population.
        share: share of the random genotypes that hold the limits; see `nas.compare.spaces.acceptance`.
        pool: where they are evaluated.
        settings: of the draws: how many networks to evaluate (a space that has fewer gives what it has), hard limits,
            the seed, and the score. The error is one less it where it is maximized, and itself where it is minimized.
        budget: of each evaluation.
        run_dir: the folder of the record; a search that is there already is resumed.
        say: takes a line of progress every ten networks.

    Raises:
        SpaceError: no network could be evaluated.
        EvaluationError: evaluations in a row failed alike.
    """
    study = run_search(
        space,
        pool=pool,
        settings=settings,
        sampler="uniform",
        budget=budget,
        max_rejections=_MAX_REJECTIONS,
        run_dir=run_dir,
        resume=run_dir is not None and (run_dir / "study.json").exists(),
        recorders=[_Progress(name, settings.search.trials, say)],
    )
    check_ended(study)
    return population_of(study, name=name, share=share)


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
