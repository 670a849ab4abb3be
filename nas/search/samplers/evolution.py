"""Regularised evolution: mutate the best of a few of the youngest networks."""

from __future__ import annotations

import random
from functools import partial
from typing import Unpack

from nas.errors import ConfigError
from nas.pareto import front
from nas.search.samplers.domain import Domain, Proposal, first_new, random_new
from nas.search.samplers.genotype_sampler import GenotypeSampler, Options
from nas.search.samplers.history import History

_MAX_MUTATIONS = 50
"""Mutations of a parent for one that is new, before a random genotype is proposed."""


class RegularizedEvolutionSampler(GenotypeSampler):
    """Real et al. 2019, "Regularized evolution for image classifier architecture search", algorithm 1.

    The population is the latest `population` trials with a value; a few of them are drawn, and a mutation of the best
    of these is proposed. With several objectives that is one of those that no other of them dominates.
    """

    def __init__(self, seed: int = 0, *, population: int = 20, tournament: int = 5, **options: Unpack[Options]) -> None:
        """Make a sampler; the paper has a population of 100 and tournaments of 25, for 20,000 trials.

        Args:
            seed: the same seed gives the same proposals.
            population: trials among which parents are looked for.
            tournament: of them, so many are drawn for each proposal.
            options: see `Options`.

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
        """Return the arguments of the constructor."""
        return super().__getstate__() | {"population": self._population, "tournament": self._tournament}

    def propose(self, history: History, domain: Domain, rng: random.Random) -> Proposal | None:
        """Return a mutation of the winner of a tournament; a random genotype until the population is complete."""
        alive = history.results[-self._population :]
        if len(alive) < self._population:
            return random_new(domain, rng)
        drawn = rng.sample(range(len(alive)), min(self._tournament, len(alive)))
        best = rng.choice(front(history.values[-self._population :][drawn]))
        parent = domain.proposal(alive[drawn[best]].params)
        return first_new(domain, partial(domain.mutate, parent, rng, 1), _MAX_MUTATIONS) or random_new(domain, rng)
