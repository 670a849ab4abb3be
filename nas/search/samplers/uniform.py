"""Uniform sampling over the genotypes of a space."""

from __future__ import annotations

import random

from nas.search.samplers.domain import Domain, Proposal, random_new
from nas.search.samplers.genotype_sampler import GenotypeSampler
from nas.search.samplers.history import History


class UniformSampler(GenotypeSampler):
    """Draws uniformly over the genotypes of a space that hold the limits, no network twice.

    Optuna's random sampler draws uniformly over the options of each decision in turn, so that the few genotypes under
    one option come up as often as the many under another.
    """

    def propose(self, history: History, domain: Domain, rng: random.Random) -> Proposal | None:
        """Return a random genotype that no trial has tried."""
        return random_new(domain, rng)
