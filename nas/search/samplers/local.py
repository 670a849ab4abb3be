"""Local search: the neighbours of the best network, then those of the next best."""

from __future__ import annotations

import random
from functools import partial

import numpy as np

from nas.pareto import front
from nas.search.samplers.domain import Domain, Proposal, first_new, random_new
from nas.search.samplers.genotype_sampler import GenotypeSampler
from nas.search.samplers.history import History

_RANDOM_TRIALS = 10
_NUM_CENTRES = 10
"""The best trials whose neighbours are proposed."""
_MAX_MUTATIONS = 60
"""Mutations of a network without a new one, after which all its neighbours are taken to be tried."""


class LocalSearchSampler(GenotypeSampler):
    """White et al. 2021, "Exploring the loss landscape in neural architecture search": it climbs from the best.

    It begins with 10 random trials. Where the paper starts anew at random from a local optimum, this continues with the
    neighbours of the next best trial. With several objectives those on the Pareto front come first.
    """

    def propose(self, history: History, domain: Domain, rng: random.Random) -> Proposal | None:
        """Return a new neighbour of the best trial that has one; else a random genotype."""
        if len(history.results) < _RANDOM_TRIALS:
            return random_new(domain, rng)
        values = history.values
        best = set(front(values).tolist())
        order = sorted(range(len(values)), key=lambda index: (index not in best, -float(np.sum(values[index]))))
        for index in order[:_NUM_CENTRES]:
            centre = domain.proposal(history.results[index].params)
            neighbour = first_new(domain, partial(domain.mutate, centre, rng, 1), _MAX_MUTATIONS)
            if neighbour is not None:
                return neighbour
        return random_new(domain, rng)
