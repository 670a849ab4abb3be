"""Trials that wait for more budget and rejected ones in MLflow, and what the page of a study says."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

import nas
from nas.evaluation import Evaluation, Evaluator
from nas.records import tracker as tracker_module
from nas.records.description import as_text, description_of, rejected_table
from nas.records.tracker import MlflowTracker
from nas.records.values import MAX_TEXT
from nas.search.budgets.pruning import Pruning
from nas.search.study import Study
from nas.search.trial import State
from tests.reports import studies

SPACE = nas.SearchSpace.from_dict(
    {
        "name": "tiny",
        "assume": {"channels": 1, "resolution": 8, "num_classes": 2},
        "stages": [{"block": "conv", "out_channels": {"choose": list(range(1, 30))}, "kernel": {"choose": [1, 3]}}],
        "head": {"block": "classifier"},
    }
)


def _climb(arch: nas.Architecture, budget: nas.Budget, seed: int) -> Evaluation:
    """The score and the curve of so many epochs."""
    width = nas.cost_of(arch).params
    assert budget.epochs is not None
    rows = tuple({"epoch": float(e), "val_accuracy": width * e / 1e4} for e in range(1, budget.epochs + 1))
    return Evaluation({"val_accuracy": width * budget.epochs / 1e4}, rows, {"evaluation": 1.0})


def _search(root: Path, evaluator: Evaluator, **arguments: Any) -> Study:
    recorder = MlflowTracker(root)
    study = nas.run_search(SPACE, evaluator, run_dir=root / "run", recorders=[recorder], seed=3, **arguments)
    assert recorder.trouble == ""
    return study


def _runs(root: Path) -> dict[str, Run]:
    client = MlflowClient(tracking_uri=MlflowTracker(root).uri)
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    return {run.data.tags["nas.trial"]: run for run in runs}


_HALVING: Mapping[str, Any] = {
    "budget": nas.Budget(epochs=9),
    "pruner": Pruning(name="asha", eta=3),
    "sampler": "random",
}


class _Interrupted:
    """Is interrupted at an evaluation."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, arch: nas.Architecture, budget: nas.Budget, seed: int) -> Evaluation:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return _climb(arch, budget, seed)


def test_a_trial_that_waits_for_more_budget_is_a_run_that_goes_on(root: Path) -> None:
    _search(root, _Interrupted(5), trials=20, **_HALVING)
    paused = [trial for trial in nas.load_study(root / "run").trials if trial.state is State.PAUSED]
    assert paused
    runs = _runs(root)
    assert runs["study"].info.status == "SCHEDULED", "an interrupted study is not red"
    for trial in paused:
        run = runs[str(trial.number)]
        assert run.info.status == "SCHEDULED"
        assert run.data.tags["state"] == "paused"
        assert run.data.metrics["val_accuracy"] == trial.scores["val_accuracy"]


def test_more_budget_brings_it_to_its_end_with_one_curve(root: Path) -> None:
    _search(root, _Interrupted(12), trials=30, **_HALVING)
    before = {key for key, run in _runs(root).items() if run.info.status == "SCHEDULED"}
    study = _search(root, _climb, trials=30, resume=True, **_HALVING)
    runs = _runs(root)
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    client = MlflowClient(tracking_uri=MlflowTracker(root).uri)
    grown = [trial for trial in study.trials if str(trial.number) in before and len(trial.history) > 1]
    assert grown
    for trial in grown:
        run = runs[str(trial.number)]
        assert run.data.tags["state"] == trial.state.value
        assert run.data.metrics["val_accuracy"] == trial.scores["val_accuracy"]
        points = client.get_metric_history(run.info.run_id, "epoch/val_accuracy")
        assert sorted(point.step for point in points) == list(range(1, len(trial.history) + 1)), (
            "no point is there twice"
        )


def test_the_first_rejected_trials_are_runs_and_all_are_in_a_table(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker_module, "MOST_REJECTED", 3)
    study = _search(root, _climb, trials=12, sampler="tpe", constraints={"params": 130}, budget=nas.Budget(epochs=1))
    rejected = [trial for trial in study.trials if trial.state is State.REJECTED]
    assert len(rejected) > 3
    runs = _runs(root)
    shown = {key for key, run in runs.items() if run.data.tags["state"] == "rejected"}
    assert shown == {str(trial.number) for trial in rejected[:3]}
    assert all(runs[str(trial.number)].data.tags["reason"] == trial.reason for trial in rejected[:3])
    client = MlflowClient(tracking_uri=MlflowTracker(root).uri)
    file = client.download_artifacts(runs["study"].info.run_id, "rejected.csv")
    rows = list(csv.DictReader(Path(file).read_text().splitlines()))
    assert [int(row["trial"]) for row in rows] == [trial.number for trial in rejected]
    for row, trial in zip(rows, rejected, strict=True):
        assert float(row["params"]) == nas.cost_of(SPACE.decode(trial.genotype)).params > 130
        assert row["stages.0.out_channels"] == str(trial.genotype["stages.0.out_channels"])
    note = runs["study"].data.tags["mlflow.note.content"]
    assert f"{len(rejected)} rejected" in note
    assert "the first 3 are runs; all are in the artifact rejected.csv" in note


