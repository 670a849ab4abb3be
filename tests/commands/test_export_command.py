"""`nas export` and `nas predict` as a person runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import nas
from nas.commands.command import SettingsCommand
from nas.commands.export import export_command, export_run
from nas.commands.options import predict_parser
from nas.commands.predict import main
from nas.commands.registry import COMMANDS
from nas.errors import ConfigError
from nas.exporting import predict, predict_series
from nas.exporting.settings import ExportSettings
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.preprocess import preprocess_of
from tests.run_command import run

ARCH = nas.load_space("reference/small_cnn").for_data((1, 8, 8), 10).decode({})


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """What training leaves: a network with weights, which were never trained here."""
    folder = tmp_path / "parts"
    folder.mkdir()
    torch.manual_seed(0)
    (folder / "architecture.json").write_text(ARCH.to_json())
    save_file(nas.build(ARCH).state_dict(), folder / "weights.safetensors")
    return folder


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.new("RGB", (30, 20), (200, 10, 10)).save(tmp_path / "photo.jpg")
    return tmp_path / "photo.jpg"


def test_from_a_folder_to_the_classes_of_a_picture(parts: Path, picture: Path, tmp_path: Path) -> None:
    done = run("nas", "export", parts, "out=shipped", "data=digits", "export.max_drop=100", "--json", cwd=tmp_path)
    assert done.returncode == 0
    assert "| `model.onnx` | " in done.stderr
    assert "nas predict shipped PICTURE" in done.stderr
    facts = json.loads(done.stdout)
    assert (facts["folder"], sorted(facts["files"])) == (
        str(tmp_path / "shipped"),
        sorted(os.listdir(tmp_path / "shipped")),
    )
    figures = facts["models"][0]
    assert figures["bytes"] == (tmp_path / "shipped" / "model.onnx").stat().st_size
    assert f"| {figures['accuracy']:.2%} | {figures['latency_ms']:.3f} | {figures['verdict']} |" in done.stderr
    assert {"model.onnx", "card.md", "predict.py"} <= set(os.listdir(tmp_path / "shipped"))
    done = run("nas", "predict", "shipped", picture, picture, "--top", 3, "--format", "json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert [len(one["top"]) for one in found] == [3, 3]
    assert {one["class"] for one in found[0]["top"]} <= {str(digit) for digit in range(10)}
    words = ["shipped", picture, "none.png", "--top", 3, "--json"]
    done = run("nas", "predict", *words, cwd=tmp_path)
    facts = json.loads(done.stdout)
    assert (done.returncode, facts["failed"], facts["predictions"][0]) == (2, 1, found[0])
    assert facts["error"] == "1 of 2 pictures cannot be read; the others are done"
    assert "photo.jpg,1" not in done.stderr
    assert run("nas", "predict", *words[:2], "--json", "--output", "a.csv", cwd=tmp_path).returncode == 0
    assert (tmp_path / "a.csv").read_text().startswith("image,rank,class,probability\n")


def test_the_shipped_model_py_needs_torch_alone(parts: Path, tmp_path: Path) -> None:
    """And computes what the trained network does."""
    assert export_command({"model": str(parts), "out": str(tmp_path / "out"), "data": {"name": "digits"}}) == 0
    torch.manual_seed(1)
    x = torch.randn(3, 1, 8, 8)
    program = (
        "import sys, torch; sys.modules['nas'] = None; from model import load; torch.manual_seed(1); "
        "x = torch.randn(3, 1, 8, 8); print(load('model.safetensors')(x).tolist())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path / "out", capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    network = nas.build(ARCH)
    network.load_state_dict(load_file(parts / "weights.safetensors"))
    assert np.array(json.loads(done.stdout)) == pytest.approx(network.eval()(x).detach().numpy(), abs=1e-5)


def test_without_data_only_time_is_measured(parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = {"model": str(parts), "out": str(tmp_path / "out")}
    assert export_command(values) == 2
    assert "give data=" in capsys.readouterr().err
    preprocess = preprocess_of(load_data(DataConfig(name="digits")), ARCH)
    (parts / "preprocess.json").write_text(json.dumps(preprocess.to_dict()))
    assert export_command(values) == 0
    assert "How well it does was not measured" in capsys.readouterr().out
    assert not (tmp_path / "out" / "model.int8.onnx").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"out": "x"}, "which network?"),
        ({"model": "x"}, "which folder to write?"),
        ({"model": "PARTS", "out": "PARTS"}, "is there already"),
        ({"model": "reference/small_cn", "out": "x"}, "Did you mean 'reference/small_cnn'"),
        ({"model": "reference/small_cnn", "out": "x"}, "there are no weights of the network"),
        ({"model": "mbconv", "out": "x"}, "leaves choices open"),
        (
            {"model": "EMPTY", "out": "x"},
            "has neither architecture.json, which a training leaves, nor best_",
        ),
        ({"model": "PARTS", "out": "x", "export": {"executorch": True}}, "executorch"),
        ({"model": "PARTS", "out": "x", "export": {"int8": "no"}}, "export.int8: unknown 'no'"),
        ({"model": "PARTS", "out": "x", "data": {"name": "synthetic"}}, "data synthetic has 3 channels"),
        ({"model": "PARTS", "out": "x", "weights": "gone.safetensors"}, "gone.safetensors cannot be read"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_written(
    parts: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    values: dict[str, object],
    message: str,
) -> None:
    tmp_path = parts.parent
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    places: dict[object, str] = {"PARTS": str(parts), "EMPTY": str(tmp_path / "empty")}
    given = {name: value if isinstance(value, dict) else places.get(value, value) for name, value in values.items()}
    assert export_command(given) == 2
    assert message in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == ["empty", "parts"]


def test_weights_of_a_published_network(parts: Path, tmp_path: Path) -> None:
    values = {
        "model": "reference/small_cnn",
        "weights": str(parts / "weights.safetensors"),
        "out": str(tmp_path / "out"),
        "data": {"name": "digits"},
        "export": {"int8": "never"},
    }
    assert export_command(values) == 0
    assert not (tmp_path / "out" / "model.int8.onnx").exists()
    assert "not measured" not in (tmp_path / "out" / "card.md").read_text()


def test_the_best_network_of_a_search(parts: Path, tmp_path: Path) -> None:
    """With the data that it was searched on, and its score told as the best out of several."""
    run_dir = tmp_path / "run"
    space = nas.load_space("reference/small_cnn").for_data((1, 8, 8), 10)
    config = {"data": {"name": "digits"}, "space": "reference/small_cnn", "constraints": {"params": 1e6, "macs": None}}
    notes = {"config": config, "data": {"split_fingerprint": "f00d"}}
    nas.run_search(
        space,
        evaluator=lambda *_: {"val_accuracy": 0.75},
        objective="val_accuracy",
        trials=1,
        run_dir=run_dir,
        notes=notes,
    )
    (run_dir / "best_architecture.json").write_text(ARCH.to_json())
    values = {"model": str(run_dir), "out": str(tmp_path / "out"), "export": {"int8": "never"}}
    assert export_command(values, ["model", "out"]) == 2  # no weights were kept
    (run_dir / "weights").mkdir()
    (parts / "weights.safetensors").rename(run_dir / "weights" / f"{ARCH.arch_id}.safetensors")
    assert export_command(values, ["model", "out"]) == 0
    text = (tmp_path / "out" / "card.md").read_text()
    assert "on validation (selected out of 1 trained network by this very score" in text
    assert "Found by a search of the space reference/small_cnn, limits: params 1,000,000." in text
    assert "split_fingerprint: f00d" in text


def test_pictures_that_cannot_be_read_are_counted(
    parts: Path, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {"model": str(parts), "out": str(tmp_path / "run" / "model"), "data": {"name": "digits"}}
    assert export_command({**values, "export": {"int8": "never"}}) == 0
    for folder in (tmp_path / "run", tmp_path / "run" / "model", tmp_path / "run" / "model" / "model.onnx"):
        capsys.readouterr()
        assert main([str(folder), str(picture), str(tmp_path)]) == 2
        said = capsys.readouterr()
        assert len(said.out.splitlines()) == 6
        why = f"it is a folder: name the pictures in it, such as {tmp_path}/*"
        assert f"{tmp_path}: cannot be read: {why}\nnas.predict: 1 of 2 pictures cannot be read" in said.err


def test_a_folder_without_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in (
        ([str(tmp_path), "a.jpg"], "has no model.onnx; nas export RUN out=DIR makes such a folder"),
        ([str(tmp_path / "gone.onnx"), "a.jpg"], "gone.onnx is no model: No such file"),
        ([str(tmp_path), "a.jpg", "--top", "0"], "--top must be >= 1, but got 0"),
    ):
        assert main(words) == 2
        assert message in capsys.readouterr().err


def test_a_first_word_is_the_network() -> None:
    command = COMMANDS["export"]
    assert isinstance(command, SettingsCommand)
    assert command.words(["runs/x", "out=y"]) == ["model=runs/x", "out=y"]
    assert command.words(["out=y", "model=x"]) == ["out=y", "model=x"]
    assert command.words(["--help"]) == ["--help"]


def test_the_shipped_program_has_the_same_options(capsys: pytest.CaptureFixture[str]) -> None:
    """Those of `nas predict` but `--json`; that parser stands apart since it must load nothing."""
    options = {option for action in predict_parser()._actions for option in action.option_strings} - {"--json"}
    missing = []
    for program in (predict, predict_series):
        with pytest.raises(SystemExit):
            program.main(["--help"])
        shown = capsys.readouterr().out
        missing.append({option for option in options if option not in shown})
    assert missing == [{"--labelled", "--unlabelled"}, {"--masks", "--max-pixels"}], "of series, and of pictures"


def test_a_search_exports_its_best_network_again_and_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], parts: Path
) -> None:
    """In the place of what it exported before, and never of anything else."""
    run_dir = tmp_path / "run"
    space = nas.load_space("reference/small_cnn").for_data((1, 8, 8), 10)
    notes = {"config": {"data": {"name": "digits"}, "space": "reference/small_cnn"}}
    nas.run_search(space, evaluator=lambda *_: {"val_accuracy": 0.75}, trials=1, run_dir=run_dir, notes=notes)
    (run_dir / "best_architecture.json").write_text(ARCH.to_json())
    (run_dir / "weights").mkdir()
    (parts / "weights.safetensors").rename(run_dir / "weights" / f"{ARCH.arch_id}.safetensors")
    for _ in range(2):
        paths = export_run(run_dir, run_dir / "model", ExportSettings(int8="never"), replace=True)
        assert {path.name for path in paths} == set(os.listdir(run_dir / "model"))
        assert "| `model.onnx` | " in capsys.readouterr().out
    with pytest.raises(ConfigError, match="is there already"):
        export_run(run_dir, run_dir / "model", ExportSettings(int8="never"))
    with pytest.raises(ConfigError, match=r"no export writes 'best_architecture\.json'"):
        export_run(run_dir, run_dir, replace=True)
