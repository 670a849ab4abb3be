"""No model is scored on images that it may have learned, and what ships stays as it was exported."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

import nas
from nas.commands.evaluate import evaluate_command
from nas.errors import DataError
from nas.exporting.settings import ExportSettings
from nas.training.data.load import load_data
from nas.training.data.test_split import Ledger
from nas.training.model_file import model_in
from nas.training.train import TrainedModel
from nas.training.trained_on import TrainedOn, trained_on
from tests.training.test_fit import ARCH, DATA, RECIPE

FP32 = ExportSettings(int8="never")
OTHER_SPLIT = replace(DATA, split_seed=9)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    return nas.train(ARCH, DATA, replace(RECIPE, epochs=1), folder=tmp_path_factory.mktemp("runs") / "one")


@pytest.fixture(scope="module")
def shipped(model: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shipped") / "model"
    nas.export(model, out, settings=FP32)
    return out


def test_another_split_of_the_same_data_is_refused(model: TrainedModel, shipped: Path, tmp_path: Path) -> None:
    was, now = load_data(DATA).fingerprint, load_data(OTHER_SPLIT).fingerprint
    for folder in (model.folder, shipped):
        for split in ("val", "test"):
            with pytest.raises(DataError, match=rf"split in another way \(fingerprint {now}\) .*{was}.*: give data as"):
                nas.evaluate(folder, OTHER_SPLIT, split=split)
    assert not Ledger(model.folder).path.exists(), "nothing was read"
    with pytest.raises(DataError, match="split in another way"):
        nas.export(model, tmp_path / "out", data=OTHER_SPLIT, settings=FP32)
    assert nas.evaluate(model).other_data == nas.evaluate(shipped, DATA).other_data == ""


def test_an_exported_model_from_before_says_it_in_its_card(shipped: Path, tmp_path: Path) -> None:
    shutil.copytree(shipped, tmp_path / "old")
    network = onnx.load(tmp_path / "old" / "model.onnx")
    kept = [prop for prop in network.metadata_props if prop.key in ("classes", "preprocess")]
    del network.metadata_props[:]
    network.metadata_props.extend(kept)
    onnx.save(network, tmp_path / "old" / "model.onnx")
    assert nas.evaluate(tmp_path / "old", DATA).arch_id == ARCH.arch_id
    with pytest.raises(DataError, match="split in another way"):
        nas.evaluate(tmp_path / "old", OTHER_SPLIT)
    (tmp_path / "old" / "card.md").unlink()
    found = nas.evaluate(tmp_path / "old", OTHER_SPLIT)
    assert (found.other_data, found.arch_id) == ("it is not known what data it was trained on", "")


def test_records_of_strangers_say_nothing(tmp_path: Path) -> None:
    for text in ("[" * 100_000, "7", '{"name": 1}', '{"name": "a", "split_fingerprint": []}'):
        assert trained_on({"trained_on": text}, [tmp_path]) is None
    odd = '{"name": "a", "split_fingerprint": "b", "images_by_class": {"x": [1, "2"]}}'
    assert trained_on({"trained_on": odd}, []) == TrainedOn("a", "b")


@pytest.mark.parametrize(
    ("place", "given", "results"),
    [
        ("model", "model", "evaluation_val"),
        ("finish/model", "finish/model", "finish/evaluation_val"),
        ("finish/model", "finish", "finish/evaluation_val"),
    ],
)
def test_what_is_found_out_of_a_model_in_a_run_goes_to_the_run(
    shipped: Path, tmp_path: Path, place: str, given: str, results: str
) -> None:
    """What a finish recommends is another network than the best of the search: neither takes the other's place."""
    shutil.copytree(shipped, tmp_path / "run" / place)
    (tmp_path / "run" / "study.json").write_text("{}")
    before = sorted(os.listdir(shipped))
    found = nas.evaluate(tmp_path / "run" / given, DATA, split="test")
    assert found.arch_id == ARCH.arch_id
    assert [entry.arch_id for entry in Ledger(tmp_path / "run").entries()] == [ARCH.arch_id]
    assert model_in(tmp_path / "run" / given).results("val") == tmp_path / "run" / results
    assert sorted(os.listdir(tmp_path / "run" / place)) == before


def test_what_is_found_out_of_a_model_that_ships_goes_beside_it(shipped: Path, tmp_path: Path) -> None:
    shutil.copytree(shipped, tmp_path / "shipped")
    data = {"name": "synthetic", **{name: getattr(DATA, name) for name in ("samples", "num_classes", "split_seed")}}
    typed = [f"data.{name}" for name in data]
    assert evaluate_command({"model": str(tmp_path / "shipped"), "split": "test", "data": data}, typed) == 0
    assert sorted(os.listdir(tmp_path)) == ["shipped", "shipped_evaluation_test"]
    results = tmp_path / "shipped_evaluation_test"
    assert json.loads((results / "evaluation.json").read_text())["other_data"] == ""
    assert len(Ledger(results).entries()) == 1
    assert sorted(os.listdir(tmp_path / "shipped")) == sorted(os.listdir(shipped))
