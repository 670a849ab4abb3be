"""A training that begins with the weights in a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import nas
from nas.network import Architecture, Block, Section
from nas.training.data.load import load_data
from nas.training.fit import fit
from nas.training.weights import load_metadata, load_weights
from tests.training.test_fit import ARCH, DATA, RECIPE

WIDER = replace(ARCH, stem=Section((Block.of("conv", {"out_channels": 12, "stride": 2}), *ARCH.stem.blocks[1:])))
"""Another network whose stem is new."""


def _trained(folder: Path) -> Path:
    path = folder / "weights" / "parent.safetensors"
    fit(ARCH, load_data(DATA), RECIPE, nas.Budget(epochs=1, weights=str(path)), seed=0)
    return path


def test_a_training_begins_with_the_weights_in_a_file(tmp_path: Path) -> None:
    path, out = _trained(tmp_path), tmp_path / "weights" / "child.safetensors"
    assert Architecture.from_json(load_metadata(path)["architecture"]) == ARCH
    still = replace(RECIPE, lr=1e-12, weight_decay=0.0)
    budget = nas.Budget(epochs=1, weights=str(out), inherit=str(path))
    found = fit(ARCH, load_data(DATA), still, budget, seed=1)
    assert found.inherited is not None
    assert (found.inherited.share, found.inherited.problem) == (1.0, "")
    before, after = load_weights(path), load_weights(out)
    learned = [name for name, _ in nas.build(ARCH).named_parameters()]
    assert all(torch.allclose(before[name], after[name], atol=1e-7) for name in learned)
    assert "inherit" not in budget.record()


def test_a_share_is_told_of_another_network(tmp_path: Path) -> None:
    path = _trained(tmp_path)
    found = fit(WIDER, load_data(DATA), RECIPE, nas.Budget(epochs=1, inherit=str(path)), seed=1)
    assert found.inherited is not None
    assert 0 < found.inherited.share < 1
    assert fit(WIDER, load_data(DATA), RECIPE, nas.Budget(epochs=1), seed=1).inherited is None


@pytest.mark.parametrize("how", ["gone", "torn", "without a network", "of another network"])
def test_weights_that_cannot_be_taken_leave_fresh_ones_and_a_reason(how: str, tmp_path: Path) -> None:
    path, words = tmp_path / "weights.safetensors", "is gone"
    if how == "torn":
        path.write_bytes(b"abc")
        words = "no whole safetensors file"
    elif how != "gone":
        metadata = {"architecture": ARCH.to_json()} if how == "of another network" else {"arch_id": ARCH.arch_id}
        save_file({"a": torch.zeros(2)}, path, metadata)
        words = "not JSON" if how == "without a network" else "of another network"
    data = load_data(DATA)
    fresh = fit(ARCH, data, RECIPE, nas.Budget(epochs=1), seed=1)
    found = fit(ARCH, data, RECIPE, nas.Budget(epochs=1, inherit=str(path)), seed=1)
    assert found.scores == fresh.scores
    assert found.inherited is not None
    assert found.inherited.share == 0
    assert found.inherited.problem.startswith("fresh weights: ")
    assert words in found.inherited.problem
