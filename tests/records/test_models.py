"""Trained networks as logged models, and as versions in the registry."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from onnx import TensorProto, helper

from nas.records.models import ModelRecord, register_model, write_model
from nas.records.store import open_store
from nas.records.study_run import StudyRun
from nas.records.values import Record, values_of


def _double(made: list[int]) -> bytes:
    """A model that gives twice its input."""
    made.append(1)
    graph = helper.make_graph(
        [helper.make_node("Add", ["pixels", "pixels"], ["twice"])],
        "network",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", "height", 2])],
        [helper.make_tensor_value_info("twice", TensorProto.FLOAT, ["batch", "height", 2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


def _run(key: str, metrics: dict[str, float]) -> Record:
    return Record(key, key, {}, values_of({}, metrics, (), 5), "FINISHED", 1, 2)


@pytest.fixture
def study(root: Path) -> StudyRun:
    """A study with a training and its scoring on the test split."""
    study = StudyRun(open_store(root), "finish", "abc-finish", name="x", settings={})
    study.write([_run("report-1", {"val_accuracy": 0.5}), _run("test-1", {"test_accuracy": 0.25, "params": 7})])
    return study


def _record(made: list[int], **other: Any) -> ModelRecord:
    record = ModelRecord(
        key="winner-1",
        name="x 1.5: winner",
        description="What it is.",
        onnx=lambda: _double(made),
        tags={"kind": "winner"},
        params={"seed": "3"},
        metrics={"test_accuracy_mean": 0.125},
        trained="report-1",
        tested="test-1",
    )
    return replace(record, **other)


def _models(study: StudyRun) -> list[Any]:
    return list(study.client.search_logged_models([study.experiment]))


def test_a_model_is_written_once_and_kept_up_to_date(study: StudyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    made = list[int]()
    for record in (
        _record(made),
        _record(made),
        _record(made, tags={"kind": "b"}, metrics={"test_accuracy_mean": 0.5}),
    ):
        model = write_model(study, record)
    (found,) = _models(study)
    assert len(made) == 1
    assert (found.model_id, found.status, found.name) == (model.model_id, "READY", "x 1_5_ winner")
    assert found.source_run_id == study.children["report-1"].run_id
    assert (found.params, found.tags["kind"]) == ({"seed": "3"}, "b")
    assert found.tags["mlflow.note.content"] == "What it is."
    metrics = [(metric.key, metric.value) for metric in sorted(found.metrics, key=lambda one: one.timestamp)]
    assert sorted(metrics[:2]) == [("test_accuracy", 0.25), ("val_accuracy", 0.5)]
    assert metrics[2:] == [("test_accuracy_mean", 0.125), ("test_accuracy_mean", 0.5)]
    own = study.client.get_run(study.run_id).to_dictionary()
    assert [one["model_id"] for one in own["outputs"]["model_outputs"]] == [found.model_id]
    tested = study.client.get_run(study.children["test-1"].run_id).to_dictionary()
    assert [one.model_id for one in tested["inputs"]["model_inputs"]] == [found.model_id]
    files = {Path(one.path).name for one in study.client.list_logged_model_artifacts(found.model_id)}
    assert files >= {"MLmodel", "model.onnx", "input_example.json", "requirements.txt"}
    assert not any(name.endswith((".pkl", ".pickle", ".data")) for name in files)
    monkeypatch.setattr(mlflow.tracking._tracking_service.utils, "_tracking_uri", None)
    loaded = mlflow.pyfunc.load_model(found.artifact_location)
    assert loaded.metadata.signature.inputs.inputs[0].shape == (-1, -1, 2)
    assert loaded.input_example["pixels"].shape == (1, 32, 2)
    x = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    np.testing.assert_array_equal(loaded.predict({"pixels": x})["twice"], 2 * x)


def test_one_that_was_cut_off_is_written_anew(study: StudyRun) -> None:
    def gone() -> bytes:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        write_model(study, _record([], onnx=gone))
    assert _models(study) == []
    client = study.client
    tags = {"nas.study_id": "abc-finish", "nas.model": "winner-1"}
    begun = client.create_logged_model(study.experiment, name="x", tags=tags)
    model = write_model(study, _record([]))
    assert [one.model_id for one in _models(study)] == [model.model_id] != [begun.model_id]


def test_a_model_is_one_version_however_often_it_is_registered(study: StudyRun) -> None:
    model = write_model(study, _record([]))
    other = write_model(study, _record([], key="winner-2"))
    client: MlflowClient = study.client
    assert [register_model(study, model, "it's one", {"run": "x"}) for _ in range(2)] == ["1", "1"]
    assert register_model(study, other, "it's one", {"run": "y"}) == "2"
    assert register_model(study, model, "another", {}) == "1"
    versions = {(one.name, str(one.version)): one for one in client.search_model_versions()}
    assert sorted(versions) == [("another", "1"), ("it's one", "1"), ("it's one", "2")]
    first = versions["it's one", "1"]
    assert first.tags == {"nas.study_id": "abc-finish", "model": model.model_id, "run": "x"}
    assert client.get_model_version_download_uri("it's one", "1") == model.artifact_location
    shown = client.get_logged_model(model.model_id).tags["mlflow.modelVersions"]
    assert shown == '[{"name": "it\'s one", "version": "1"}, {"name": "another", "version": "1"}]'
