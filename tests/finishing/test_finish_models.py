"""What a finish reports as models in MLflow."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import onnx
import onnxruntime
import pytest
from mlflow import MlflowClient

from nas.commands.finish import finish_command
from nas.commands.records import main as write_records
from nas.errors import ConfigError
from nas.finishing.config import FinishConfig
from tests.finishing.recorded import report_of
from tests.finishing.test_finish_command import SPACE, TINY
from tests.logs import rewrite
from tests.run_command import run

_OF_LOADING = "registered_model_meta"
"""What MLflow writes beside a model of the registry when it loads it from this machine."""


@pytest.mark.parametrize(
    ("name", "message"),
    [("a/b", "holds '/'"), ("a:b", "no ':' in it"), ("", "has 0 characters"), ("..", "begins with '.'")],
)
def test_a_name_that_mlflow_refuses_is_told_before_anything_begins(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FinishConfig(run="x", register=name)
    FinishConfig(run="x", register="digits, small")
    with pytest.raises(ConfigError, match="register is of MLflow, which mlflow=false leaves out"):
        FinishConfig(run="x", register="digits", mlflow=False)


def test_weights_that_are_no_model_cost_the_finish_nothing(
    searched: Path, put_store: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    put_store(searched.parent)
    settings = {"top_k": 2, "seeds": 1, "final_seeds": 2, "baseline": "none"}
    assert finish_command({"run": str(searched), "workers": 1, "register": "digits", "finish": settings}) == 0
    assert "their header names no network" in capsys.readouterr().out
    assert report_of(searched)["recommended"] == "winner"
    client = _client(searched.parent)
    runs = _runs(client)
    assert runs["study"].data.tags["recommended"] == "winner"
    assert runs["study"].info.status == "FINISHED"
    assert client.search_model_versions() == []


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, put_store: Callable[[Path], None]) -> Path:
    """A search of the digits with a finish beside random networks, which are models in MLflow."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "tiny.yaml").write_text(f"{SPACE}resolution: 12\n")
    put_store(folder / "runs")
    words = ["+space=tiny.yaml", "name=x", "workers=1", "search.trials=3", "train.epochs=2", "constraints.params=2e4"]
    words += ["data.train_fraction=0.2", "records.mlflow=false"]
    assert run("nas.search", *words, cwd=folder).returncode == 0
    rewrite(folder / "runs/x/trials.jsonl", lambda number, values: {**values, "elapsed": 10.0})
    done = run("nas", "finish", folder / "runs" / "x", *TINY, "finish.baseline=random", "register=digits", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "Registered: digits, version 1" in done.stdout
    return folder / "runs" / "x"


@pytest.fixture
def set_store(finished: Path) -> Iterator[None]:
    """The store is that of the process, as a user sets it who loads models by their address."""
    mlflow.set_tracking_uri(_uri(finished.parent))
    yield
    mlflow.set_tracking_uri("")


@pytest.mark.slow
@pytest.mark.usefixtures("set_store")
def test_a_model_gives_the_scores_of_the_exported_file(finished: Path) -> None:
    client, report = _client(finished.parent), report_of(finished)
    models = _models(client)
    assert set(models) == set(report["final"]) > {"winner"}
    model = models[report["recommended"]]
    (version,) = client.search_model_versions("name = 'digits'")
    assert (version.tags["run"], version.tags["model"]) == ("x", model.model_id)
    shipped = finished / "finish" / "model" / "model.onnx"
    pictures = np.random.default_rng(0).integers(0, 256, (3, 20, 17, 1), dtype=np.uint8)
    session = onnxruntime.InferenceSession(shipped, providers=["CPUExecutionProvider"])
    names = ["logits", "probabilities"]
    expected = dict(zip(names, session.run(names, {"pixels": pictures}), strict=True))
    for address in (f"models:/{model.model_id}", "models:/digits/1"):
        assert mlflow.onnx.load_model(address) == onnx.load(shipped)
        loaded = mlflow.pyfunc.load_model(address)
        found = loaded.predict({"pixels": pictures})
        assert {name: value.tolist() for name, value in found.items()} == {
            name: value.tolist() for name, value in expected.items()
        }
        signature = loaded.metadata.signature
        assert [(one.name, one.type.name, one.shape) for one in signature.inputs.inputs] == [
            ("pixels", "uint8", (-1, -1, -1, 1))
        ]
        assert [(one.name, one.shape) for one in signature.outputs.inputs] == [(name, (-1, 10)) for name in names]
        example = loaded.predict(loaded.input_example)
        assert example["probabilities"].shape == (1, 10)


@pytest.mark.slow
def test_a_model_says_what_is_in_the_log_and_holds_no_pickle(finished: Path) -> None:
    report = report_of(finished)
    lines = [json.loads(line) for line in (finished / "finish" / "trials.jsonl").read_text().splitlines()]
    trials = {line["key"]: line for line in lines if "key" in line}
    for kind, model in _models(_client(finished.parent)).items():
        final = report["final"][kind]
        key = final["weights"][0].removesuffix(".safetensors")
        trained, tested = trials[key], trials[key.replace("report", "test", 1)]
        metrics = {metric.key: metric.value for metric in model.metrics}
        assert len(metrics) == len(model.metrics)
        for name, value in {**trained["scores"], **tested["scores"]}.items():
            assert metrics[name] == value
        assert (metrics["params"], metrics["macs"]) == (final["params"], final["macs"])
        assert metrics["test_accuracy_mean"] == final["test"]["mean"]
        assert model.params["arch_id"] == final["arch_id"]
        assert model.tags["recommended"] == ("yes" if report["recommended"] == kind else "no")
        folder = Path(model.artifact_location.removeprefix("file://"))
        names = {path.name for path in folder.iterdir()} - {_OF_LOADING}
        text = {"MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt"}
        assert names == {*text, "model.onnx", "input_example.json", "serving_input_example.json"}
        assert not any("pickle" in (folder / name).read_text() for name in text)


@pytest.mark.slow
def test_again_and_late_give_the_same(
    finished: Path, tmp_path: Path, put_store: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    was = _content(finished.parent)
    again = run("nas", "finish", finished)
    assert again.returncode == 0, again.stderr
    assert "Registered: digits, version 1" in again.stdout
    assert write_records([str(finished)]) == 0
    assert "Registered: digits, version 1" in capsys.readouterr().out
    assert len(_client(finished.parent).search_model_versions()) == 1
    assert _content(finished.parent)["models"] == was["models"]
    late = tmp_path / "late"
    put_store(late)
    shutil.copytree(finished, late / "x")
    assert write_records([str(late / "x")]) == 0
    found = _content(late)
    assert found == was
    # A network whose weights are gone is said; the others and all runs are there.
    kind, lost = next(
        (one, final["weights"][0]) for one, final in report_of(finished)["final"].items() if one != "winner"
    )
    gone = tmp_path / "gone"
    put_store(gone)
    shutil.copytree(finished, gone / "x")
    (gone / "x" / "finish" / "weights" / lost).unlink()
    assert write_records([str(gone / "x")]) == 2
    assert lost in capsys.readouterr().err
    found = _content(gone)
    assert found["runs"].keys() == was["runs"].keys()
    assert found["models"] == {name: model for name, model in was["models"].items() if name != kind}


def _uri(root: Path) -> str:
    return f"sqlite:///{root / 'mlflow.db'}"


def _client(root: Path) -> MlflowClient:
    return MlflowClient(_uri(root))


def _experiment(client: MlflowClient) -> str:
    experiment = client.get_experiment_by_name("finish")
    assert experiment is not None
    return str(experiment.experiment_id)


def _runs(client: MlflowClient) -> dict[str, Any]:
    runs = client.search_runs([_experiment(client)], max_results=1000)
    by_key = {run.data.tags["nas.trial"]: run for run in runs}
    assert len(by_key) == len(runs), "nothing is there twice"
    return by_key


def _models(client: MlflowClient) -> dict[str, Any]:
    models = client.search_logged_models([_experiment(client)])
    by_kind = {model.tags["kind"]: model for model in models}
    assert len(by_kind) == len(models), "nothing is there twice"
    return by_kind


def _content(root: Path) -> Mapping[str, Any]:
    """Return what the store has of a finish, without ids and times."""
    client = _client(root)
    runs = {
        key: (run.info.run_name, run.info.status, run.data.metrics, run.data.params, _plain(run.data.tags))
        for key, run in _runs(client).items()
    }
    models = {}
    for kind, model in _models(client).items():
        folder = Path(model.artifact_location.removeprefix("file://"))
        metrics = sorted((metric.key, metric.value) for metric in model.metrics)
        files = [
            (path.name, path.read_bytes())
            for path in sorted(folder.iterdir())
            if path.name not in ("MLmodel", _OF_LOADING)
        ]
        models[kind] = (model.name, str(model.status), _plain(model.tags), model.params, metrics, files)
    versions = [(one.name, str(one.version), one.tags["run"]) for one in client.search_model_versions()]
    return {"runs": runs, "models": models, "versions": versions}


def _plain(tags: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in tags.items() if name not in ("mlflow.parentRunId", "mlflow.user")}
