"""Networks with recipes as proposals, and what the surrogate of the default sampler knows of them."""

from __future__ import annotations

import pickle
import random
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution

import nas
from nas.search.samplers.domain import random_new
from nas.search.samplers.encoding import Encoding
from nas.search.samplers.recipe_domain import RecipeDomain
from nas.search.samplers.space_domain import SpaceDomain
from nas.search.samplers.surrogate import Features, Surrogate
from nas.space import Genotype
from nas.space.feasible import Candidate, examine
from nas.training.recipe_decisions import RecipeDecisions, recipe_decisions, with_prefix, without_prefix
from tests.search.conftest import SMALL

SPACE = nas.SearchSpace.from_dict({**SMALL, "limits": {"params": 6000}})
RECIPE = recipe_decisions(
    {
        "lr": [1e-4, 1e-1],
        "optimizer": ["sgd", "adamw"],
        "momentum": [0.5, 0.99],
        "trivial_augment": [True, False],
        "rand_augment": [0, 2],
    }
)


def _domain(recipe: RecipeDecisions = RECIPE, space: nas.SearchSpace = SPACE) -> RecipeDomain:
    return RecipeDomain(space, SpaceDomain(space), recipe)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 3))
def test_whatever_is_proposed_is_a_network_within_limits_with_a_recipe(seed: int, changes: int) -> None:
    domain, rng = _domain(), random.Random(seed)
    first, second = domain.sample_feasible(rng), domain.sample_feasible(rng)
    assert first is not None
    assert second is not None
    varied = domain.mutate(first, rng, changes), domain.crossover(first, second, rng)
    found = [first, second, domain.sample(rng), *varied]
    for proposal in (one for one in found if one is not None):
        assert proposal.feasible
        assert proposal.cost is not None
        assert proposal.cost.params <= 6000
        assert RECIPE.states(without_prefix(proposal.params))
        assert RECIPE.problem(without_prefix(proposal.params)) == ""
        assert domain.decisions_in(proposal.params) == proposal.params
        assert domain.proposal(proposal.params).key == proposal.key
        assert proposal.candidate is not None
        assert SPACE.decode(proposal.candidate.genotype).arch_id == proposal.candidate.architecture.arch_id


def test_a_mutation_changes_recipes_in_a_third_of_the_cases_and_takes_most_of_both_over() -> None:
    domain, rng = _domain(recipe_decisions({"lr": [1e-4, 1e-1]})), random.Random(0)
    start = domain.sample_feasible(rng)
    assert start is not None
    mutations = [one for one in (domain.mutate(start, rng, 1) for _ in range(400)) if one is not None]
    changed = [one for one in mutations if one.params["recipe.lr"] != start.params["recipe.lr"]]
    assert 0.25 < len(changed) / 400 < 0.42
    genotype = {name: value for name, value in start.params.items() if name != "recipe.lr"}
    for one in mutations:
        same_network = {name: value for name, value in one.params.items() if name != "recipe.lr"} == genotype
        assert same_network == (one in changed)


def test_one_network_by_two_recipes_is_two_proposals_counted_once() -> None:
    counted: list[Genotype] = []

    def spy(genotype: Genotype) -> Candidate:
        counted.append(genotype)
        return examine(SPACE, genotype, SPACE.limits)

    domain = RecipeDomain(SPACE, SpaceDomain(SPACE, spy), recipe_decisions({"lr": [1e-4, 1e-1]}))
    genotype = SPACE.sample(seed=1)
    one, other = (domain.proposal({**genotype, "recipe.lr": rate}) for rate in (1e-3, 1e-2))
    assert counted == [genotype]
    assert one.cost_features == other.cost_features
    assert one.key != other.key
    domain.mark_tried(0, one)
    assert not domain.is_new(one)
    assert domain.is_new(other)


def test_another_genotype_of_a_network_is_new_only_by_another_recipe() -> None:
    rounded = {"block": "conv", "out_channels": "= round_to(width, 8)", "stride": 2}
    space = nas.SearchSpace.from_dict(
        {**SMALL, "let": {"width": {"choose": [15, 16, 24]}}, "stem": rounded, "stages": SMALL["stages"][1:]}
    )
    genotype = space.sample(seed=0)
    twins = [{**genotype, "let.width": width} for width in (15, 16)]
    assert len({space.decode(twin).arch_id for twin in twins}) == 1
    domain = _domain(recipe_decisions({"lr": [1e-4, 1e-1]}), space)
    domain.mark_tried(0, domain.proposal({**twins[0], "recipe.lr": 1e-3}))
    assert not domain.is_new(domain.proposal({**twins[1], "recipe.lr": 1e-3}))
    assert domain.is_new(domain.proposal({**twins[1], "recipe.lr": 2e-3}))
    assert domain.is_new(domain.proposal({**twins[1], "let.width": 24, "recipe.lr": 1e-3}))


