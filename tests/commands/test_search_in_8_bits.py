"""A search for what is worth most in 8 bits, as a person runs it, beside an export of what it trained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
import yaml

import nas
from nas.evaluators.training import TrainingEvaluator
from nas.exporting.card import Card
from nas.exporting.folder import export_model, read_weights
from nas.exporting.settings import ExportSettings
from nas.settings import settings_from
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.preprocess import check_images, preprocess_of
from nas.training.recipe import Recipe
from tests.run_command import run

SPACE: dict[str, Any] = {
    "name": "two",
    "assume": {"channels": 1, "resolution": 8, "num_classes": 10},
    "stem": {"block": "conv", "out_channels": {"choose": [16, 32]}},
    "stages": [{"block": "conv", "out_channels": 64, "stride": 2}],
    "head": {"block": "classifier"},
}


def _exported_accuracy(arch: nas.Architecture, seed: int, config: Mapping[str, Any], folder: Path) -> float:
    """Train a network as the search did, export it, and run `model.int8.onnx` on the validation split."""
    torch.set_num_threads(1)
    settings, recipe = (
        settings_from(DataConfig, config["data"], "data"),
        settings_from(Recipe, config["train"], "train"),
    )
    data, weights = load_data(settings), folder / f"{arch.arch_id}.safetensors"
    TrainingEvaluator(settings, recipe, "cpu")(arch, nas.Budget(epochs=2, weights=str(weights)), seed)
    out = folder / arch.arch_id
    export_model(
        out,
        arch,
        read_weights(weights),
        preprocess_of(data, arch),
        Card(name="two"),
        images=check_images(data, ExportSettings().calibration_images),
        settings=ExportSettings(max_drop=100),
    )
    session = onnxruntime.InferenceSession(out / "model.int8.onnx", providers=["CPUExecutionProvider"])
    labels = data.val.labels
    pixels = data.val.read(torch.arange(len(labels))).permute(0, 2, 3, 1).contiguous().numpy()
    (found,) = session.run(["logits"], {session.get_inputs()[0].name: pixels})
    return float((found.argmax(1) == labels.numpy()).mean())


@pytest.mark.slow
def test_accuracy_and_latency_in_8_bits(tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(SPACE))
    begin = ["+space=two.yaml", "train.epochs=2", "workers=1", "accelerator=cpu", "search.trials=2"]
    limits = ["constraints.int8_accuracy=[0.05,null]", "soft.int8_latency_ms=1000", "records.mlflow=false"]
    done = run("nas.search", *begin, *limits, "search.objective=[val_accuracy,int8_latency_ms]", "name=x", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Limits on what only training shows, so that networks over them are trained all the same" in done.stdout
    assert "Its latency in 8 bits: " in done.stdout
    trials = [json.loads(line) for line in (tmp_path / "runs" / "x" / "trials.jsonl").read_text().splitlines()]
    assert [trial["state"] for trial in trials] == ["completed", "completed"]
    space = nas.SearchSpace.from_dict(SPACE).for_data((1, 8, 8), 10)
    config = json.loads((tmp_path / "runs" / "x" / "study.json").read_text())["notes"]["config"]
    for trial in trials:
        arch, scores = space.decode(trial["genotype"]), trial["scores"]
        exported = _exported_accuracy(arch, trial["seed"], config, tmp_path)
        assert scores["int8_accuracy"] == pytest.approx(exported, abs=1e-12)
        assert scores["int8_latency_ms"] == trial["int8_latency"]["ms"] > 0
        assert trial["int8_latency"]["deployment"] == {"runtime": "onnxruntime", "batch": 1, "threads": 1}
        assert {violation["metric"] for violation in trial["violations"]} == {"int8_accuracy", "int8_latency_ms"}
    front = json.loads((tmp_path / "runs" / "x" / "pareto_front.json").read_text())
    assert {*front[0]["objectives"]} == {"val_accuracy", "int8_latency_ms"}

    # No network is right in all images: both are trained, and neither is the result.
    limits = ["constraints.int8_accuracy=[1,null]", "records.mlflow=false", "name=y"]
    done = run("nas.search", *begin, *limits, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "2 over_limit" in done.stdout
    assert "Rejected by: int8_accuracy 2" in done.stdout
    assert not (tmp_path / "runs" / "y" / "best_architecture.json").exists()
