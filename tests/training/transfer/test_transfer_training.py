"""Trainings that begin with other weights: what of the network learns, and what it is scored on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import nas
from nas.errors import ConfigError, DataError
from nas.evaluation import Evaluation
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.fit import fit
from nas.training.train import train
from nas.training.transfer.settings import Transfer
from nas.training.weights import load_metadata, load_weights, trained_network
from tests.training.test_fit import ARCH, DATA, RECIPE, SPACE

FEW = DataConfig(name="synthetic", samples=120, num_classes=3)
OTHER = SPACE.for_data((3, 16, 16), 3, task="classification").decode({"stem.0.out_channels": 8})
"""The network for other classes."""
LAST = {"head.0.linear.weight", "head.0.linear.bias"}
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pretrained") / "w.safetensors"
    data = replace(load_data(DATA), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    fit(ARCH, data, RECIPE, nas.Budget(epochs=2, weights=str(path)), seed=0)
    return path


def trained(
    folder: Path, transfer: Transfer, epochs: int = 2, **settings: object
) -> tuple[Evaluation, dict[str, Tensor]]:
    path = folder / "out.safetensors"
    budget = nas.Budget(epochs=epochs, weights=str(path))
    found = fit(OTHER, load_data(FEW), replace(RECIPE, **settings), budget, seed=1, transfer=transfer)  # type: ignore[arg-type]
    return found, load_weights(path)


def changed(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> set[str]:
    return {name for name, value in after.items() if not torch.equal(before[name], value)}


def test_of_features_the_last_layer_alone_learns_and_is_scored_with_the_rest(pretrained: Path, tmp_path: Path) -> None:
    found, after = trained(tmp_path, Transfer(weights=str(pretrained), style="features"), ema=0.5, mixup=0.5)
    before = load_weights(pretrained)
    assert {name for name in after if name not in LAST} == {name for name in before if name not in LAST}
    assert changed(before, {name: value for name, value in after.items() if name not in LAST}) == set()
    data, path = load_data(FEW), tmp_path / "out.safetensors"
    assert json.loads(load_metadata(path)["mean"]) == [0.4, 0.5, 0.6]
    mean, std = torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1), torch.tensor([0.2, 0.3, 0.4]).view(3, 1, 1)
    with torch.no_grad():
        logits = trained_network(OTHER, path)((data.val.read(torch.arange(len(data.val.labels))) / 255 - mean) / std)
    assert found.scores["val_loss"] == pytest.approx(F.cross_entropy(logits, data.val.labels).item(), rel=1e-4)
    losses = [row["train_loss"] for row in found.history]
    assert losses[1] < losses[0]


def test_unfreezing_begins_with_the_last_layer(pretrained: Path, tmp_path: Path) -> None:
    transfer = Transfer(weights=str(pretrained), style="unfreeze", unfreeze_share=1.0)
    before = load_weights(pretrained)
    _, first = trained(tmp_path, transfer, epochs=1)
    own = {name: value for name, value in first.items() if name not in LAST}
    assert changed(before, own) == set(), (
        "in the first epoch neither weights nor statistics change but in the last layer"
    )
    for epochs, learned in ((2, {"stages"}), (3, {"stem", "stages"})):
        _, after = trained(tmp_path, transfer, epochs=epochs)
        own = {name: value for name, value in after.items() if name not in LAST}
        assert {name.split(".")[0] for name in changed(before, own)} == learned


@pytest.mark.parametrize("freeze", [True, False])
def test_statistics_stay_where_they_are_frozen(freeze: bool, pretrained: Path, tmp_path: Path) -> None:
    _, after = trained(tmp_path, Transfer(weights=str(pretrained), freeze_norm=freeze), epochs=1)
    before = load_weights(pretrained)
    other = changed(before, {name: value for name, value in after.items() if name not in LAST})
    assert {name for name in other if name.endswith("norm.weight")}
    assert bool({name for name in other if name.endswith(STATISTICS)}) is not freeze


@pytest.mark.parametrize(
    ("pixels", "mean"),
    [
        pytest.param("weights", [0.4, 0.5, 0.6]),
        pytest.param("imagenet", [0.485, 0.456, 0.406], marks=pytest.mark.slow),
        pytest.param("half", [0.5] * 3, marks=pytest.mark.slow),
    ],
)
def test_the_folder_says_what_pixels_are_normalised_by(
    pixels: str, mean: list[float], pretrained: Path, tmp_path: Path
) -> None:
    transfer = Transfer(weights=str(pretrained), style="features", pixels=pixels)
    model = train(OTHER, FEW, replace(RECIPE, epochs=1), folder=tmp_path / "run", transfer=transfer)
    assert json.loads((model.folder / "preprocess.json").read_text())["mean"] == mean
    assert json.loads((model.folder / "train.json").read_text())["transfer"]["pixels"] == pixels
    found = nas.evaluate(model, split="val")
    assert found.scores.accuracy == pytest.approx(model.evaluation.scores["val_accuracy"])


@pytest.mark.slow
@pytest.mark.parametrize("style", ["features", "unfreeze", "fine_tune"])
def test_a_training_that_goes_on_is_one_that_never_stopped(style: str, pretrained: Path, tmp_path: Path) -> None:
    transfer = Transfer(weights=str(pretrained), style=style, lr_decay=0.7)
    data, checkpoint = load_data(FEW), str(tmp_path / "c.ckpt")
    whole = fit(OTHER, data, RECIPE, nas.Budget(epochs=3, schedule_epochs=3), seed=1, transfer=transfer)
    for epochs in (1, 3):
        budget = nas.Budget(epochs=epochs, schedule_epochs=3, checkpoint=checkpoint)
        found = fit(OTHER, data, RECIPE, budget, seed=1, transfer=transfer)
    assert found.history == whole.history


@pytest.mark.slow
def test_a_run_goes_on_with_the_same_file_only(pretrained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(pretrained.read_bytes())
    recipe = replace(RECIPE, epochs=1)
    first = train(OTHER, FEW, recipe, folder=tmp_path / "run", transfer=Transfer(weights=str(pretrained)))
    moved = Transfer(weights=str(copy))
    again = train(OTHER, FEW, recipe, folder=tmp_path / "run", transfer=moved, resume=True)
    assert again.evaluation.scores == first.evaluation.scores
    fit(ARCH, load_data(DATA), recipe, nas.Budget(epochs=1, weights=str(copy)), seed=5)
    with pytest.raises(ConfigError, match=r"transfer\.weights: .*copy\.safetensors is not the file that"):
        train(OTHER, FEW, recipe, folder=tmp_path / "run", transfer=moved, resume=True)
    copy.unlink()
    with pytest.raises(DataError, match=r"copy.safetensors cannot be read"):
        train(OTHER, FEW, recipe, folder=tmp_path / "other", transfer=moved)
    assert not (tmp_path / "other").exists()