def test_nearly_the_same_recipe_of_one_network_is_not_new_and_where_only_networks_count_no_other_is() -> None:
    domain, genotype = _domain(recipe_decisions({"lr": [1e-4, 1e-1], "optimizer": ["sgd", "adamw"]})), SPACE.sample(1)
    domain.mark_tried(0, domain.proposal({**genotype, "recipe.lr": 1e-3, "recipe.optimizer": "sgd"}))

    def is_new(rate: float, optimizer: str = "sgd", among: RecipeDomain = domain) -> bool:
        return among.is_new(domain.proposal({**genotype, "recipe.lr": rate, "recipe.optimizer": optimizer}))

    # The range is three powers of ten, of which a thirty-second is a factor of 1.24.
    assert [is_new(1e-3 * factor) for factor in (1 / 1.26, 1 / 1.22, 1.0, 1.22, 1.26)] == [True, *[False] * 3, True]
    assert is_new(1e-3, "adamw")
    networks = domain.of_new_networks()
    assert isinstance(networks, RecipeDomain)
    assert not is_new(1e-1, "adamw", networks)
    assert domain.is_new(domain.proposal({**SPACE.sample(2), "recipe.lr": 1e-3, "recipe.optimizer": "sgd"}))


@pytest.mark.slow
def test_two_of_three_proposals_of_the_default_sampler_are_of_networks_that_no_trial_has_had() -> None:
    """Though the score says that only the rate of the first network is worth anything."""
    from nas.search.samplers.distributions import suggest_recipe

    decided = recipe_decisions({"lr": [1e-4, 1e-1]})
    study = optuna.create_study(sampler=nas.sampler("default", space=SPACE, recipe=decided), direction="maximize")
    networks: list[str] = []
    for _ in range(32):
        trial = study.ask()
        networks.append(SPACE.decode(SPACE.suggest(trial)).arch_id)
        rate = suggest_recipe(decided, trial)["lr"]
        study.tell(trial, float(10 * (networks[-1] == networks[0]) - abs(np.log10(rate) + 2)))
    known = [number for number in range(8, 32) if networks[number] in networks[:number]]
    assert known
    assert all(number % 3 == 0 for number in known)


def test_what_makes_no_recipe_is_not_feasible() -> None:
    domain = _domain()
    values = {"lr": 1e-3, "optimizer": "adamw", "trivial_augment": True, "rand_augment": 1}
    assert not domain.proposal({**SPACE.sample(seed=0), **with_prefix(values)}).feasible
    assert domain.proposal({**SPACE.sample(seed=0), **with_prefix({**values, "rand_augment": 0})}).candidate is not None


def test_decisions_that_are_not_all_there_are_none() -> None:
    domain, genotype = _domain(), SPACE.sample(seed=0)
    whole = {"lr": 1e-3, "optimizer": "adamw", "trivial_augment": True, "rand_augment": 0}
    assert domain.decisions_in({**genotype, **with_prefix(whole)}) is not None
    for left_out in whole:
        some = {name: value for name, value in whole.items() if name != left_out}
        assert domain.decisions_in({**genotype, **with_prefix(some)}) is None
    assert domain.decisions_in(genotype) is None


def test_all_there_is_is_drawn_before_anything_comes_twice() -> None:
    space = nas.SearchSpace.from_dict({**SMALL, "stages": SMALL["stages"][1:]})
    recipe = recipe_decisions({"optimizer": ["sgd", "adamw"], "trivial_augment": [True, False], "rand_augment": [0, 1]})
    domain, rng = _domain(recipe, space), random.Random(0)
    networks = {space.decode(genotype).arch_id for genotype in space.enumerate()}
    found = []
    for number in range(len(networks) * 6):
        proposal = random_new(domain, rng)
        assert proposal is not None
        assert domain.is_new(proposal)
        domain.mark_tried(number, proposal)
        found.append(proposal.key)
    assert len(set(found)) == len(found)
    assert domain.sample_untried(rng) is None


