"""Proposals from a search space, each with decisions of the recipe that it is trained by."""

from __future__ import annotations

import random
from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from nas.network.comparison import same_network
from nas.search.samplers.distributions import nearby_value, recipe_distribution, recipe_distributions
from nas.search.samplers.domain import Domain, Params, Proposal
from nas.search.samplers.space_domain import MAX_ENUMERATED, SpaceDomain
from nas.search.samplers.tried import Tried
from nas.space import SearchSpace
from nas.space.feasible import Candidate
from nas.training.recipe_decisions import PREFIX, RecipeDecisions, with_prefix, without_prefix

_LEAST_SHARE = 1 / 3
"""Of the changes of a mutation so many at least are of the recipe, however many decisions the network has: what one of
its settings does to a score is not less for that."""
_SAME_WITHIN = 1 / 32
"""Numbers that are no further apart than this share of their ranges are taken for the same of one network: what they
change is less than the noise of a training, and a search that refines them tries no other network meanwhile."""
_MAX_DRAWS = 100
"""Random recipes that are drawn for one that is a recipe."""


class RecipeDomain:
    """A search space beside the decisions of a recipe: one network by two recipes is two proposals.

    Networks are decoded, counted and checked by `SpaceDomain`, once for each genotype, whatever it is trained by. What
    is over a limit that can be counted, or makes no recipe, is never proposed.
    """

    def __init__(self, space: SearchSpace, networks: SpaceDomain, recipe: RecipeDecisions) -> None:
        """Take a space, its domain, and the decisions of the recipe."""
        self._size, self._networks, self._recipe = space.size(), networks, recipe
        self._tried: Tried[tuple[Candidate, Mapping[str, Any]]] = Tried()
        """Networks, with the recipes that they were tried by."""
        self._only_new_networks = False
        self._untried: list[Proposal] | None = None
        """All that is feasible and was not tried; None until it had to be gone through."""

    def distributions(self) -> Mapping[str, BaseDistribution]:
        """Return the distribution of each decision, those of the recipe last."""
        return {**self._networks.distributions(), **self.recipe_distributions()}

    def recipe_distributions(self) -> Mapping[str, BaseDistribution]:
        """Return those of the recipe."""
        return recipe_distributions(self._recipe)

    def decisions_in(self, params: Params) -> Params | None:
        """Return those parameters that are decisions; None where they state no network, or not all of a recipe."""
        genotype, values = self._networks.decisions_in(params), without_prefix(params)
        if genotype is None or not self._recipe.states(values):
            return None
        return {**genotype, **with_prefix(values)}

    def observe(self, trial: FrozenTrial) -> None:
        """Take note of what a trial has decided, once that is all."""
        decisions = self.decisions_in(trial.params)
        if decisions is not None:
            self.mark_tried(trial.number, self.proposal(decisions))

    def mark_tried(self, number: int, proposal: Proposal) -> None:
        """Take note of what a trial tries."""
        assert proposal.candidate is not None
        self._tried.add(proposal, (proposal.candidate, without_prefix(proposal.params)))

    @property
    def num_tried(self) -> int:
        """Genotypes with a recipe that trials have tried."""
        return len(self._tried)

    def is_untried(self, params: Params) -> bool:
        """Whether no trial has made these decisions, whatever network they make."""
        return not self._tried.has(frozenset(params.items()))

    def proposal(self, params: Params) -> Proposal:
        """Return decisions as a proposal; without any of the recipe those that come nearest to its defaults.

        Raises:
            NasError: they state no genotype of the space.
        """
        values = without_prefix(params) or self._recipe.nearest()
        return self._with(self._network(params), values)

    def _network(self, params: Params) -> Proposal:
        return self._networks.proposal({name: value for name, value in params.items() if not name.startswith(PREFIX)})

    def _with(self, network: Proposal, values: Mapping[str, Any]) -> Proposal:
        params = {**network.params, **with_prefix(values)}
        refused = bool(self._recipe.problem(values))
        return replace(network, params=params, key=frozenset(params.items()), refused=refused)

    def _if_feasible(self, network: Proposal | None, values: Mapping[str, Any]) -> Proposal | None:
        if network is None:
            return None
        proposal = self._with(network, values)
        return proposal if proposal.feasible else None

    def sample(self, rng: random.Random) -> Proposal | None:
        """Draw uniformly over the genotypes, with random decisions of the recipe; None where it is not feasible."""
        return self._if_feasible(self._networks.sample(rng), self._recipe.draw(rng))

    def sample_feasible(self, rng: random.Random) -> Proposal | None:
        """Search for a random network that holds the limits, and draw decisions until they make a recipe."""
        network = self._networks.sample_feasible(rng)
        drawn = (self._if_feasible(network, self._recipe.draw(rng)) for _ in range(_MAX_DRAWS))
        return next((one for one in drawn if one is not None), None) if network is not None else None

    def mutate(self, proposal: Proposal, rng: random.Random, num_changes: int) -> Proposal | None:
        """Change decisions of the network, of the recipe, or of both; the recipe has a third of them at least."""
        network, values = self._network(proposal.params), without_prefix(proposal.params)
        share = max(_LEAST_SHARE, len(values) / len(proposal.params))
        of_recipe = num_changes if self._size == 1 else sum(rng.random() < share for _ in range(num_changes))
        changed = self._changed(values, of_recipe, rng) if of_recipe else values
        if of_recipe < num_changes:
            return self._if_feasible(self._networks.mutate(network, rng, num_changes - of_recipe), changed)
        return self._if_feasible(network, changed)

    def _changed(self, values: Mapping[str, Any], count: int, rng: random.Random) -> dict[str, Any]:
        """Change some decisions of a recipe, and draw those that others make active."""
        kept, decisions = dict(values), self._recipe.decisions
        for name in rng.sample(sorted(values), min(count, len(values))):
            kept[name] = nearby_value(recipe_distribution(decisions[name]), values[name], rng)
        return self._recipe.chosen(lambda one: kept[one.name] if one.name in kept else one.draw(rng))

    def crossover(self, first: Proposal, second: Proposal, rng: random.Random) -> Proposal | None:
        """Take each decision from one of two, or from the one that has it."""
        network = self._networks.crossover(self._network(first.params), self._network(second.params), rng)
        recipes = without_prefix(first.params), without_prefix(second.params)
        names = sorted({*recipes[0], *recipes[1]})
        taken = {name: rng.choice([recipe[name] for recipe in recipes if name in recipe]) for name in names}
        values = self._recipe.chosen(lambda one: taken[one.name] if one.name in taken else one.draw(rng))
        return self._if_feasible(network, values)

    def is_new(self, proposal: Proposal) -> bool:
        """Whether no trial has tried the same network by nearly the same recipe, also by another genotype."""
        if self._tried.has(proposal.key):
            return False
        assert proposal.candidate is not None
        architecture, values = proposal.candidate.architecture, without_prefix(proposal.params)
        return not any(
            (self._only_new_networks or self._recipe.are_near(values, recipe, _SAME_WITHIN))
            and same_network(architecture, other.architecture)
            for other, recipe in self._tried.of_equal_cost(proposal)
        )

    def of_new_networks(self) -> Domain:
        """Return it as a domain in which a network that was tried is not new by any recipe."""
        other = copy(self)
        other._only_new_networks = True
        return other

    def sample_untried(self, rng: random.Random) -> Proposal | None:
        """Draw from all that is feasible and new; None where nothing is, or there is too much to go through."""
        recipes = self._recipe.recipes
        if recipes is None or self._size * len(recipes) > MAX_ENUMERATED:
            return None
        if self._untried is None:
            made = (self._with(network, values) for network in self._networks.all_feasible() for values in recipes)
            self._untried = [proposal for proposal in made if proposal.feasible]
        self._untried = [proposal for proposal in self._untried if self.is_new(proposal)]
        return rng.choice(self._untried) if self._untried else None
