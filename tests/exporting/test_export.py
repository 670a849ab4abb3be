"""`nas.export`: of a training, a search, an architecture; which data, which preprocessing, and what is replaced."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import nas
from nas.commands.evaluate import evaluate_command
from nas.commands.train import _origin
from nas.errors import ConfigError, DataError, NasError
from nas.exporting.card import Card, section
from nas.exporting.export import export_whole
from nas.exporting.found import origin_of
from nas.exporting.int8 import outputs
from nas.exporting.preprocess import Preprocess
from nas.exporting.settings import ExportSettings
from nas.run_folder import WEIGHTS, weights_file
from nas.statistics import mean_interval, proportion_interval
from nas.training.data.load import load_data
from nas.training.data.test_split import Ledger
from nas.training.evaluate import evaluate
from nas.training.preprocess import preprocess_of
from nas.training.recipe_files import read_data_config
from nas.training.train import TrainedModel
from nas.training.weights import load_metadata, save_weights
from tests.training.test_fit import ARCH, DATA, RECIPE, SPACE

FP32 = ExportSettings(int8="never")
SHORT = replace(RECIPE, epochs=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    return nas.train(ARCH, DATA, SHORT, folder=tmp_path_factory.mktemp("runs") / "one", seed=5)


@pytest.fixture
def folder(model: TrainedModel, tmp_path: Path) -> Path:
    """A copy of the folder of the training."""
    shutil.copytree(model.folder, tmp_path / "copy")
    return tmp_path / "copy"


def _accuracy(arch: nas.Architecture, budget: nas.Budget, seed: int) -> dict[str, float]:
    """The network is the better one of two; the third of the space cannot be trained."""
    if arch == SPACE.decode({"stem.0.out_channels": 16}):
        raise ValueError("no")
    return {"val_accuracy": 0.75 if arch == ARCH else 0.25}


@pytest.fixture
def search(model: TrainedModel, tmp_path: Path) -> Path:
    """The folder of a search whose best network has the weights of the training."""
    run = tmp_path / "search"
    config = {"data": {"name": "synthetic", "samples": 300, "num_classes": 4, "split_scheme": 2}, "space": "tiny"}
    nas.run_search(
        SPACE,
        evaluator=_accuracy,
        objective="val_accuracy",
        trials=3,
        run_dir=run,
        notes={
            "config": {**config, "constraints": {"params": 1e6, "macs": None}},
            "data": {"name": "synthetic", "val_images": 40},
        },
    )
    (run / "best_architecture.json").write_text(ARCH.to_json())
    (run / WEIGHTS).mkdir()
    shutil.copy(model.weights, weights_file(run, ARCH.arch_id))
    return run


def test_the_folder_of_a_training_says_all_that_is_asked(model: TrainedModel, folder: Path, tmp_path: Path) -> None:
    data = load_data(DATA)
    assert Preprocess.from_dict(json.loads((folder / "preprocess.json").read_text())) == preprocess_of(data, ARCH)
    card = Card.from_dict(json.loads((folder / "card.json").read_text()))
    (score,) = card.scores
    images = len(data.val.labels)
    accuracy = model.evaluation.scores["val_accuracy"]
    assert (score.value, score.split, score.images) == (accuracy, "validation", images)
    assert (score.low, score.high) == proportion_interval(round(accuracy * images), images)
    assert "one training, with seed 5" in score.how
    assert (card.training["epochs"], card.training["lr"], card.training["seed"]) == (1, SHORT.lr, 5)
    assert card.data["split_fingerprint"] == data.fingerprint

    paths = nas.export(folder, tmp_path / "out")
    text = (tmp_path / "out" / "card.md").read_text()
    assert {path.name for path in paths} == set(os.listdir(tmp_path / "out"))
    assert str(score) in section(text, "Accuracy")
    assert f"accuracy on {images} validation images" in section(text, "Which file to ship")
    # The accuracy that was measured of the file is that of the training.
    assert f"| {accuracy:.2%} |" in section(text, "Which file to ship")
    assert nas.export(model, tmp_path / "again", settings=FP32)
    assert evaluate(tmp_path / "again", DATA).scores.accuracy == accuracy


def test_several_seeds_are_a_mean_and_the_weights_are_those_of_the_first(tmp_path: Path) -> None:
    model = nas.train(ARCH, DATA, SHORT, folder=tmp_path / "run", seed=1, seeds=2)
    mean, first = Card.from_dict(json.loads((tmp_path / "run" / "card.json").read_text())).scores
    values = [one.scores["val_accuracy"] for one in model.evaluations.values()]
    assert mean.value == pytest.approx(sum(values) / 2)
    low, high = mean_interval(values)
    assert (mean.low, mean.high) == (max(0, low), min(1, high)), "no accuracy is above 1"
    assert "mean of 2 trainings with seeds 1, 2" in mean.how
    assert first.value == values[0]


def test_a_folder_from_before_has_it_in_the_header_of_its_weights(folder: Path, tmp_path: Path) -> None:
    for name in ("preprocess.json", "card.json", "train.json", "settings.json"):
        (folder / name).unlink()
    found = export_whole(folder, tmp_path / "out", settings=FP32)
    assert found.unmeasured == "give data=... for both"
    written = Preprocess.from_dict(json.loads((tmp_path / "out" / "preprocess.json").read_text()))
    assert written == preprocess_of(load_data(DATA), ARCH)
    assert "was not measured, and there is no `model.int8.onnx`" in (tmp_path / "out" / "card.md").read_text()
    assert nas.export(folder, tmp_path / "with_data", data=DATA, settings=FP32)
    assert "not measured" not in (tmp_path / "with_data" / "card.md").read_text()


def test_data_that_are_gone_are_not_measured_with(tmp_path: Path) -> None:
    """Where nothing was said of data; those that were given must be there."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "photos" / "train" / name).mkdir(parents=True)
        for i in range(20):
            pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / "train" / name / f"{i}.png")
    data = replace(read_data_config("image_folder"), root=str(tmp_path / "photos"))
    arch = SPACE.for_data((3, 16, 16), 2).decode({"stem.0.out_channels": 4})
    model = nas.train(arch, data, SHORT, folder=tmp_path / "run")
    (tmp_path / "photos").rename(tmp_path / "moved")
    load_data.cache_clear()
    found = export_whole(model, tmp_path / "out")
    assert "no folder" in found.unmeasured
    assert "data.root=FOLDER says where they are now" in (tmp_path / "out" / "card.md").read_text()
    with pytest.raises(DataError, match="no folder"):
        nas.export(model, tmp_path / "other", data=data)
    moved = replace(data, root=str(tmp_path / "moved"))
    assert export_whole(model, tmp_path / "measured", data=moved, settings=FP32).unmeasured == ""


