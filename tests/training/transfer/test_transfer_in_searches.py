"""Candidates of a search and networks of a finish that begin with a file of weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import nas
from nas.errors import ConfigError, DataError
from nas.evaluators.training import TrainingEvaluator, TrainingSettings
from nas.finishing.pool_bench import TrainingSetup
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.fit import fit
from nas.training.transfer.settings import Transfer
from nas.training.weights import load_weights
from tests.training.test_fit import ARCH, DATA, RECIPE, SPACE
from tests.training.transfer.public_networks import squeezenet1_1
from tests.training.transfer.test_published_weights import saved

STILL = replace(RECIPE, lr=1e-12, weight_decay=0.0)
"""Leaves weights as they are."""


def test_a_candidate_begins_with_the_weights_of_a_file(tmp_path: Path) -> None:
    parent, child = tmp_path / "parent.safetensors", tmp_path / "child.safetensors"
    fit(ARCH, load_data(DATA), RECIPE, nas.Budget(epochs=1, weights=str(parent)), seed=0)
    transfer = Transfer(weights=str(parent))
    wider = SPACE.decode({"stem.0.out_channels": 16})
    evaluator = TrainingSettings(transfer=transfer).make(SPACE, DATA, STILL, "cpu")
    assert isinstance(evaluator, TrainingEvaluator)
    evaluator.prepare()
    evaluator(wider, nas.Budget(epochs=1, weights=str(child)), 1)
    before, after = load_weights(parent), load_weights(child)
    assert torch.allclose(after["stem.0.conv.weight"][:8], before["stem.0.conv.weight"])
    assert torch.allclose(after["head.0.linear.weight"], before["head.0.linear.weight"])
    assert TrainingSetup(DATA, "cpu", transfer).evaluator(STILL) == replace(evaluator, inherit="none")


def test_a_search_asks_which_network_published_weights_are_of(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.pth", squeezenet1_1().state_dict())
    data = DataConfig(name="synthetic", samples=60, num_classes=3)
    with pytest.raises(ConfigError, match=r"w\.pth does not say of which network.*evaluator.transfer.network"):
        TrainingEvaluator(data, RECIPE, transfer=Transfer(weights=str(path))).prepare()
    named = Transfer(weights=str(path), network="reference/squeezenet1_1")
    assert TrainingEvaluator(data, RECIPE, transfer=named).prepare()["num_classes"] == 3
    (tmp_path / "w.pth").write_bytes(b"torn")
    with pytest.raises(DataError, match=r"no plain state dict|no whole file"):
        TrainingEvaluator(data, RECIPE, transfer=named).prepare()


def test_published_weights_are_of_one_network(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.pth", nn.Linear(2, 2).state_dict())
    transfer = Transfer(weights=str(path), network="resnet")
    with pytest.raises(ConfigError, match=r"transfer\.network=resnet leaves choices open"):
        fit(ARCH, load_data(DATA), RECIPE, seed=0, transfer=transfer)


def test_comparisons_train_from_scratch() -> None:
    with pytest.raises(ConfigError, match=r"evaluator\.transfer is for nas\.search"):
        TrainingSettings(transfer=Transfer(weights="w")).check_compares({})
