"""How long a sampler takes to propose, learned from results that are made up."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from statistics import median

import optuna
from optuna.samplers import BaseSampler

from nas.cost import Constraint
from nas.search.config import Config
from nas.search.optuna_study import enqueue
from nas.search.samplers import proposer
from nas.search.samplers.distributions import suggest_recipe
from nas.seeds import derived_seed
from nas.space import Genotype, SearchSpace
from nas.space.feasible import Candidate, examine

_TIMED = 3


def proposal_seconds(
    config: Config, space: SearchSpace, known: Sequence[Candidate], limits: Sequence[Constraint]
) -> float:
    """Return the median seconds of a proposal to a search that knows the scores of some networks.

    The scores are random: what a sampler does with them takes as long as with others.

    Args:
        config: of the search.
        space: made for its data.
        known: candidates that hold the limits.
        limits: of the search.
    """

    def examined(genotype: Genotype) -> Candidate:
        return examine(space, genotype, limits, config.workload)

    seed, objectives = derived_seed(config.seed, "probe", "proposals"), len(config.search.objectives)
    decided, options = config.decided, config.sampler.options
    made = proposer(config.sampler.name, seed, space, examined, recipe=decided, options=options)
    study = optuna.create_study(directions=["maximize"] * objectives)
    rng, seconds = random.Random(seed), []
    for candidate in known:
        trial = enqueue(study, space, candidate.genotype, decided, decided.draw(rng))
        study.tell(trial, [rng.random() for _ in range(objectives)])
    for number in range(_TIMED):
        started = time.monotonic()
        study.sampler = made if isinstance(made, BaseSampler) else made(seed + number)
        trial = study.ask()
        space.suggest(trial)
        suggest_recipe(decided, trial)
        seconds.append(time.monotonic() - started)
    return median(seconds)