def test_the_best_network_of_a_search_with_the_weights_that_were_kept(
    model: TrainedModel, search: Path, tmp_path: Path
) -> None:
    (onnx, *_) = nas.export(search, tmp_path / "out", settings=FP32)
    text = (tmp_path / "out" / "card.md").read_text()
    low, high = proportion_interval(30, 40)
    assert (
        f"- 75.00% [{low:.2%}, {high:.2%}] on validation (selected out of 2 trained networks by this very score, so "
        "expect less; the test split was not read; interval over images, 40 images)"
    ) in text
    assert "Found by a search of the space tiny, limits: params 1,000,000." in text
    assert "validation images; time on" in text, "the data are those of the search"
    pixels = load_data(DATA).val.read(torch.arange(7)).permute(0, 2, 3, 1).numpy()
    nas.export(model, tmp_path / "same", settings=FP32)
    (found,), (expected,) = (outputs(path.read_bytes(), [pixels]) for path in (onnx, tmp_path / "same" / "model.onnx"))
    np.testing.assert_array_equal(found, expected)
    (weights,) = (search / WEIGHTS).iterdir()
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(DataError, match=rf"weights {weights} is no safetensors file .*: train it with .*train "):
        nas.export(search, tmp_path / "none")
    shutil.rmtree(search / WEIGHTS)
    with pytest.raises(ConfigError, match=r"no weights of the best network in .*: train it with .*train "):
        nas.export(search, tmp_path / "none")


def test_the_best_network_of_a_search_is_evaluated(model: TrainedModel, search: Path, tmp_path: Path) -> None:
    expected = model.evaluation.scores["val_accuracy"]
    found = nas.evaluate(search)
    assert (found.scores.accuracy, found.arch_id) == (expected, ARCH.arch_id)
    assert (found.folder / found.file).samefile(weights_file(search, ARCH.arch_id))
    assert evaluate_command({"model": str(search), "worst": 2}, ["model", "worst"]) == 0
    written = json.loads((search / "evaluation_val" / "evaluation.json").read_text())
    assert (written["accuracy"], len(written["worst"])) == (expected, 2)
    nas.evaluate(search, split="test")
    assert Ledger(search).entries()[-1].arch_id == ARCH.arch_id
    assert nas.evaluate(model).scores == nas.evaluate(model.folder).scores == found.scores
    nas.export(model, tmp_path / "shipped", settings=FP32)
    assert nas.evaluate(tmp_path / "shipped", DATA).scores.accuracy == expected
    with pytest.raises(ConfigError, match="does not say what data"):
        nas.evaluate(tmp_path / "shipped")
    shutil.rmtree(search / WEIGHTS)
    with pytest.raises(ConfigError, match=r"nor best_architecture\.json with weights that a search has kept"):
        nas.evaluate(search)


