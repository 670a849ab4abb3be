"""Distillation: the loss against its formula, and what teachers are shown."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import nas
from nas.errors import ConfigError, DataError, NasError
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.data.registry import check_recipe
from nas.training.fit import fit
from nas.training.recipe import Recipe
from nas.training.tasks.registry import task_named
from nas.training.teacher import distillation_loss, teacher_of
from nas.training.train import TrainedModel
from nas.training.transfer.settings import Transfer
from nas.training.weights import load_weights, save_weights, trained_network
from tests.training.test_fit import ARCH, DATA, RECIPE, SPACE
from tests.training.test_train import _exported

TEACHER = SPACE.for_data((3, 24, 24), 4).decode({"stem.0.out_channels": 16})
"""Takes larger images than the network that learns."""


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    return nas.train(TEACHER, DATA, replace(RECIPE, epochs=2), folder=tmp_path_factory.mktemp("runs") / "large", seed=2)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_loss_is_that_of_the_paper(temperature: float) -> None:
    """T^2 sum of p log(p / q), a mean over images; its gradient to the outputs is T (q - p) over their number."""
    rng = np.random.default_rng(0)
    outputs, wanted = rng.normal(0, 2, (5, 3)), rng.normal(0, 2, (5, 3))
    p, q = (np.exp(z / temperature) / np.exp(z / temperature).sum(1, keepdims=True) for z in (wanted, outputs))
    given = torch.tensor(outputs, requires_grad=True)
    loss = distillation_loss(given, torch.tensor(wanted), temperature)
    assert float(loss.detach()) == pytest.approx(temperature**2 * (p * np.log(p / q)).sum(1).mean())
    loss.backward()
    assert given.grad is not None
    np.testing.assert_allclose(given.grad.numpy(), temperature * (q - p) / 5, rtol=1e-6, atol=1e-9)
    assert float(distillation_loss(given, given, temperature).detach()) == pytest.approx(0, abs=1e-12)


def test_a_teacher_sees_images_as_in_its_own_training(taught: TrainedModel) -> None:
    """Pixels are normalised by its own mean and deviation, and in its own size."""
    data = load_data(DATA)
    other = replace(data, mean=(0.2, 0.3, 0.4), std=(0.5, 0.6, 0.7))
    pixels = data.val.read(torch.arange(20)).float() / 255
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (other.mean, other.std))
    teacher = teacher_of(Recipe(teacher=str(taught.folder)), other)
    assert teacher is not None
    own_mean, own_std = (torch.tensor(values).view(-1, 1, 1) for values in (data.mean, data.std))
    with torch.no_grad():
        resized = F.interpolate((pixels - own_mean) / own_std, (24, 24), mode="bilinear", antialias=True)
        expected = taught.network()(resized)
    torch.testing.assert_close(teacher.logits((pixels - mean) / std), expected, rtol=1e-4, atol=1e-4)


def test_an_onnx_file_teaches_too(tmp_path: Path) -> None:
    """One that takes pixels as an exported model does: its logits are the means of the channels times weights."""
    data = load_data(DATA)
    weights = np.random.default_rng(0).normal(0, 0.1, (3, 4)).astype(np.float32)
    path = tmp_path / "model.onnx"
    _exported(path, weights, list(data.classes))
    pixels = data.val.read(torch.arange(20))
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (data.mean, data.std))
    expected = pixels.numpy().mean(axis=(2, 3), dtype=np.float64) @ weights
    for named in (path, tmp_path):  # a file, or the folder of an export
        teacher = teacher_of(Recipe(teacher=str(named)), data)
        assert teacher is not None
        found = teacher.logits((pixels.float() / 255 - mean) / std)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-3)
    result = fit(ARCH, data, replace(RECIPE, teacher=str(path)), nas.Budget(epochs=1), seed=0)
    assert result.history[0]["train_loss"] > 0
    _exported(path, weights, ["a", "b", "c", "d"])
    with pytest.raises(DataError, match="were trained on the classes a, b, c, d"):
        teacher_of(Recipe(teacher=str(path)), data)


def _weights(recipe: Recipe, folder: Path) -> dict[str, torch.Tensor]:
    path = folder / "weights.safetensors"
    fit(ARCH, load_data(DATA), recipe, nas.Budget(epochs=1, weights=str(path)), seed=4)
    return load_weights(path)


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_the_weight_says_who_is_heard(taught: TrainedModel, tmp_path: Path) -> None:
    """Labels alone with 0, the teacher alone with 1: then smoothing labels changes nothing."""
    recipe = replace(RECIPE, teacher=str(taught.folder), mixup=0.2)
    assert _same(
        _weights(replace(recipe, teacher_weight=0.0), tmp_path), _weights(replace(RECIPE, mixup=0.2), tmp_path)
    )
    alone = _weights(replace(recipe, teacher_weight=1.0), tmp_path)
    assert _same(alone, _weights(replace(recipe, teacher_weight=1.0, label_smoothing=0.3), tmp_path))
    assert not _same(alone, _weights(replace(recipe, teacher_weight=0.5), tmp_path))


def test_a_network_learns_from_its_teacher_alone(taught: TrainedModel) -> None:
    recipe = replace(RECIPE, teacher=str(taught.folder), teacher_weight=1.0, epochs=4)
    found = fit(ARCH, load_data(DATA), recipe, seed=0)
    losses = [row["train_loss"] for row in found.history]
    assert losses[-1] < losses[0] / 2
    assert found.scores["val_accuracy"] > 0.7


def test_the_teacher_is_no_part_of_what_is_kept(taught: TrainedModel, tmp_path: Path) -> None:
    path = tmp_path / "state.ckpt"
    recipe = replace(RECIPE, teacher=str(taught.folder))
    fit(ARCH, load_data(DATA), recipe, nas.Budget(epochs=1, checkpoint=str(path)), seed=0)
    state = torch.load(path, weights_only=True)["state_dict"]
    assert {name.removeprefix("network.") for name in state} == {*nas.build(ARCH).state_dict()}


def test_what_cannot_teach_is_refused(taught: TrainedModel, tmp_path: Path) -> None:
    data, recipe = load_data(DATA), replace(RECIPE, teacher=str(tmp_path))
    with pytest.raises(ConfigError, match=r"train\.teacher: .* has no model"):
        fit(ARCH, data, recipe, nas.Budget(epochs=1), seed=0)
    with pytest.raises(ConfigError, match=r"train\.teacher: there is no file .*none\.onnx"):
        teacher_of(Recipe(teacher=str(tmp_path / "none.onnx")), data)
    transfer = Transfer(weights=str(taught.weights), style="features")
    with pytest.raises(ConfigError, match=r"train\.teacher is for a training of more than the last"):
        fit(TEACHER, data, replace(RECIPE, teacher=str(taught.folder)), nas.Budget(epochs=1), seed=0, transfer=transfer)
    with pytest.raises(ConfigError, match=r"train\.teacher is for one class an image"):
        teacher_of(recipe, replace(data, task=task_named("regression")))
    for name, of in (("cells", "segmentation"), ("mnist1d", "series")):
        with pytest.raises(ConfigError, match=f"data {name} are of {of}"):  # before anything is read
            check_recipe(DataConfig(name=name), recipe)
    (tmp_path / "architecture.json").write_text(ARCH.to_json())
    save_weights(tmp_path / "weights.safetensors", nas.build(ARCH), {"classes": json.dumps(["x", "y", "z", "w"])})
    with pytest.raises(NasError, match="were trained on the classes x, y, z, w"):
        teacher_of(recipe, data)
    assert trained_network(ARCH, tmp_path / "weights.safetensors")
