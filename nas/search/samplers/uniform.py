"""Uniform draws over the genotypes of a space."""

from __future__ import annotations

import random

from nas.search.samplers.domain import Domain, Draft
from nas.search.samplers.genotype_sampler import History, ProposingSampler, draw_new


class UniformSampler(ProposingSampler):
    """Draws uniformly over the genotypes of a space that hold the limits, no network twice.

    Optuna's random sampler draws uniformly over the options of each decision in turn, so that the few genotypes under
    one option come up as often as the many under another.
    """

    def propose(self, history: History, domain: Domain, rng: random.Random) -> Draft | None:
        return draw_new(domain, rng)
