"""Auxiliary classifiers in training: how much their loss counts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

import nas
from nas.training.recipe import Recipe
from nas.training.task import TaskModule

_LAYER = {"block": "conv", "kernel": 3, "out_channels": 8, "norm": None}
_ARCH = nas.SearchSpace.from_dict(
    {
        "assume": {"channels": 3, "resolution": 8, "num_classes": 4},
        "stem": _LAYER,
        "stages": [{"blocks": [_LAYER, {"block": "auxiliary", "body": [{"block": "classifier"}]}, _LAYER]}],
        "head": {"block": "classifier"},
    }
).decode({})


@pytest.mark.parametrize("weight", [None, 0.0, 0.3, 2.0])
def test_the_loss_of_auxiliary_classifiers_counts_by_its_weight(weight: float | None) -> None:
    recipe = Recipe() if weight is None else replace(Recipe(), aux_weight=weight)
    network = nas.build(_ARCH)
    task = TaskModule(network, recipe)
    inputs, labels = torch.rand(6, 3, 8, 8), torch.tensor([0, 1, 2, 3, 0, 1])
    output, auxiliary = network.train()(inputs)
    assert not torch.equal(output, auxiliary)
    counts = 0.3 if weight is None else weight  # by default as in the paper
    expected = F.cross_entropy(output, labels) + counts * F.cross_entropy(auxiliary, labels)
    assert torch.allclose(task.train().training_step((inputs, labels), 0), expected)
    assert torch.equal(network.eval()(inputs), output), "inference has none"
