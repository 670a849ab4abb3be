"""A trained network for series as files: what they say is what training says, from the file of series on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

import nas
from nas.errors import ConfigError, DataError
from nas.exporting.card import Card
from nas.exporting.folder import export_model, exportable, read_weights
from nas.exporting.onnx.graph import to_onnx
from nas.exporting.onnx.series import as_shipped
from nas.exporting.predict import ModelError, open_model
from nas.exporting.series_preprocess import SeriesPreprocess, preprocess_from
from nas.exporting.source import architecture_source
from nas.network.lower import lower
from nas.pytorch import build
from nas.training.data.batches import Batches
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.data.splits import ImageData
from nas.training.evaluate import evaluate
from nas.training.fit import fit
from nas.training.preprocess import check_images, preprocess_beside, preprocess_of
from nas.training.recipe import Recipe
from nas.training.weights import trained_network
from tests.training.series_files_of_tests import waves, waves_folder, write_ts, write_tsv

SPACE = {
    "assume": {"channels": 1, "resolution": 24, "num_classes": 3, "dims": 1},
    "stem": {"block": "conv", "out_channels": 8, "kernel": 5},
    "stages": [{"block": "residual_basic", "out_channels": 12, "kernel": 3, "stride": 2}],
    "head": {"block": "classifier"},
}
ALONE = """
import importlib.abc, runpy, sys
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("nas", "torch", "onnx", "scipy", "yaml", "PIL", "pandas"):
            raise ImportError(f"{name} is not installed here")
sys.meta_path.insert(0, Refuse())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("series")


@pytest.fixture(scope="module")
def data(home: Path) -> ImageData:
    return load_data(DataConfig(name="series", root=str(waves_folder(home / "waves"))))


@pytest.fixture(scope="module")
def arch(data: ImageData) -> nas.Architecture:
    return nas.SearchSpace.from_dict(SPACE).for_data(data.input_shape, data.num_classes).decode({})


@pytest.fixture(scope="module")
def weights(home: Path, data: ImageData, arch: nas.Architecture) -> Path:
    path = home / "weights" / "w.safetensors"
    recipe = Recipe(epochs=6, batch_size=16, lr=0.02, shift=0.1, erase=0.2, mixup=0.1)
    found = fit(arch, data, recipe, nas.Budget(weights=str(path), int8=str(home)), seed=0)
    assert found.scores["val_accuracy"] > 0.8  # a third by chance
    assert found.scores["int8_accuracy"] > 0.7
    return path


@pytest.fixture(scope="module")
def shipped(home: Path, data: ImageData, arch: nas.Architecture, weights: Path) -> Path:
    out = home / "shipped"
    preprocess = preprocess_of(data, arch)
    assert preprocess_beside(weights, arch) == preprocess
    export_model(
        out,
        arch,
        read_weights(weights),
        preprocess,
        Card(name="Image classifier of waves", data=data.record()),
        source=architecture_source(arch),
        images=check_images(data, 32),
    )
    return out


def _theirs(data: ImageData, arch: nas.Architecture, weights: Path) -> np.ndarray[Any, Any]:
    """Return the probabilities of the validation split, as training has them."""
    network = trained_network(arch, weights)
    with torch.inference_mode():
        parts = [network(inputs).softmax(1) for inputs, _ in Batches(data.val, data, 64, arch.input_shape)]
    return torch.cat(parts).numpy()


def _validation(data: ImageData) -> tuple[list[np.ndarray[Any, Any]], list[str]]:
    """Return the series of the validation split without what is absent behind them, and their classes."""
    values = data.val.read(torch.arange(len(data.val.labels))).numpy()
    series = [own[:1, : int(own[1].sum())] for own in values]
    return series, [data.classes[label] for label in data.val.labels]


def _shares(told: list[dict[str, Any]], data: ImageData) -> np.ndarray[Any, Any]:
    return np.array(
        [[{p["class"]: p["probability"] for p in one["top"]}[name] for name in data.classes] for one in told]
    )


def test_from_the_file_on_the_shipped_code_says_what_training_says(
    home: Path, shipped: Path, data: ImageData, arch: nas.Architecture, weights: Path
) -> None:
    series, labels = _validation(data)
    table, ts = write_tsv(home / "val.tsv", series, labels), write_ts(home / "val.ts", series, labels)
    whole = np.full((len(series), 1, 40), np.nan, dtype=np.float32)  # longer than the model's
    for row, one in zip(whole, series, strict=True):
        row[:, : one.shape[1]] = one
    np.savez(home / "val.npz", x=whole)
    words = [sys.executable, "-c", ALONE, str(shipped / "predict.py"), table, ts, home / "val.npz", "--labelled"]
    done = subprocess.run([*map(str, words), "--format", "json"], capture_output=True, text=True, check=False, cwd=home)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [one["series"] for one in told[:2]] == [f"{table}:1", f"{table}:2"]
    assert told[len(series)]["series"] == f"{ts}:5"  # behind the header
    theirs = _theirs(data, arch, weights)
    np.testing.assert_allclose(_shares(told, data), np.concatenate([theirs] * 3), atol=2e-4)
    # And from Python, of files and of arrays.
    found = nas.predict(shipped, [table, *series[:2]], labelled=True)
    ours = [{"top": [{"class": name, "probability": share} for name, share in one.top]} for one in found]
    np.testing.assert_allclose(_shares(ours, data), np.concatenate([theirs, theirs[:2]]), atol=2e-4)


