"""Local search: the neighbours of the best network, then those of the next best."""

from __future__ import annotations

import random

import numpy as np

from nas.pareto import front
from nas.search.samplers.domain import Domain, Draft
from nas.search.samplers.genotype_sampler import History, ProposingSampler, draw_new

_START = 10
_TRIES = 60
"""Mutations without a new network after which a network counts as one whose neighbours are all known."""


class LocalSearchSampler(ProposingSampler):
    """White et al. 2021, "Exploring the loss landscape in neural architecture search": it climbs from the best.

    It begins with 10 random trials. Where the paper starts anew at random from a local optimum, this goes on with the
    neighbours of the next best trial. With several objectives those on the Pareto front come first.
    """

    def propose(self, history: History, domain: Domain, rng: random.Random) -> Draft | None:
        if len(history.results) < _START:
            return draw_new(domain, rng)
        values = history.values
        best = set(front(values).tolist())
        order = sorted(range(len(values)), key=lambda place: (place not in best, -float(np.sum(values[place]))))
        for place in order[:_START]:
            centre = domain.draft(history.results[place].params)
            for _ in range(_TRIES):
                neighbour = domain.mutate(centre, rng, 1)
                if neighbour is not None and domain.is_new(neighbour):
                    return neighbour
        return draw_new(domain, rng)
