"""Proposals from a search space with its limits."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Hashable, Mapping

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from nas.errors import NasError
from nas.network.comparison import same_network
from nas.search.samplers.distributions import distribution_of
from nas.search.samplers.domain import Domain, Params, Proposal
from nas.search.samplers.tried import Tried
from nas.space import Genotype, SearchSpace, variation
from nas.space.feasible import Candidate, climb
from nas.space.feasible import examine as examine_genotype

Examine = Callable[[Genotype], Candidate]
"""Counts a genotype, and checks it against limits."""

_MAX_DRAWS = 50
"""Random genotypes that are examined for one that holds the limits, before one is mutated towards them."""
_CACHE_SIZE = 4_000
"""Proposals of a large space that are kept, so that neither their costs nor the ids of their networks are counted
again."""
MAX_ENUMERATED = 50_000
"""Genotypes of the largest space that is gone through for what no trial has tried, and all of whose proposals are
kept."""


class SpaceDomain:
    """A search space. What is over a limit that can be counted is never proposed.

    Cost features are the logarithms of parameters, multiply-adds and activations, and the number of blocks.
    """

    def __init__(self, space: SearchSpace, examine: Examine | None = None) -> None:
        """Take a space, and how its genotypes are examined: by default against its own limits."""
        self._space = space
        self._examine: Examine = examine or (lambda genotype: examine_genotype(space, genotype, space.limits))
        self._distributions = {path: distribution_of(choice) for path, choice in space.decisions().items()}
        self._tried: Tried[Candidate] = Tried()
        self._cache: dict[Hashable, Proposal] = {}
        self._cache_size = max(_CACHE_SIZE, space.size()) if space.size() <= MAX_ENUMERATED else _CACHE_SIZE
        self._infeasible = False
        """Whether mutation has once led to nothing that holds the limits."""
        self._untried: list[Proposal] | None = None
        """All that hold the limits and were not tried; None until they had to be gone through."""

    def distributions(self) -> Mapping[str, BaseDistribution]:
        """Return the distribution of each decision of the space."""
        return self._distributions

    def recipe_distributions(self) -> Mapping[str, BaseDistribution]:
        """Return nothing: all decisions are of the network."""
        return {}

    def decisions_in(self, params: Params) -> Params | None:
        """Return those parameters that are decisions of the space; None where they state no genotype of it."""
        decisions = {name: value for name, value in params.items() if name in self._distributions}
        try:
            self.proposal(decisions)
        except NasError:  # of another space, or not all is decided
            return None
        return decisions

    def observe(self, trial: FrozenTrial) -> None:
        """Take note of the genotype of a trial, once it has one."""
        decisions = self.decisions_in(trial.params)
        if decisions is not None:
            self.mark_tried(trial.number, self.proposal(decisions))

    def mark_tried(self, number: int, proposal: Proposal) -> None:
        """Take note of what a trial tries."""
        assert proposal.candidate is not None
        self._tried.add(proposal, proposal.candidate)

    @property
    def num_tried(self) -> int:
        """Genotypes that trials have tried."""
        return len(self._tried)

    def is_untried(self, params: Params) -> bool:
        """Whether no trial has made these decisions, whatever network they make."""
        return not self._tried.has(frozenset(params.items()))

    def proposal(self, params: Params) -> Proposal:
        """Return a genotype as a proposal.

        Raises:
            NasError: it is none of the space.
        """
        key = frozenset(params.items())
        cached = self._cache.get(key)
        if cached is None:
            if len(self._cache) > self._cache_size:
                self._cache.clear()
            cached = self._cache[key] = _proposal(key, self._examine(dict(params)))
        return cached

    def _if_feasible(self, params: Params) -> Proposal | None:
        proposal = self.proposal(params)
        return proposal if proposal.feasible else None

    def sample(self, rng: random.Random) -> Proposal | None:
        """Draw uniformly over the genotypes; None where the one drawn does not hold the limits."""
        return self._if_feasible(self._space.sample(rng))

    def sample_feasible(self, rng: random.Random) -> Proposal | None:
        """Draw genotypes until one holds the limits; after 50 the nearest one is mutated towards them."""
        nearest: Candidate | None = None
        for _ in range(_MAX_DRAWS):
            drawn = self._examine(self._space.sample(rng))
            if drawn.accepted:
                return self.proposal(drawn.genotype)
            if nearest is None or drawn.distance < nearest.distance:
                nearest = drawn
        if self._infeasible:
            return None
        reached, _ = climb(self._space, self._examine, rng, start=nearest)
        self._infeasible = not reached.accepted
        return self.proposal(reached.genotype) if reached.accepted else None

    def mutate(self, proposal: Proposal, rng: random.Random, num_changes: int) -> Proposal | None:
        """Change decisions to other options, and decide anew what depends on them."""
        if self._space.size() == 1:
            return None
        return self._if_feasible(variation.mutate(self._space, proposal.params, rng, num_changes))

    def crossover(self, first: Proposal, second: Proposal, rng: random.Random) -> Proposal | None:
        """Take each decision from one of two genotypes, or from the one that has it."""
        return self._if_feasible(variation.crossover(self._space, first.params, second.params, rng))

    def is_new(self, proposal: Proposal) -> bool:
        """Whether no trial has tried the same network, also by another genotype."""
        if self._tried.has(proposal.key):
            return False
        assert proposal.candidate is not None
        architecture = proposal.candidate.architecture
        return not any(same_network(architecture, other.architecture) for other in self._tried.of_equal_cost(proposal))

    def of_new_networks(self) -> Domain:
        """Return itself: decisions are those of a network."""
        return self

    def sample_untried(self, rng: random.Random) -> Proposal | None:
        """Draw from all genotypes that hold the limits and are new; None where there is none, or the space is large."""
        if self._space.size() > MAX_ENUMERATED:
            return None
        if self._untried is None:
            self._untried = self.all_feasible()
        self._untried = [proposal for proposal in self._untried if self.is_new(proposal)]
        return rng.choice(self._untried) if self._untried else None

    def all_feasible(self) -> list[Proposal]:
        """Return every genotype that holds the limits; the space must be small."""
        candidates = (self._examine(genotype) for genotype in self._space.enumerate())
        return [_proposal(frozenset(c.genotype.items()), c) for c in candidates if c.accepted]


def _proposal(key: Hashable, candidate: Candidate) -> Proposal:
    cost = candidate.cost
    cost_features: tuple[float, ...] = ()
    if cost is not None:
        blocks = sum(len(section.blocks) for _, section in candidate.architecture.sections())
        cost_features = (math.log1p(cost.params), math.log1p(cost.macs), math.log1p(cost.activations), float(blocks))
    return Proposal(candidate.genotype, key, cost, cost_features, candidate)
