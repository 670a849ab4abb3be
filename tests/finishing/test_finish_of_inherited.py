"""A finish trains from scratch, whatever weights the search began its networks with, but where it is told others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import nas
from nas.commands.finish import finish_command
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


def test_a_finish_begins_with_a_file_where_that_is_said(searched: Path) -> None:
    values = {"run": str(searched), "workers": 1, "mlflow": False}
    settings = {"top_k": 2, "final_seeds": 2, "baseline": "none"}
    assert finish_command({**values, "finish": settings, "transfer": {"weights": "w", "style": "features"}}) == 0
    evaluators = {task.evaluator for task in StubPool.tasks if isinstance(task, Task)}
    assert {one.transfer for one in evaluators if isinstance(one, TrainingEvaluator)} == {
        Transfer(weights="w", style="features")
    }


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