def test_the_page_of_a_study_says_what_came_out(root: Path) -> None:
    config = {"constraints": {"params": 200, "macs": None}}
    study = _search(root, _climb, trials=5, notes={"config": config}, budget=nas.Budget(epochs=1))
    runs = _runs(root)
    note = runs["study"].data.tags["mlflow.note.content"]
    assert "to maximize val\\_accuracy, within params <= 200." in note.replace("\\<", "<").replace("&lt;", "<")
    best = study.best(1)[0]
    row = next(line for line in note.splitlines() if line.startswith(f"| [{best.number}]"))
    ids = runs["study"].info.experiment_id, runs[str(best.number)].info.run_id
    page = "#/experiments/{}/runs/{}?workflowType=machine_learning".format(*ids)
    params = nas.cost_of(SPACE.decode(best.genotype)).params
    assert row.startswith(f"| [{best.number}]({page}) | {best.scores['val_accuracy']:.4f} | {params:,} |")
    assert "finish" in note
    assert str(root / "run") in note


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "[a](javascript:alert(1))", "| a | b |", "**x**", "`x`"])
def test_names_are_shown_as_text(name: str) -> None:
    shown = as_text(name)
    assert "<" not in shown
    assert "\n" not in as_text(f"{name}\r\n# heading")
    assert as_text("it's") == "it's"
    assert as_text("a\u202eb\x1b") == r"a\\u202eb\\x1b"
    assert not re.search(r"(?<!\\)[\[\]|*`]", shown)


def test_a_front_has_its_knee_in_bold() -> None:
    study = nas.run_search(SPACE, _climb, trials=12, objective=["val_accuracy", "macs"], budget=nas.Budget(epochs=1))
    knee = study.knee()
    assert knee is not None
    assert f"| **{knee.number}** |" in description_of(study, {}, 500)


def test_a_cell_is_no_formula() -> None:
    study = nas.run_search(
        SPACE, _climb, trials=3, sampler="tpe", constraints={"params": 60}, budget=nas.Budget(epochs=1)
    )
    trial = next(trial for trial in study.trials if trial.state is State.REJECTED)
    rows = list(csv.reader(io.StringIO(rejected_table([replace(trial, reason='=HYPERLINK("http://x")')]))))
    assert rows[1][1] == '\'=HYPERLINK("http://x")'


def test_files_that_come_after_the_end_are_artifacts_of_the_study(root: Path) -> None:
    recorder = MlflowTracker(root)
    nas.run_search(SPACE, lambda *_: 1.0, trials=1, run_dir=root / "run", recorders=[recorder])
    for text in ("first", "second"):
        (root / "run" / "report.html").write_text(text)
        recorder.log_files([root / "run" / "report.html"])
    client = MlflowClient(tracking_uri=recorder.uri)
    file = client.download_artifacts(_runs(root)["study"].info.run_id, "report.html")
    assert Path(file).read_text() == "second"
    assert recorder.browse(root / "run").startswith("Browse: ")
    (root / "run" / "report.html").unlink()
    recorder.log_files([root / "run" / "report.html"])
    assert recorder.browse(root / "run").startswith("MLflow was not written: ")
    assert f"nas records {root / 'run'} writes what is missing" in recorder.browse(root / "run")


def test_a_long_front_fits_into_a_description() -> None:
    """A tag takes so much text: what is cut off in the middle of a table is no table."""
    trials = [studies.trial(number, number / 1000, macs=1000 + number) for number in range(200)]
    made = studies.study(*trials, objective=["val_accuracy", "macs"])
    knee = made.knee()
    assert knee is not None
    page = "/#/experiments/1/runs/0123456789abcdef0123456789abcdef?workflowType=machine_learning"
    text = description_of(made, dict.fromkeys(range(200), page), 500)
    assert len(text) <= MAX_TEXT
    rows = [line for line in text.splitlines() if line.startswith("| ") and "---" not in line][1:]
    assert len(rows) == 21
    assert sum(row.startswith(f"| **[{knee.number}]") for row in rows) == 1
    assert "; 179 further networks on it are in the artifact pareto_front.json:" in text
    assert "200 completed" in text


def test_a_huge_score_is_told_in_few_digits() -> None:
    text = description_of(studies.study(studies.trial(0, 1e300), studies.trial(1, 0.5)), {}, 500)
    assert "| 0 | 1e+300 |" in text
    assert "| 1 | 0.5000 |" in text
