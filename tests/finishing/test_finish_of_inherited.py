"""A finish trains from scratch, whatever weights the search began its networks with, but where it is told others."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import nas
from nas.commands.finish import finish_command
from nas.errors import ConfigError
from nas.evaluators.training import TrainingEvaluator
from nas.search.log import read_trials
from nas.training.transfer.settings import Transfer
from nas.workers.evaluating import Task
from tests.finishing.recorded import StubPool, finish
from tests.logs import rewrite


def test_what_is_reported_is_trained_from_scratch(searched: Path) -> None:
    def inherits(number: int, values: dict[str, Any]) -> dict[str, Any]:
        return {**values, "inherited_from": 0, "inherited_share": 0.9} if number else values

    rewrite(searched / "trials.jsonl", inherits)
    (searched / "weights").mkdir(exist_ok=True)
    for trial in read_trials(searched):
        (searched / "weights" / f"{trial.arch_id}.safetensors").write_bytes(b"of the search")
    assert finish(searched, top_k=2, final_seeds=2, baseline="none") == 0
    tasks = [
        task for task in StubPool.tasks if isinstance(task, Task) and isinstance(task.evaluator, TrainingEvaluator)
    ]
    assert len(tasks) >= 4
    assert {task.budget.inherit for task in tasks} == {None}
    assert {task.budget.checkpoint for task in tasks} == {None}


@pytest.mark.parametrize("python", [False, True])
def test_a_finish_begins_with_a_file_where_that_is_said(
    python: bool, searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("w").write_bytes(b"weights")
    if python:
        transfer = Transfer(weights="w", style="features")
        nas.finish(searched, top_k=2, final_seeds=2, baseline="none", workers=1, transfer=transfer)
    else:
        values = {"run": str(searched), "workers": 1, "mlflow": False}
        settings = {"top_k": 2, "final_seeds": 2, "baseline": "none"}
        assert finish_command({**values, "finish": settings, "transfer": {"weights": "w", "style": "features"}}) == 0
    evaluators = {task.evaluator for task in StubPool.tasks if isinstance(task, Task)}
    assert {one.transfer for one in evaluators if isinstance(one, TrainingEvaluator)} == {
        Transfer(weights=str(tmp_path / "w"), style="features")
    }


def test_from_python_it_goes_on_with_the_weights_that_it_began_with(searched: Path, tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(b"weights")
    settings: dict[str, Any] = {"top_k": 1, "seeds": 1, "final_seeds": 1, "baseline": "none", "workers": 1}
    nas.finish(searched, **settings, transfer=Transfer(weights=str(tmp_path / "w")))
    assert nas.finish(searched, workers=1).settings.final_seeds == 1
    with pytest.raises(ConfigError, match=r"resume: transfer\.style was 'fine_tune' in \S*finish"):
        nas.finish(searched, transfer=Transfer(weights=str(tmp_path / "w"), style="features"))
    with pytest.raises(ConfigError, match="finish: transfer must be a Transfer, but got 'w'"):
        nas.finish(searched, transfer="w")  # type: ignore[arg-type]


def test_a_finish_goes_on_with_the_same_weights_only(searched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, home = searched.parent / "w", searched / "finish"
    file.write_bytes(b"weights")
    values = {"run": str(searched), "workers": 1, "mlflow": False}
    settings = {"top_k": 1, "seeds": 1, "final_seeds": 2, "baseline": "none"}
    assert finish_command({**values, "finish": settings, "transfer": {"weights": str(file)}}) == 0
    was, now = (hashlib.sha256(content).hexdigest() for content in (b"weights", b"others"))
    recorded = json.loads((home / "settings.json").read_text())
    assert recorded["files"] == {"transfer.weights": {"path": str(file), "sha256": was}}
    file.write_bytes(b"others")
    tasks, capture = len(StubPool.tasks), capsys.readouterr
    capture()
    assert finish_command(values) == 2
    assert (
        f"transfer.weights: {file} is not the file that {home} was begun with: its SHA-256 was {was}, is {now}. Put it "
        f"back as it was (transfer.weights=FILE says where it is, if it was moved), or remove or rename {home} to "
        "finish the search anew with it"
    ) in capture().err
    # The first line of the log says it too, where the settings were edited.
    (home / "settings.json").write_text(json.dumps({**recorded, "files": {}}))
    assert finish_command(values) == 2
    assert f"files.transfer.weights is '{now}', but this finish was begun with '{was}'" in capture().err
    (home / "settings.json").write_text(json.dumps(recorded))
    assert len(StubPool.tasks) == tasks
    moved = searched.parent / "moved"
    moved.write_bytes(b"weights")
    assert finish_command({**values, "transfer": {"weights": str(moved)}}, ["transfer.weights"]) == 0
    assert len(StubPool.tasks) == tasks
    moved.unlink()
    assert finish_command(values) == 2
    assert f"transfer.weights: {moved} cannot be read: No such file" in capture().err


def test_a_finish_of_before_it_kept_hashes_goes_on(searched: Path) -> None:
    (searched.parent / "w").write_bytes(b"weights")
    values = {"run": str(searched), "workers": 1, "mlflow": False}
    settings = {"top_k": 1, "seeds": 1, "final_seeds": 2, "baseline": "none"}
    assert finish_command({**values, "finish": settings, "transfer": {"weights": str(searched.parent / "w")}}) == 0
    path, log, tasks = searched / "finish" / "settings.json", searched / "finish" / "trials.jsonl", len(StubPool.tasks)
    recorded = json.loads(path.read_text())
    del recorded["files"]
    path.write_text(json.dumps(recorded))

    def without_files(number: int, line: dict[str, Any]) -> dict[str, Any]:
        if number == 0:
            del line["begun"]["settings"]["files.transfer.weights"]
        return line

    rewrite(log, without_files)
    assert finish_command(values) == 0
    assert len(StubPool.tasks) == tasks
    assert json.loads(path.read_text())["files"]


@pytest.mark.parametrize("fits", [True, False])
def test_the_network_of_the_file_is_the_first_baseline(fits: bool, searched: Path, tmp_path: Path) -> None:
    study = json.loads((searched / "study.json").read_text())
    shape = study["notes"]["data"]["input_shape"]
    network = {
        "assume": {"channels": 3, "resolution": 16, "num_classes": 7},
        "stem": {"block": "conv", "out_channels": 4 if fits else 4000},
        "stages": [{"block": "conv", "out_channels": 4}],
        "head": {"block": "classifier"},
    }
    arch = nas.SearchSpace.from_dict(network).decode({})
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.zeros(1)}, path, {"architecture": arch.to_json()})
    values = {"run": str(searched), "workers": 1, "mlflow": False, "finish": {"top_k": 2, "final_seeds": 2}}
    assert finish_command({**values, "transfer": {"weights": str(path)}}) == 0
    found = json.loads((searched / "finish" / "candidates.json").read_text())["candidates"]
    first = found[0]
    assert (first["name"] == "the network of transfer.weights") is fits
    if fits:
        assert first["architecture"]["input_shape"] == shape
        assert first["architecture"]["num_classes"] == study["notes"]["data"]["num_classes"]
        assert first["architecture"]["stem"] == arch.to_dict()["stem"]
