"""What our samplers propose where it is hard: limits that shut the best out, and several genotypes of one network."""

from __future__ import annotations

import pytest

import nas
from nas.search.trial import State
from tests.search.conftest import SMALL
from tests.search.samplers.ours import WITHIN_LIMITS


def _params(arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
    return float(nas.cost_of(arch).params)


@pytest.mark.parametrize("name", WITHIN_LIMITS)
def test_what_is_over_a_limit_is_not_proposed_though_it_would_be_best(name: str) -> None:
    """More parameters are better, so whoever follows the score runs into the limit."""
    space = nas.SearchSpace.from_dict(SMALL)
    sizes = sorted(nas.cost_of(space.decode(genotype)).params for genotype in space.enumerate())
    limit = sizes[len(sizes) // 2]
    study = nas.run_search(space, _params, trials=30, sampler=name, seed=1, constraints={"params": limit})
    assert study.counts() | {"completed": 30, "rejected": 0} == study.counts()
    (best,) = study.best(1)
    assert best.cost is not None
    assert best.cost.params <= limit < sizes[-1]
    if name != "uniform":  # which follows no score
        assert best.cost.params >= 0.8 * limit


@pytest.mark.parametrize("name", WITHIN_LIMITS)
def test_no_network_is_evaluated_twice_whatever_genotype_states_it(name: str) -> None:
    """Two stages of the same block behind each other: 4 x 4 depths, but only 0 to 6 blocks in all."""
    stage = {"block": "conv", "depth": {"range": [0, 3]}, "out_channels": 4}
    space = nas.SearchSpace.from_dict(
        {
            "name": "twice",
            "assume": {"channels": 1, "resolution": 8, "num_classes": 4},
            "stem": {"block": "conv", "out_channels": 4},
            "stages": [stage, stage],
            "head": {"block": "classifier"},
        }
    )
    assert space.size() == 16
    study = nas.run_search(space, _params, trials=7, sampler=name, seed=0)
    evaluated = [trial.arch_id for trial in study.trials if trial.state is State.COMPLETED]
    assert len(evaluated) == len(set(evaluated)) == 7
    assert study.counts()["duplicate"] == 0
