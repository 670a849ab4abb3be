"""`train.memory_mib` in a search: what cannot be trained with it is rejected before it is trained."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import nas
from nas.cost import Workload, cost_of, held_cost, value_of
from nas.cost.checkpointing import least_memory
from nas.errors import ConfigError
from nas.search.config import Config
from nas.space.feasible import examine
from nas.training.memory import training_memory
from nas.training.recipe import Recipe
from tests.search.conftest import SMALL

MIB = 2**20
RESNET = nas.load_space("reference/resnet18").for_data((3, 64, 64), 10).decode({})


def _config(**changes: Any) -> Config:
    return Config.from_values({"space": "mbconv", "records": {"mlflow": False}, **changes})


def _mib(workload: Workload) -> float:
    return value_of(held_cost(RESNET, workload), "training_memory_mib", workload)


def test_training_takes_what_it_is_held_to() -> None:
    batch = Workload(training_batch=64, training_copies=4)
    whole = value_of(cost_of(RESNET), "training_memory_mib", batch)
    fixed = whole - 64 * cost_of(RESNET).training_memory_bytes / MIB
    least = fixed + 64 * least_memory(RESNET) / MIB
    assert _mib(batch) == whole
    assert _mib(replace(batch, training_limit_mib=whole + 1)) == whole
    held = replace(batch, training_limit_mib=(whole + least) / 2)
    assert _mib(held) == pytest.approx((whole + least) / 2, abs=64 / MIB)
    assert _mib(held) <= (whole + least) / 2
    # Both where blocks are not enough, and where parameters alone are too many.
    assert _mib(replace(batch, training_limit_mib=least - 1)) == pytest.approx(least)
    assert _mib(replace(batch, training_limit_mib=fixed / 2)) == pytest.approx(least)


def test_rejected_is_what_a_training_refuses() -> None:
    space = nas.SearchSpace.from_dict(SMALL)
    networks = {arch.arch_id: arch for arch in map(space.decode, (space.sample(seed=seed) for seed in range(60)))}
    recipe = Recipe(batch_size=32, optimizer="sgd", ema=0.9)
    wholes = sorted(training_memory(arch, recipe).mib for arch in networks.values())
    limited = replace(recipe, memory_mib=wholes[len(wholes) // 3])
    config = _config(train={"batch_size": 32, "optimizer": "sgd", "ema": 0.9, "memory_mib": limited.memory_mib})
    assert config.workload == Workload(1, 32, 4, limited.memory_mib)
    limits = space.limits_with(config.constraints, config.soft)
    verdicts = set()
    for arch in networks.values():
        try:
            blocks = training_memory(arch, limited).blocks
        except ConfigError:
            blocks = None
        candidate = examine(space, space.encode(arch), limits, config.workload)
        assert candidate.accepted is (blocks is not None)
        assert candidate.accepted or "training_memory_mib" in candidate.problem
        verdicts.add(None if blocks is None else bool(blocks))
    assert verdicts == {None, True, False}, "some hold it, some with blocks computed again, and some do not"


def test_the_largest_decided_recipe_is_held() -> None:
    train = {"memory_mib": 100.0, "batch_size": 16}
    recipe = {"batch_size": [16, 128], "ema": [0.0, 0.9], "optimizer": ["sgd", "adamw"]}
    assert _config(train=train, search={"recipe": recipe}).workload == Workload(1, 128, 5, 100.0)
    assert _config(train={"ema": 0.9}).workload == Workload(1, 64, 4, None)


@pytest.mark.parametrize(
    ("given", "limit"),
    [
        ({}, [None, 100.0]),
        ({"training_memory_mib": 200}, [None, 100.0]),
        ({"training_memory_mib": [9, None]}, [9, 100]),
    ],
)
def test_the_limit_is_one_of_the_search(given: dict[str, Any], limit: list[float]) -> None:
    config = _config(train={"memory_mib": 100.0}, constraints={"params": 1e6, **given})
    assert config.constraints == {"params": 1e6, "training_memory_mib": limit}
    assert replace(config, seed=3).constraints == config.constraints
    assert config.counted_limits == {"params": 1e6}, "the choice of a space counts training as it is by itself"
    assert _config(constraints=given).constraints == given
    on_a_table = _config(train={"memory_mib": 100.0}, evaluator={"name": "table", "file": "t.csv"})
    assert on_a_table.constraints == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"constraints": {"training_memory_mib": 50}},
            r"constraints\.training_memory_mib=50 is less than train\.memory_mib=100.* set train\.memory_mib=50",
        ),
        ({"soft": {"training_memory_mib": 500}}, r"search\.objective and soft: training_memory_mib is what training"),
        ({"search": {"objective": ["val_accuracy", "training_memory_mib"]}}, "train.memory_mib=100 holds it to that"),
    ],
)
def test_memory_is_not_asked_for_twice(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _config(train={"memory_mib": 100.0}, **changes)
    _config(**changes)
