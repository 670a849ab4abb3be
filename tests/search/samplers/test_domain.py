"""The loop that proposes until something is new, and what it is given to tell that."""

from __future__ import annotations

import random
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution

import nas
from nas.search.samplers import space_domain
from nas.search.samplers.domain import Proposal, first_new, new_proposals, random_new
from nas.search.samplers.observed_domain import ObservedDomain
from nas.search.samplers.space_domain import SpaceDomain
from nas.space import Genotype
from nas.space.feasible import Candidate
from nas.space.feasible import examine as examine_genotype
from tests.search.conftest import SMALL


def _proposals(*names: str | None) -> list[Proposal | None]:
    """One a name; None does not hold the limits."""
    return [None if name is None else Proposal({"x": name}, frozenset({("x", name)})) for name in names]


def test_only_what_is_new_and_holds_the_limits_is_yielded_and_no_more_is_proposed_than_is_taken() -> None:
    domain, given = ObservedDomain(), _proposals("a", None, "b", "a", "c")
    tried, _, new, _, last = given
    assert tried is not None
    domain.mark_tried(0, tried)
    waiting = list(given)
    proposals = new_proposals(domain, lambda: waiting.pop(0), 5)
    assert next(proposals) is new
    assert len(waiting) == 2
    assert list(proposals) == [last]
    assert first_new(domain, iter(given * 2).__next__, 2) is None, "attempts are counted"


_DECISIONS = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 1), min_size=1)


@given(tried=st.lists(_DECISIONS, max_size=12), asked=_DECISIONS)
def test_what_states_all_decisions_of_a_trial_is_not_new(tried: list[dict[str, int]], asked: dict[str, int]) -> None:
    """Whatever the order is in which trials asked: against each trial in turn."""
    domain, anywhere = ObservedDomain(), CategoricalDistribution((0, 1))
    for number, params in enumerate(tried):
        distributions: dict[str, BaseDistribution] = dict.fromkeys(params, anywhere)
        trial = optuna.trial.create_trial(params=params, distributions=distributions, value=0.0)
        trial.number = number
        domain.observe(trial)
    assert domain.is_new(domain.proposal(asked)) == (not any(params.items() <= asked.items() for params in tried))


class _Draws:
    """A domain that draws what it is given."""

    def __init__(self, drawn: list[Proposal | None], untried: Proposal | None) -> None:
        self.drawn, self.untried, self.tried = drawn, untried, drawn[0]

    def sample_feasible(self, rng: random.Random) -> Proposal | None:
        return self.drawn.pop(0) if len(self.drawn) > 1 else self.drawn[0]

    def is_new(self, proposal: Proposal) -> bool:
        return proposal is not self.tried

    def sample_untried(self, rng: random.Random) -> Proposal | None:
        return self.untried


def test_a_random_proposal_is_new_where_there_is_one() -> None:
    tried, new, other = _proposals("a", "b", "c")

    def drawn(*proposals: Proposal | None, untried: Proposal | None = None) -> Proposal | None:
        domain: Any = _Draws(list(proposals), untried)
        return random_new(domain, random.Random(0))

    assert drawn(tried, tried, new, other) is new
    assert drawn(tried, None, new) is None, "nothing holds the limits"
    assert drawn(tried, untried=other) is other
    assert drawn(tried) is tried


def test_without_trials_there_is_nothing_to_propose() -> None:
    domain = ObservedDomain()
    assert domain.sample(random.Random(0)) is None
    assert random_new(domain, random.Random(0)) is None


def test_mutations_and_crossovers_are_of_the_space() -> None:
    space = nas.SearchSpace.from_dict(SMALL)
    domain, rng = SpaceDomain(space), random.Random(0)
    first, second = (domain.proposal(space.sample(seed)) for seed in (1, 2))
    for child in (domain.mutate(first, rng, 1), domain.crossover(first, second, rng), domain.sample_feasible(rng)):
        assert child is not None
        assert child.feasible
        assert domain.decisions_in({**child.params, "lr": 0.1}) == child.params
        assert child.cost == nas.cost_of(space.decode(child.params))
    domain.mark_tried(0, first)
    assert (domain.num_tried, domain.is_untried(first.params), domain.is_untried(second.params)) == (1, False, True)
    assert (domain.is_new(first), domain.is_new(second)) == (False, True)


def test_of_a_space_that_can_be_gone_through_nothing_is_counted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space_domain, "_CACHE_SIZE", 10)
    space = nas.SearchSpace.from_dict(SMALL)
    counted: list[frozenset[tuple[str, Any]]] = []

    def examine(genotype: Genotype) -> Candidate:
        counted.append(frozenset(genotype.items()))
        return examine_genotype(space, genotype, ())

    domain = SpaceDomain(space, examine)
    genotypes = list(space.enumerate())
    for genotype in genotypes * 2:
        assert domain.proposal(genotype).params == genotype
    assert len(counted) == len(set(counted)) == space.size() == len(genotypes)


def test_of_a_large_space_only_the_latest_proposals_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space_domain, "_CACHE_SIZE", 10)
    monkeypatch.setattr(space_domain, "MAX_ENUMERATED", 900)  # the space has 999
    space = nas.SearchSpace.from_dict(SMALL)
    domain = SpaceDomain(space)
    for genotype in space.enumerate():
        domain.proposal(genotype)
    assert len(domain._cache) <= 11