def test_the_record_states_series_and_nothing_of_pictures(shipped: Path, data: ImageData) -> None:
    said = json.loads((shipped / "preprocess.json").read_text())
    assert {name: said[name] for name in ("kind", "channels", "length", "mask", "missing")} == {
        "kind": "series",
        "channels": 1,
        "length": 24,
        "mask": True,
        "missing": "refuse",
    }
    assert (said["mean"], said["std"]) == ([data.mean[0]], [data.std[0]])
    assert not {"resize", "background", "depth", "shape", "network_size"} & said.keys()
    card = (shipped / "card.md").read_text()
    assert card.startswith("# Series classifier of waves\n")
    for word in ("picture", "image", "pixel", "pillow"):
        assert word not in card.partition("## Data")[0]
    assert "series of 1 channel and 24 steps" in card


def test_what_a_model_has_not_learned_is_refused_and_the_others_go_on(
    home: Path, shipped: Path, data: ImageData
) -> None:
    texts = {
        "bad.ts": "1,?,3\n",
        "two.ts": "1,2:3,4\n",
        "good.ts": "1,2,3\n" + ",".join("9" for _ in range(99)) + "\n",
    }
    for name, lines in texts.items():
        (home / name).write_text(f"@classLabel false\n@data\n{lines}")
    (home / "worse.csv").write_text("1,x\n")
    (home / "odd.txt").write_text("1\n")
    found = nas.predict(shipped, [home / name for name in (*texts, "worse.csv", "none.tsv", "odd.txt")])
    reasons = [
        "values are missing in it",
        "it has 2 channels, but the model takes 1",
        "",
        "",
        "line 1, value 2: 'x' must be a number",
        "No such file",
        "its name must end in .tsv, .csv, .ts, .npz",
    ]
    for one, reason in zip(found, reasons, strict=True):
        assert reason in one.error
        assert bool(one.top) == (not reason)


def test_a_table_that_begins_with_classes_is_not_taken_for_series(home: Path, shipped: Path) -> None:
    path = home / "numbers.tsv"
    path.write_text("slow\t1\t2\nfast\t3\t4\n")
    (one,) = nas.predict(shipped, [path])
    assert "all its rows begin with the name of a class of the model" in one.error
    assert len(nas.predict(shipped, [path], labelled=True)) == 2
    (one,) = nas.predict(shipped, [path], labelled=False)
    assert "'slow' must be a number" in one.error
    with pytest.raises(DataError, match="must be numbers"):
        nas.predict(shipped, [np.array([["a", "b"]])])


def test_the_code_in_the_folder_is_the_network(shipped: Path, arch: nas.Architecture, weights: Path) -> None:
    code = "import sys, torch; sys.path.insert(0, '.'); from model import load\n"
    code += "print(load('model.safetensors')(torch.ones(1, 2, 24)).tolist())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=shipped)
    with torch.inference_mode():
        wanted = trained_network(arch, weights)(torch.ones(1, 2, 24))
    np.testing.assert_allclose(json.loads(done.stdout), wanted.numpy(), rtol=1e-4, atol=1e-5)


def test_an_evaluation_of_the_files_is_that_of_the_weights(
    home: Path, shipped: Path, data: ImageData, arch: nas.Architecture, weights: Path
) -> None:
    from nas.training.evaluation_page import page

    config = DataConfig(name="series", root=str(home / "waves"))
    found = evaluate(shipped, config)
    right = _theirs(data, arch, weights).argmax(1) == data.val.labels.numpy()
    assert found.scores.accuracy == pytest.approx(right.mean())
    assert found.other_data == ""
    assert all(values.shape == (1, 24) for values in found.pixels)
    assert "<img" not in page(found)
    # Other data are brought to the length of the model, with its mask.
    other = write_tsv(home / "other.tsv", [one[:, :14] for one in waves(90, 8)[0]], waves(90, 8)[1])
    assert evaluate(shipped, DataConfig(name="series", root=str(other))).scores.images > 5
    folder = exportable_folder(home / "run", arch, weights)
    assert evaluate(folder, config).scores.accuracy == found.scores.accuracy


