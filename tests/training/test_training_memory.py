"""A limit of memory in training: what it chooses, what it says, and that the numbers stay."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import nas
from nas.cost import Workload, cost_of, training_memory_bytes
from nas.errors import ConfigError
from nas.training.data.load import load_data
from nas.training.fit import fit
from nas.training.memory import training_memory
from nas.training.recipe import Recipe
from nas.training.transfer.settings import Transfer
from nas.training.weights import load_weights
from tests.training.test_fit import ARCH, DATA, RECIPE

MIB = 2**20
RESNET = nas.load_space("reference/resnet18").for_data((3, 64, 64), 10).decode({})


def test_without_a_limit_it_is_what_it_takes() -> None:
    """Weights, gradients, two numbers of AdamW, an average: 20 bytes a parameter; then statistics, and each example."""
    cost = cost_of(RESNET)
    recipe = replace(RECIPE, batch_size=10, ema=0.9)
    expected = 20 * cost.params + (cost.size_bytes - 4 * cost.params) + 10 * cost.training_memory_bytes
    assert training_memory(RESNET, recipe).mib == pytest.approx(expected / MIB)
    assert training_memory(RESNET, replace(recipe, memory_mib=1e6)).blocks == ()
    plain = training_memory_bytes(cost, Workload(training_batch=10, training_copies=3)) / MIB
    assert training_memory(RESNET, replace(recipe, ema=0.0, optimizer="sgd")).mib == pytest.approx(plain)


def test_a_limit_is_held_by_the_prediction() -> None:
    recipe = replace(RECIPE, batch_size=64, optimizer="sgd")
    whole = training_memory(RESNET, recipe).mib
    shares = []
    for share in (0.95, 0.85, 0.75):
        found = training_memory(RESNET, replace(recipe, memory_mib=share * whole))
        assert found.mib <= share * whole
        assert found.blocks
        shares.append(found.recomputed_share)
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] <= 1 / 3


def test_a_limit_that_cannot_be_held_names_the_smallest_that_can() -> None:
    recipe = replace(RECIPE, memory_mib=1.0)
    with pytest.raises(ConfigError, match=r"train\.memory_mib=1 cannot be held.* and at least [\d.,]+ MiB") as raised:
        training_memory(RESNET, recipe)
    least = float(re.findall(r"at least ([\d.,]+) MiB", str(raised.value))[0].replace(",", ""))
    assert training_memory(RESNET, replace(recipe, memory_mib=least)).mib <= least
    with pytest.raises(ConfigError, match="cannot be held"):
        training_memory(RESNET, replace(recipe, memory_mib=least - 0.2))


def test_a_training_gives_the_numbers_of_one_without(tmp_path: Path) -> None:
    data, path = load_data(DATA), tmp_path / "weights.safetensors"
    budget = nas.Budget(epochs=2, weights=str(path))
    recipe = replace(RECIPE, drop_path=0.3, mixup=0.2)
    expected = fit(ARCH, data, recipe, budget, seed=2)
    weights = load_weights(path)
    limited = replace(recipe, memory_mib=_least(recipe))
    assert training_memory(ARCH, limited).blocks
    found = fit(ARCH, data, limited, budget, seed=2)
    assert [row["val_loss"] for row in found.history] == pytest.approx([r["val_loss"] for r in expected.history], 1e-6)
    for name, value in load_weights(path).items():
        torch.testing.assert_close(value, weights[name], rtol=1e-6, atol=1e-6)


def _least(recipe: Recipe) -> float:
    """The smallest limit that holds, of those in steps of a hundredth."""
    whole = training_memory(ARCH, recipe).mib
    return next(whole * share / 100 for share in range(1, 100) if _holds(recipe, whole * share / 100))


def _holds(recipe: Recipe, mib: float) -> bool:
    try:
        return bool(training_memory(ARCH, replace(recipe, memory_mib=mib)))
    except ConfigError:
        return False


def test_where_only_the_last_layer_learns_it_is_refused(tmp_path: Path) -> None:
    data, path = load_data(DATA), tmp_path / "weights.safetensors"
    fit(ARCH, data, RECIPE, nas.Budget(epochs=1, weights=str(path)), seed=0)
    limited = replace(RECIPE, memory_mib=_least(RECIPE))
    with pytest.raises(ConfigError, match=r"train\.memory_mib is for a training of more than the last"):
        fit(ARCH, data, limited, nas.Budget(epochs=1), seed=0, transfer=Transfer(weights=str(path), style="features"))
