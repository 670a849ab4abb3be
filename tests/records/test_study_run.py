"""A study in MLflow: written once, whatever happens."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from nas.records.batch import BatchStore
from nas.records.store import Store, open_store
from nas.records.study_run import StudyRun
from nas.records.values import Record, mlflow_name, values_of


@pytest.fixture
def store(root: Path) -> Store:
    return open_store(root)


def study_run(store: Store, study_id: str = "study-1", **arguments: Any) -> StudyRun:
    return StudyRun(store, "sizes", study_id, **{"name": "a study", "settings": {}, **arguments})


def record(key: str, *, failed: bool = False, metrics: dict[str, float] | None = None) -> Record:
    """What is written of a training run."""
    tags = {"state": "failed", "reason": "the loss is not a number"} if failed else {"state": "completed"}
    values = values_of({"arch_id": key, "lr": 1e-3}, {} if failed else metrics or {"val_accuracy": 0.9, "macs": 1e6})
    return Record(key, f"run {key}", tags, values, "FAILED" if failed else "FINISHED", 1_000_000, 4_000_000)


def runs_of(client: MlflowClient, study_id: str = "study-1") -> dict[str, Run]:
    experiment = client.get_experiment_by_name("sizes")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], f"tags.`nas.study_id` = '{study_id}'")
    by_key = {run.data.tags["nas.trial"]: run for run in runs}
    assert len(by_key) == len(runs)
    return by_key


def test_repeating_a_write_adds_nothing(store: Store, tmp_path: Path) -> None:
    settings = {"mode": "family", "train": {"epochs": 3}}
    report = tmp_path / "report.md"
    report.write_text("# Report")
    for _ in range(2):
        study = study_run(store, settings=settings, files={"space.json": {"name": "tiny"}})
        assert store.client.get_run(study.run_id).info.status == "RUNNING"
        study.write([record("a"), record("b", failed=True)])
        study.write([record("a")])
        study.set_tag("forecast_sha256", "abc")
        study.log({"exponent": 0.5})
        study.log_files([report])
        study.end()
    study_run(store, "study-2").write([record("a")])
    by_key = runs_of(store.client)
    assert sorted(by_key) == ["a", "b", "study"]
    assert by_key["a"].data.metrics == {"val_accuracy": 0.9, "macs": 1e6}
    assert (by_key["a"].info.start_time, by_key["a"].info.end_time) == (1_000_000, 4_000_000)
    assert (by_key["a"].info.status, by_key["b"].info.status) == ("FINISHED", "FAILED")
    assert by_key["b"].data.tags["reason"] == "the loss is not a number"
    assert by_key["a"].data.tags["mlflow.parentRunId"] == by_key["study"].info.run_id
    assert by_key["study"].data.params == {"mode": "family", "train.epochs": "3"}
    assert by_key["study"].data.metrics == {"exponent": 0.5}
    assert by_key["study"].data.tags["forecast_sha256"] == "abc"
    assert by_key["study"].info.status == "FINISHED"
    files = {file.path for file in store.client.list_artifacts(by_key["study"].info.run_id)}
    assert files == {"space.json", "report.md"}


def test_a_study_that_is_written_again_ended_when_it_did(store: Store) -> None:
    def write(*keys: str) -> Any:
        study = study_run(store)
        study.write([record(key) for key in keys])
        study.end()
        return store.client.get_run(study.run_id).info.end_time

    before = time.time() * 1000
    first = write("a")
    assert before - 1 <= first <= time.time() * 1000
    time.sleep(0.01)
    assert write("a") == first
    assert write("a", "b") > first


def test_a_run_that_was_repeated_is_no_failure(store: Store) -> None:
    for failed in (True, True, False, True):
        study_run(store).write([record("a", failed=failed)])
    run = runs_of(store.client)["a"]
    assert run.info.status == "FINISHED"
    assert run.data.tags["state"] == "completed"
    assert "reason" not in run.data.tags
    assert run.data.metrics["val_accuracy"] == 0.9


def test_a_run_that_was_cut_off_is_completed(store: Store) -> None:
    study_run(store).write([record("a")])
    run_id = runs_of(store.client)["a"].info.run_id
    store.client.update_run(run_id, status="RUNNING")
    study = study_run(store)
    assert not study.has_ended("a")
    study.write([record("a", metrics={"val_accuracy": 0.9, "macs": 1e6, "params": 5.0})])
    run = runs_of(store.client)["a"]
    assert (run.info.run_id, run.info.status) == (run_id, "FINISHED")
    assert run.data.metrics["params"] == 5.0
    assert study.has_ended("a")


def refuses(monkeypatch: pytest.MonkeyPatch, *keys: str) -> None:
    """Let the database refuse the values of some runs, alone and together with others."""
    real = BatchStore.log_batch, MlflowClient.log_batch
    for owner, log_batch in zip((BatchStore, MlflowClient), real, strict=True):

        def refuse(self: Any, run_id: str, *given: Any, _real: Any = log_batch, **named: Any) -> Any:
            params = [*(given[1] if len(given) > 1 else ()), *named.get("params", ())]
            if any(param.key == "arch_id" and param.value in keys for param in params):
                raise MlflowException("no such value")
            return _real(self, run_id, *given, **named)

        monkeypatch.setattr(owner, "log_batch", refuse)


def test_one_run_stops_no_other(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    study = study_run(store)
    study.write([record("a", metrics={"acc@5": 1.0, "b": math.inf}), record("b", metrics={"macs": 1.0})])
    runs = runs_of(store.client)
    assert runs["a"].data.metrics == {mlflow_name("acc@5"): 1.0}
    assert runs["a"].data.tags["left_out"] == "b is inf"
    with monkeypatch.context() as patch:
        refuses(patch, "c")
        study.write([record("c"), record("d", metrics={"macs": 2.0})])
    assert study.lacking == {"c": "MlflowException: no such value"}
    assert runs_of(store.client)["d"].data.metrics == {"macs": 2.0}
    again = study_run(store)
    again.write([record("c")])
    assert again.lacking == {}
    assert runs_of(store.client)["c"].info.status == "FINISHED"


def test_a_database_that_takes_nothing_is_given_up(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    study = study_run(store)
    keys = [f"run {number}" for number in range(30)]
    refuses(monkeypatch, *keys)
    with pytest.raises(MlflowException, match="no such value"):
        study.write([record(key) for key in keys])
    assert list(study.lacking) == keys[:10]


def test_a_run_gets_a_tag_and_loses_it(store: Store) -> None:
    study_run(store).write([record("a"), record("b")])
    study_run(store).tag_child("a", "front", "yes")
    assert runs_of(store.client)["a"].data.tags["front"] == "yes"
    study = study_run(store)
    for key in study.children:
        study.tag_child(key, "front", None)
    assert "front" not in runs_of(store.client)["a"].data.tags
