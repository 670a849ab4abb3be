"""Weights and teachers that runs are gone on with: the files that they read must be as they were."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.commands.search_outlook import check_same_data
from nas.errors import ConfigError
from nas.evaluation import Budget, Evaluation
from nas.evaluators.training import TrainingEvaluator
from nas.training.data.config import DataConfig
from nas.training.recipe import Recipe
from nas.training.train import TrainJob, begin
from nas.training.transfer.settings import SCRATCH, Transfer
from nas.training.used_files import check_same_files, used_files
from tests.training.test_fit import ARCH, DATA, RECIPE, SPACE


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _teacher(folder: Path) -> Path:
    folder.mkdir()
    (folder / "weights.safetensors").write_text("weights")
    (folder / "architecture.json").write_text("network")
    return folder


def test_files_are_known_by_their_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _teacher(tmp_path / "taught")
    (tmp_path / "w").write_text("pretrained")
    (tmp_path / "t.onnx").write_text("exported")
    assert used_files(Recipe(), SCRATCH) == {}
    assert used_files(Recipe(teacher="taught"), Transfer(weights="w")) == {
        "transfer.weights": {"path": str(tmp_path / "w"), "sha256": _sha256("pretrained")},
        "train.teacher": {"path": str(tmp_path / "taught/weights.safetensors"), "sha256": _sha256("weights")},
        "train.teacher (its network)": {
            "path": str(tmp_path / "taught/architecture.json"),
            "sha256": _sha256("network"),
        },
    }
    exported = {"path": str(tmp_path / "t.onnx"), "sha256": _sha256("exported")}
    assert used_files(Recipe(teacher="t.onnx"), SCRATCH) == {"train.teacher": exported}
    with pytest.raises(ConfigError, match=r"transfer\.weights: none cannot be read: No such file"):
        used_files(Recipe(), Transfer(weights="none"))


def test_what_is_another_file_is_said(tmp_path: Path) -> None:
    now = {"transfer.weights": {"path": "/w", "sha256": "2"}, "train.teacher": {"path": "/t", "sha256": "3"}}
    check_same_files(now, now, tmp_path, "begin anew")
    check_same_files({}, now, tmp_path, "begin anew")  # a record of before
    with pytest.raises(ConfigError) as caught:
        check_same_files({"train.teacher": {"path": "/u", "sha256": "1"}}, now, tmp_path, "begin anew")
    assert str(caught.value) == (
        f"train.teacher: /t is not the file that {tmp_path} was begun with: its SHA-256 was 1, is 3. Put it back as it "
        "was, or begin anew"
    )
    with pytest.raises(ConfigError, match=r"^evaluator\.transfer\.weights: .*\(evaluator\.transfer\.weights=FILE says"):
        check_same_files({"transfer.weights": {"sha256": "1"}}, now, tmp_path, "begin anew", where="evaluator.")


@pytest.mark.parametrize("name", ["weights.safetensors", "architecture.json"])
def test_a_training_goes_on_with_the_same_teacher_only(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _teacher(tmp_path / "taught")
    run, job = tmp_path / "run", TrainJob(architecture=ARCH, data=DATA, recipe=replace(RECIPE, teacher="taught"))
    run.mkdir()
    begin(job, run, {}, resume=False)
    monkeypatch.chdir(run)  # the record has absolute paths
    begin(replace(job, recipe=replace(RECIPE, teacher=str(tmp_path / "taught"))), run, {}, resume=True)
    (tmp_path / "taught" / name).write_text("another")
    with pytest.raises(ConfigError, match=rf"^train\.teacher.*taught/{name} is not the file that .* begun with"):
        begin(replace(job, recipe=replace(RECIPE, teacher=str(tmp_path / "taught"))), run, {}, resume=True)


def test_trainings_of_before_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their record has the hash of the weights beside the other settings of the transfer, and paths as typed."""
    monkeypatch.chdir(tmp_path)
    _teacher(tmp_path / "taught")
    (tmp_path / "w").write_text("pretrained")
    recipe, transfer = replace(RECIPE, teacher="taught"), Transfer(weights="w")
    job = TrainJob(architecture=ARCH, data=DATA, recipe=recipe, transfer=transfer)
    begin(job, tmp_path, {}, resume=False)
    recorded = json.loads((tmp_path / "settings.json").read_text())["job"]
    hashes = recorded.pop("files")
    recorded["transfer"]["sha256"] = hashes["transfer.weights"]["sha256"]
    recorded["train"]["teacher"] = "taught"
    (tmp_path / "settings.json").write_text(json.dumps({"job": recorded}))
    begin(job, tmp_path, {}, resume=True)
    (tmp_path / "settings.json").write_text(json.dumps({"job": recorded}))
    (tmp_path / "w").write_text("another")
    with pytest.raises(ConfigError, match=r"^transfer\.weights: .*w is not the file"):
        begin(job, tmp_path, {}, resume=True)


class _Quick(TrainingEvaluator):
    """Trains nothing."""

    def prepare(self) -> dict[str, Any]:
        return {}

    def __call__(self, architecture: nas.Architecture, budget: Budget, seed: int) -> Evaluation:
        return Evaluation({"val_accuracy": 0.5, "val_loss": 1.0})


def test_a_search_goes_on_with_the_same_weights_only(tmp_path: Path) -> None:
    path, run = tmp_path / "w", tmp_path / "run"
    path.write_text("pretrained")
    evaluator = _Quick(DATA, RECIPE, transfer=Transfer(weights=str(path)))
    nas.run_search(SPACE, evaluator, trials=1, run_dir=run, sampler="random")
    study = nas.run_search(SPACE, evaluator, trials=2, run_dir=run, sampler="random", resume=True)
    assert len(study.trials) == 2
    path.write_text("another")
    with pytest.raises(ConfigError, match=r"^transfer\.weights: .*run was begun with: its SHA-256 was .* new search"):
        nas.run_search(SPACE, evaluator, trials=3, run_dir=run, sampler="random", resume=True)


def test_the_command_goes_on_with_the_same_weights_only(tmp_path: Path) -> None:
    file = {"path": "/w", "sha256": "1"}
    data = {"split_fingerprint": "f", "files": {"transfer.weights": file}}
    check_same_data(None, data)
    run = tmp_path / "run"
    nas.run_search(SPACE, lambda *_: 0.5, trials=1, run_dir=run, sampler="random", notes={"data": data})
    check_same_data(run, data)
    other = {**data, "files": {"transfer.weights": {**file, "sha256": "2"}}}
    with pytest.raises(ConfigError, match=r"^evaluator\.transfer\.weights: /w is not the file .* was 1, is 2"):
        check_same_data(run, other)
    with pytest.raises(ConfigError, match="fingerprint was f, is g"):
        check_same_data(run, {**data, "split_fingerprint": "g"})


def test_what_workers_say_of_the_data_has_the_files(tmp_path: Path) -> None:
    data = DataConfig(name="synthetic", samples=60, num_classes=3)
    assert "files" not in TrainingEvaluator(data, RECIPE).prepare()
    teacher = tmp_path / "t.onnx"
    teacher.write_text("exported")
    found = TrainingEvaluator(data, replace(RECIPE, teacher=str(teacher))).prepare()["files"]
    assert found == {"train.teacher": {"path": str(teacher), "sha256": _sha256("exported")}}
