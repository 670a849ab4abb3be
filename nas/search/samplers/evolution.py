"""Regularised evolution: mutate the best of a few of the youngest networks."""

from __future__ import annotations

import random
from typing import Unpack

from nas.errors import ConfigError
from nas.pareto import front
from nas.search.samplers.domain import Domain, Draft
from nas.search.samplers.genotype_sampler import History, Options, ProposingSampler, draw_new

_TRIES = 50


class RegularizedEvolutionSampler(ProposingSampler):
    """Real et al. 2019, "Regularized evolution for image classifier architecture search", algorithm 1.

    The population is the latest `population` trials with a value; a few of them are drawn, and a mutation of the best
    of these is proposed. With several objectives that is one of those that no other of them dominates.
    """

    def __init__(self, seed: int = 0, *, population: int = 20, tournament: int = 5, **options: Unpack[Options]) -> None:
        """Make a sampler; the paper has a population of 100 and tournaments of 25, for 20,000 trials.

        Raises:
            ConfigError: population or tournament below 1.
        """
        if population < 1 or tournament < 1:
            raise ConfigError(
                f"sampler evolution: population >= 1 and tournament >= 1 must hold, but got {population}, {tournament}"
            )
        super().__init__(seed, **options)
        self._population, self._tournament = population, tournament

    def __getstate__(self) -> dict[str, object]:
        return super().__getstate__() | {"population": self._population, "tournament": self._tournament}

    def propose(self, history: History, domain: Domain, rng: random.Random) -> Draft | None:
        alive = history.results[-self._population :]
        if len(alive) < self._population:
            return draw_new(domain, rng)
        drawn = rng.sample(range(len(alive)), min(self._tournament, len(alive)))
        best = rng.choice(front(history.values[-self._population :][drawn]))
        parent = domain.draft(alive[drawn[best]].params)
        for _ in range(_TRIES):
            child = domain.mutate(parent, rng, 1)
            if child is not None and domain.is_new(child):
                return child
        return draw_new(domain, rng)