def test_where_a_network_comes_from(folder: Path, search: Path, tmp_path: Path) -> None:
    """It goes on from the search to the training, and from one training to the next."""
    found = "Found by a search of the space tiny, limits: params 1,000,000."
    assert origin_of(search) == found
    assert _origin(str(search)) == f"{found} Chosen by its validation score there, and trained anew."
    assert origin_of(folder) == "", "the training was of an architecture from Python"
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, "origin": found}))
    assert _origin(str(folder)) == found
    assert _origin("reference/lenet5") == "A network of the space reference/lenet5."
    assert _origin(str(tmp_path / "network.json")) == ""
    nas.export(folder, tmp_path / "out", settings=FP32)
    assert found in (tmp_path / "out" / "card.md").read_text()


def test_an_architecture_with_weights_of_its_own(model: TrainedModel, tmp_path: Path) -> None:
    assert nas.export(ARCH, tmp_path / "out", weights=model.weights, settings=FP32)
    assert nas.export(ARCH, tmp_path / "measured", weights=model.weights, data=DATA, settings=FP32)
    for name, measured in (("out", False), ("measured", True)):
        text = (tmp_path / name / "card.md").read_text()
        assert ("not measured" not in text) == measured
        assert "# Image classifier of weights.safetensors" in text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": ARCH}, "no weights of the network: train it with nas train"),
        ({"model": "gone"}, "there is no folder gone"),
        ({"model": 7}, "model must be the path of a folder, an Architecture, or what nas.train returned, but got 7"),
        ({"settings": {"int8": "never"}}, "settings must be ExportSettings, or None"),
        ({"data": "digit"}, "unknown data 'digit'"),
        ({"data": replace(DATA, num_classes=5)}, "has the classes"),
        ({"data": replace(DATA, resolution=24)}, "has pictures of"),
        ({"weights": "gone.safetensors"}, "gone.safetensors cannot be read"),
    ],
)
def test_what_is_wrong_is_said(model: TrainedModel, tmp_path: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(NasError, match=message):
        nas.export(**{"model": model, "out": tmp_path / "out", **given})
    assert not list(tmp_path.iterdir())


def _inodes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in folder.iterdir()}


def test_an_earlier_export_is_replaced_and_nothing_else(model: TrainedModel, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_whole(model, out)  # with 8 bits, or without
    (out / "model.int8.onnx").touch()
    before = _inodes(out)
    with pytest.raises(ConfigError, match="is there already; give another folder"):
        export_whole(model, out, settings=FP32)
    export_whole(model, out, settings=FP32, replace_earlier=True)
    assert not (out / "model.int8.onnx").exists()
    assert not {*_inodes(out).values()} & {*before.values()}
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("kind", ["another file", "a folder", "a link", "a file is missing", "a link in its place"])
def test_what_is_no_export_of_ours_is_not_replaced(model: TrainedModel, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    export_whole(model, out, settings=FP32)
    if kind == "another file":
        (out / "thesis.txt").write_text("mine")
    elif kind == "a folder":
        (out / "model.pte").mkdir()
    elif kind == "a link":
        (out / "model.int8.onnx").symlink_to(tmp_path)
    elif kind == "a file is missing":
        (out / "card.md").unlink()
    else:
        out.rename(tmp_path / "elsewhere")
        out.symlink_to(tmp_path / "elsewhere")
    before = _inodes(out) if kind != "a link" else {}
    with pytest.raises(ConfigError, match="is there already, and is no export that could be replaced: "):
        export_whole(model, out, settings=FP32, replace_earlier=True)
    assert before in ({}, _inodes(out))


def test_weights_of_another_network_are_named(model: TrainedModel, tmp_path: Path) -> None:
    file = tmp_path / "other.safetensors"
    save_weights(file, nas.build(replace(ARCH, num_classes=5)), load_metadata(model.weights))
    with pytest.raises(DataError, match=rf"^weights {file}: head.* must have the shape"):
        export_whole(model, tmp_path / "out", weights=file, settings=FP32)
    assert os.listdir(tmp_path) == [file.name]


def test_a_replacement_that_fails_leaves_the_earlier_one(
    model: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    export_whole(model, out, settings=FP32)
    before, rename = _inodes(out), Path.rename

    def fail(self: Path, target: Path) -> Path:
        if self.name.endswith(".partial"):
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(ConfigError, match="cannot be written: No space left"):
        export_whole(model, out, settings=FP32, replace_earlier=True)
    assert _inodes(out) == before
    assert os.listdir(tmp_path) == ["out"]
