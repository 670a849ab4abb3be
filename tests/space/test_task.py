"""Networks whose outputs are not what the data ask for are refused before anything is tried."""

from __future__ import annotations

from typing import Any

import pytest

import nas
from nas.errors import ShapeError, SpaceError
from nas.evaluators.training import TrainingEvaluator
from nas.network import registry
from nas.network.registry import Block, block_names
from nas.space.feasible import examine
from nas.space.task import _CLASSIFIERS, check_task
from nas.training.data.config import DataConfig
from nas.training.recipe import Recipe

IMAGE = (3, 16, 16)
CONV = {"block": "conv", "out_channels": 8}
PYRAMID = {"block": "feature_pyramid", "out_channels": 4, "stages": [[CONV], [CONV]]}
HEADS: dict[str, list[dict[str, Any]]] = {
    "classes": [{"block": "classifier"}],
    "numbers": [{"block": "global_pool"}, {"block": "linear", "out_channels": 7}],
    "features": [{"block": "global_pool"}, {"block": "linear", "out_channels": 10, "activation": None}],
    "map": [{"block": "pixel_classifier"}],
    "pooled": [{"block": "global_pool"}],
    "tokens": [{"block": "patch_embed", "features": 10, "patch": 4}],
    "two": [PYRAMID],
}


def _space(head: Any) -> nas.SearchSpace:
    values = {"assume": {"channels": 3, "resolution": 16, "num_classes": 10}, "stages": [CONV], "head": head}
    return nas.SearchSpace.from_dict(values)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("task", ["classification", "segmentation", "open", "any"])
def test_what_a_task_takes(head: str, task: Any) -> None:
    fits = {"classification": {"classes", "features"}, "open": set(HEADS) - {"numbers"}, "any": set(HEADS)}
    fits["segmentation"] = {"map"}
    space = _space(HEADS[head])
    if head in fits[task]:
        assert space.for_data(IMAGE, 10, task=task).task == task
        return
    asked = "a map of 10x16x16" if task == "segmentation" else "one output of 10 numbers, one a class"
    with pytest.raises(SpaceError, match=rf"head.*gives .*, but the data ask for {asked}"):
        space.for_data(IMAGE, 10, task=task)


def test_two_heads_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two vectors of classes are no pyramid, though each fits."""
    monkeypatch.setattr(registry, "_KINDS", dict(registry._KINDS))

    @nas.block
    def two_heads_of_a_test(g: Any, x: Any) -> Any:
        pooled = g.flatten(g.global_pool(x))
        return [g.linear(pooled, g.num_classes, name=name) for name in ("a", "b")]

    with pytest.raises(SpaceError, match=r"gives 2 outputs, features 10 and features 10, but"):
        _space([{"block": "two_heads_of_a_test"}]).for_data(IMAGE, 10)


def test_the_number_of_classes_is_the_datas() -> None:
    space = _space(HEADS["numbers"])
    assert space.for_data(IMAGE, 7, task="classification").num_classes == 7
    with pytest.raises(SpaceError, match="features 7"):
        space.for_data(IMAGE, 8)


def test_a_search_is_refused_before_its_first_trial() -> None:
    tried: list[int] = []
    with pytest.raises(SpaceError, match="gives features 7"):
        nas.run_search(_space(HEADS["numbers"]), lambda arch, budget, seed: tried.append(seed), trials=3)
    evaluator = TrainingEvaluator(DataConfig(), Recipe())
    with pytest.raises(SpaceError, match="gives map 10x16x16"):
        nas.run_search(_space(HEADS["map"]), evaluator, trials=3)
    assert not tried
    # Somebody who scores maps in another way may search them.
    assert len(nas.run_search(_space(HEADS["map"]), lambda arch, budget, seed: 1.0, trials=1).trials) == 1


def test_genotypes_that_do_not_fit_are_rejected_where_others_do() -> None:
    sizes = {"choose": [7, 10]}
    space = _space([{"block": "global_pool"}, {"block": "linear", "out_channels": sizes}]).for_data(IMAGE, 10)
    found = {g["head.1.out_channels"]: examine(space, g, ()) for g in space.enumerate()}
    assert found[10].accepted
    assert not found[7].accepted
    assert "gives features 7, but the data ask for one output of 10" in found[7].problem
    study = nas.run_search(space, lambda arch, budget, seed: 1.0, trials=5, sampler="grid")
    assert study.counts()["completed"] == 1
    assert study.counts()["rejected"] == 1
    assert study.counts()["failed"] == 0


@pytest.mark.parametrize("name", ["reference/unet", "reference/resnet50_fpn"])
def test_networks_for_other_tasks_can_be_looked_at(name: str) -> None:
    space = nas.load_space(name).for_data((3, 64, 64), 3)
    assert nas.cost_of(space.decode({})).params > 0
    with pytest.raises(SpaceError, match="the network gives"):
        space.for_data((3, 64, 64), 3, task="classification")


def test_blocks_that_are_taken_for_classifiers_are() -> None:
    """Their networks are not lowered again to see what they give."""
    assert set(block_names()) >= _CLASSIFIERS
    for name in _CLASSIFIERS:
        stem = [{"block": "patch_embed", "features": 8, "patch": 4}] if name == "token_classifier" else [CONV]
        arch = _space([*stem, Block.of(name, {}).to_dict()]).decode({})
        assert nas.lower(arch).out_shapes == ((10,),)
        check_task(arch, "classification")


def test_a_network_of_nothing_gives_its_input() -> None:
    arch = nas.Architecture(IMAGE, 10, nas.network.Section(()), (), nas.network.Section(()))
    with pytest.raises(ShapeError, match=r"^head: the network gives map 3x16x16"):
        check_task(arch, "classification")