def exportable_folder(folder: Path, arch: nas.Architecture, weights: Path) -> Path:
    folder.mkdir()
    (folder / "architecture.json").write_text(arch.to_json())
    (folder / "weights.safetensors").write_bytes(weights.read_bytes())
    assert exportable(folder).architecture == arch
    return folder


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("length", [None, 6, 17])
def test_the_model_makes_what_training_makes_of_series(mask: bool, length: int | None) -> None:
    shape = (2 + mask, length or 10)
    space = {**SPACE, "assume": {"channels": shape[0], "resolution": shape[1], "num_classes": 3, "dims": 1}}
    arch = nas.SearchSpace.from_dict(space).decode({})
    torch.manual_seed(0)
    network = build(arch).eval()
    kept = {name: value.numpy() for name, value in network.state_dict().items()}
    preprocess = SeriesPreprocess(
        channels=2,
        length=10,
        mean=(1.5, -2.0),
        std=(2.0, 0.5),
        classes=("a", "b", "c"),
        mask=mask,
        network_length=length,
    )
    model = as_shipped(to_onnx(lower(arch), kept), preprocess)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    series = np.random.default_rng(0).normal(size=(5, 2, 10)).astype(np.float32)
    series[1, :, 7:] = np.nan
    series[2, 0, 3] = np.nan
    # By hand: what is there is normalised, elsewhere is 0, and the mask says where anything is.
    inputs = (series - np.array([[1.5], [-2.0]])) / np.array([[2.0], [0.5]])
    inputs = np.where(np.isnan(series), 0, inputs)
    there = np.ones((5, 1, 10))
    there[1, :, 7:] = 0
    inputs = np.concatenate([inputs, there], axis=1) if mask else inputs
    assert preprocess.network_input(series).shape == (5, *shape)
    if length is None:
        np.testing.assert_allclose(preprocess.network_input(series), inputs, rtol=1e-5)
    with torch.inference_mode():
        wanted = network(torch.from_numpy(preprocess.network_input(series)))
    logits, probabilities = session.run(None, {"series": series})
    np.testing.assert_allclose(logits, wanted.numpy(), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(probabilities, wanted.softmax(1).numpy(), rtol=1e-3, atol=1e-4)
    if mask:  # of any length: what is behind the tenth step does not count, and what is not there is absent
        longer = np.concatenate([series, np.ones((5, 2, 4), dtype=np.float32)], axis=2)
        np.testing.assert_allclose(session.run(None, {"series": longer})[0], logits, rtol=1e-4, atol=1e-5)
        shorter = session.run(None, {"series": series[1:2, :, :7]})[0]
        np.testing.assert_allclose(shorter, logits[1:2], rtol=1e-4, atol=1e-5)


GOOD = {"kind": "series", "channels": 1, "length": 4, "mean": [0.5], "std": [2], "classes": ["a", "b"]}


def test_a_record_is_read_as_it_was_written() -> None:
    found = preprocess_from(GOOD)
    assert preprocess_from(json.loads(json.dumps(found.to_dict()))) == found


@pytest.mark.parametrize(
    "change",
    [
        {"channels": 0},
        {"channels": True},
        {"length": 2**40},
        {"length": 1.5},
        {"mean": [1, 2]},
        {"mean": "0"},
        {"mean": [1e31]},
        {"mean": [10**400]},
        {"std": [0]},
        {"std": [-1]},
        {"classes": []},
        {"classes": [1, 2]},
        {"classes": ["\ud800", "b"]},
        {"mask": 1},
        {"missing": "zero"},
        {"missing": []},
        {"network_length": 0},
        {"normalise": "x"},
        {"task": "other"},
        {"shape": [1, 2, 3]},
        {"mean": None},
    ],
    ids=str,
)
def test_a_record_that_cannot_be_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        preprocess_from({**GOOD, **change})


def test_models_for_series_and_for_pictures_are_told_apart(shipped: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is a model for 'series', not for pictures"):
        open_model(shipped / "model.onnx")
    import onnx

    model = onnx.load(shipped / "model.onnx")
    known = {one.key: one.value for one in model.metadata_props}
    said = json.loads(known["preprocess"])
    for change, wanted in (
        ({"channels": "x"}, "what it says of its series cannot be"),
        ({"length": 10**12}, "what it says of its series cannot be"),
        ({"mask": 3}, "what it says of its series cannot be"),
        ({"missing": ["a"]}, "what it says of its series cannot be"),
        ({"task": "other"}, "which this code does not know"),
        ({"kind": "sounds"}, "is a model for 'sounds', not for pictures"),
    ):
        onnx.helper.set_model_props(model, {**known, "preprocess": json.dumps({**said, **change})})
        onnx.save(model, tmp_path / "model.onnx")
        with pytest.raises(ConfigError, match=wanted):
            nas.predict(tmp_path, [np.zeros((1, 24))])