def test_a_sampler_keeps_its_recipe_in_a_pickle() -> None:
    made = nas.sampler("default", seed=1, space=SPACE, recipe=RECIPE)
    proposed = [_first_params(one) for one in (made, pickle.loads(pickle.dumps(made)))]
    assert proposed[0] == proposed[1]
    assert any(name.startswith("recipe.") for name in proposed[0])


def _first_params(sampler: optuna.samplers.BaseSampler) -> dict[str, Any]:
    from nas.search.samplers.distributions import suggest_recipe

    trial = optuna.create_study(sampler=sampler).ask()
    SPACE.suggest(trial)
    suggest_recipe(RECIPE, trial)
    return trial.params


DISTRIBUTIONS = {
    "width": CategoricalDistribution((8, 16, 32)),
    "kind": CategoricalDistribution(("a", "b")),
    "recipe.lr": FloatDistribution(1e-4, 1e-1, log=True),
}


def _matern(distance: float) -> float:
    scaled = 5**0.5 * distance
    return float((1 + scaled + scaled**2 / 3) * np.exp(-scaled))


def test_the_kernel_over_recipes_is_apart_from_that_over_networks() -> None:
    recipe = {name: one for name, one in DISTRIBUTIONS.items() if name.startswith("recipe.")}
    encoding = Encoding(DISTRIBUTIONS, recipe)
    alone = Encoding({name: one for name, one in DISTRIBUTIONS.items() if name not in recipe})
    rows = [{"width": 8, "kind": "a", "recipe.lr": 1e-4}, {"width": 8, "kind": "a", "recipe.lr": 1e-3}]
    levels = encoding.levels(rows)
    kernels = encoding.kernels(levels, encoding.kernel_columns(levels))
    networks = alone.kernels(alone.levels(rows), alone.kernel_columns(alone.levels(rows)))
    for kernel, network in zip(kernels, networks, strict=True):
        np.testing.assert_array_equal(kernel, network)
        np.testing.assert_allclose(kernel, 1.0)
    between = encoding.recipe_kernel(levels, encoding.kernel_columns(levels))
    assert between is not None
    # A third of the range apart: the mean of two of Matern's kernels, and one of .3 ranges, half each.
    single = (_matern(1 / 3 / 0.12) + _matern(1 / 3 / 0.4)) / 2
    pairs = (single + _matern(1 / 3 / 0.3)) / 2
    assert between[0, 1] == pytest.approx((single + pairs) / 2, rel=1e-3)
    assert between[0, 0] == pytest.approx(1.0)
    assert alone.recipe_kernel(alone.levels(rows), alone.kernel_columns(alone.levels(rows))) is None


def test_the_surrogate_carries_what_it_learns_of_a_network_to_its_other_recipes_and_back() -> None:
    """Networks are tried by low rates, and one by all rates: the others then have their best rate where that has it."""
    recipe = {name: one for name, one in DISTRIBUTIONS.items() if name.startswith("recipe.")}
    encoding = Encoding(DISTRIBUTIONS, recipe)
    worth = {(8, "a"): 0.0, (16, "a"): 1.0, (32, "a"): 2.0, (8, "b"): 0.5, (16, "b"): 1.5, (32, "b"): 2.5}

    def rows(networks: list[tuple[int, str]], rates: list[float]) -> list[dict[str, Any]]:
        return [{"width": width, "kind": kind, "recipe.lr": rate} for width, kind in networks for rate in rates]

    def score(row: dict[str, Any]) -> float:
        return float(worth[row["width"], row["kind"]] - (np.log10(row["recipe.lr"]) + 2) ** 2)

    known = rows([*worth], [1e-4, 3e-4]) + rows([(8, "a")], [float(rate) for rate in np.geomspace(1e-4, 1e-1, 9)])
    unseen = rows([(32, "b"), (16, "a")], [1e-2, 5e-2])

    def features(given: list[dict[str, Any]]) -> Features:
        return Features(encoding.levels(given), np.zeros((len(given), 0)))

    model = Surrogate(encoding, features(known), np.array([score(row) for row in known]))
    expected, _ = model.predict(features([*unseen, {"width": 32, "kind": "b", "recipe.lr": 1e-4}]))
    best, off, other, _, low = expected
    assert best > off, "the rate that is best for another network"
    assert best > other, "the network that is better by other rates"
    assert best > low + 1.5, "that rate is better by 4 than the one that was tried"
