"""A search for a score that counts classes alike, and its finish by the same score."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import nas
from nas.finishing.bench import Measure
from nas.finishing.words import Unit
from nas.search.objectives import objectives_from
from nas.training.tasks.classification import CLASSIFICATION
from tests.run_command import run

SCORES = CLASSIFICATION.val_scores
SPACE = """
name: tiny
stem: {block: conv, out_channels: {choose: [4, 8]}, stride: 2}
stages:
  - {block: residual_basic, out_channels: {choose: [8, 12, 16]}, kernel: {choose: [3, 5]}, stride: 2}
head: {block: classifier}
"""


def test_each_score_has_its_direction_its_counterpart_and_its_unit() -> None:
    directions = {one.name: one.direction for one in objectives_from(SCORES)}
    assert directions == {**dict.fromkeys(SCORES, "maximize"), "val_loss": "minimize"}
    measures = {name: Measure(name).on_test for name in SCORES}
    assert {measure.name for measure in measures.values()} == {
        "test_accuracy",
        "test_loss",
        "test_balanced_accuracy",
        "test_macro_f1",
        "test_top5",
    }
    assert {name: Unit.of(measure).score(0.5) for name, measure in measures.items()} == {
        "val_accuracy": "50.00 %",
        "val_balanced_accuracy": "50.00 %",
        "val_top5": "50.00 %",
        "val_loss": "0.5000",
        "val_macro_f1": "0.5000",
    }
    # Of the others no interval of a binomial holds: their images do not count the same.
    assert {name for name, measure in measures.items() if measure.of_images} == {"val_accuracy", "val_top5"}


@pytest.mark.slow
def test_a_search_and_its_finish_go_by_balanced_accuracy(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SPACE)
    words = ["+space=tiny.yaml", "name=x", "workers=1", "search.trials=4", "train.epochs=2", "data.train_fraction=0.2"]
    words += ["search.objective=[val_balanced_accuracy,macs]", "records.mlflow=false"]
    assert run("nas.search", *words, cwd=tmp_path).returncode == 0
    folder = tmp_path / "runs" / "x"
    trials = [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]
    trained = [trial for trial in trials if trial.get("scores")]
    assert len(trained) == 4
    assert all({*trial["scores"]} == {*SCORES} for trial in trained)

    words = ["finish.top_k=2", "finish.seeds=1", "finish.final_seeds=2", "finish.baseline=none", "train.epochs=3"]
    assert run("nas", "finish", "runs/x", *words, "workers=1", "mlflow=false", cwd=tmp_path).returncode == 0
    report = json.loads((folder / "finish" / "report.json").read_text())
    assert report["measure"] == "val_balanced_accuracy"
    jobs = [json.loads(line) for line in (folder / "finish" / "trials.jsonl").read_text().splitlines()]
    tested = [job for job in jobs if job.get("phase") == "test"]
    assert [{*job["scores"]} for job in tested] == 2 * [{name.replace("val_", "test_") for name in SCORES}]
    # What ships are the weights of the first seed, which are scored here from the exported file.
    found = nas.evaluate(folder / "finish" / "model", split="test").scores
    recalls = [row[i] / sum(row) for i, row in enumerate(found.confusion)]
    assert tested[0]["scores"]["test_balanced_accuracy"] == pytest.approx(sum(recalls) / len(recalls), abs=0.003)
    assert tested[0]["scores"]["test_macro_f1"] == pytest.approx(found.macro_f1, abs=0.003)
    assert tested[0]["scores"]["test_top5"] == pytest.approx(found.top5, abs=0.003)
