"""A scaling study in MLflow: written once, whatever happens."""

from __future__ import annotations

from pathlib import Path

from mlflow import MlflowClient

from nas.records.scaling import ScalingRecords, TrainingRecord


def record(key: str, *, failed: bool = False) -> TrainingRecord:
    """One training run."""
    return TrainingRecord(
        key=key,
        name=f"run {key}",
        params={"arch_id": key, "lr": 1e-3},
        metrics={} if failed else {"val_accuracy": 0.9, "macs": 1e6},
        failed=failed,
        reason="the loss is not a number" if failed else "",
        seconds=3.0,
    )


def test_repeating_a_write_adds_nothing(root: Path) -> None:
    settings = {"mode": "family", "train": {"epochs": 3}}
    for _ in range(2):
        records = ScalingRecords(root, "study-1", "sizes", settings)
        records.write([record("a"), record("b", failed=True)])
        records.write([record("a")])
        records.freeze("abc", {"forecast": 0.1})
        records.end({"exponent": 0.5}, [])
    ScalingRecords(root, "study-2", "others", settings).write([record("a")])
    client = MlflowClient(tracking_uri=records.uri)
    experiment = client.get_experiment_by_name("scaling")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.`nas.study_id` = 'study-1'")
    by_key = {run.data.tags["nas.trial"]: run for run in runs}
    assert sorted(by_key) == ["a", "b", "study"]
    assert len(runs) == 3
    assert by_key["a"].data.metrics == {"val_accuracy": 0.9, "macs": 1e6}
    assert (by_key["a"].info.status, by_key["b"].info.status) == ("FINISHED", "FAILED")
    assert by_key["b"].data.tags["reason"] == "the loss is not a number"
    assert by_key["a"].data.tags["mlflow.parentRunId"] == by_key["study"].info.run_id
    assert by_key["study"].data.params == {"mode": "family", "train.epochs": "3"}
    assert by_key["study"].data.tags["forecast_sha256"] == "abc"


def test_a_run_that_was_repeated_is_no_failure(root: Path) -> None:
    for failed in (True, True, False):
        records = ScalingRecords(root, "study-3", "sizes", {})
        records.write([record("a", failed=failed)])
    client = MlflowClient(tracking_uri=records.uri)
    experiment = client.get_experiment_by_name("scaling")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], "tags.`nas.trial` = 'a'")
    assert run.info.status == "FINISHED"
    assert run.data.tags["state"] == "completed"
    assert "reason" not in run.data.tags
    assert run.data.metrics["val_accuracy"] == 0.9
