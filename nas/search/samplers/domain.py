"""Where proposals come from and how they are told apart, and the loop that proposes until something is new."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from nas.cost import Cost
from nas.space.feasible import Candidate

Params = Mapping[str, Any]
"""Values of decisions by name, as those of an Optuna trial."""

_MAX_DRAWS = 200
"""Random proposals that are drawn for one that no trial has tried."""


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """Decisions that a trial may try, with what can be said of them without evaluating them."""

    params: Params
    key: Hashable
    """Equal for equal decisions."""
    cost: Cost | None = None
    """None where it cannot be counted, as in a plain Optuna study."""
    cost_features: tuple[float, ...] = ()
    """The cost as numbers for the surrogate; empty where there is none."""
    candidate: Candidate | None = None
    """What was counted and checked; None where there is no search space."""
    refused: bool = False
    """Whether its decisions of the recipe make none together."""

    @property
    def feasible(self) -> bool:
        """Whether it holds the limits, as far as they can be checked, and its recipe is one."""
        return not self.refused and (self.candidate is None or self.candidate.accepted)


class Domain(Protocol):
    """All that can be proposed. All chance comes from the generator that is given."""

    def observe(self, trial: FrozenTrial) -> None:
        """Take note of what a trial has decided; it may still run."""

    def mark_tried(self, number: int, proposal: Proposal) -> None:
        """Take note of what a trial is going to try, before it has decided anything."""

    def distributions(self) -> Mapping[str, BaseDistribution]:
        """Return the distribution of each decision, as far as there are trials that have made it."""

    def recipe_distributions(self) -> Mapping[str, BaseDistribution]:
        """Return those of them that are of the recipe, by which a network is trained; mostly none."""

    def decisions_in(self, params: Params) -> Params | None:
        """Return those parameters of a trial that are decisions; None where they make no proposal, or not yet."""

    def proposal(self, params: Params) -> Proposal:
        """Return decisions as a proposal."""

    def sample(self, rng: random.Random) -> Proposal | None:
        """Draw a random proposal; None where it does not hold the limits, or there are no decisions yet."""

    def sample_feasible(self, rng: random.Random) -> Proposal | None:
        """Search for a random proposal that holds the limits; None where none is found, or there are no decisions."""

    def mutate(self, proposal: Proposal, rng: random.Random, num_changes: int) -> Proposal | None:
        """Return a proposal with `num_changes` decisions changed; None where it does not hold the limits."""

    def crossover(self, first: Proposal, second: Proposal, rng: random.Random) -> Proposal | None:
        """Return a proposal with each decision from one of two; None where it does not hold the limits."""

    def is_new(self, proposal: Proposal) -> bool:
        """Whether no trial has tried the same network."""

    def of_new_networks(self) -> Domain:
        """Return the domain in which only that is new of which no trial has had the network, by whatever recipe."""

    def sample_untried(self, rng: random.Random) -> Proposal | None:
        """Draw from all that no trial has tried; None where nothing is left, or there are too many to go through."""


def new_proposals(domain: Domain, propose: Callable[[], Proposal | None], attempts: int) -> Iterator[Proposal]:
    """Yield what holds the limits and no trial has tried, of so many calls of `propose`.

    Args:
        domain: tells what is new.
        propose: returns None for what does not hold the limits.
        attempts: calls at most; none more than the proposals that are taken need.
    """
    for _ in range(attempts):
        proposal = propose()
        if proposal is not None and domain.is_new(proposal):
            yield proposal


def first_new(domain: Domain, propose: Callable[[], Proposal | None], attempts: int) -> Proposal | None:
    """Return the first of `new_proposals`; None where there is none."""
    return next(new_proposals(domain, propose, attempts), None)


def random_new(domain: Domain, rng: random.Random) -> Proposal | None:
    """Return a random proposal that no trial has tried, or where there is none left one that some trial has.

    None where no proposal is found that holds the limits, or there are no decisions yet.
    """
    repeated: Proposal | None = None
    for _ in range(_MAX_DRAWS):
        drawn = domain.sample_feasible(rng)
        if drawn is None or domain.is_new(drawn):
            return drawn
        repeated = drawn
    return domain.sample_untried(rng) or repeated
