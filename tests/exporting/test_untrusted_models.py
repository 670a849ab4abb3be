"""Exported models and pictures that come from a stranger: a sentence says what is wrong, and nothing is computed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from PIL import Image

import nas
from nas.commands.predict import main as predict_main
from nas.errors import ConfigError
from nas.exporting import predict as shipped
from nas.exporting import reading
from nas.exporting.predict import ModelError, open_model
from nas.exporting.reading import PictureError, Reading, picture_of, read_picture


def _with_metadata(exported: Path, folder: Path, **metadata: str) -> Path:
    model = onnx.load(exported / "model.onnx")
    helper.set_model_props(model, {prop.key: prop.value for prop in model.metadata_props} | metadata)
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"


def _shape(*sides: object) -> dict[str, str]:
    return {"preprocess": json.dumps({"shape": sides})}


DEEP = "[" * 200_000
CASES = [
    ({"classes": DEEP}, "no names of classes"),
    ({"preprocess": DEEP}, "no names of classes"),
    ({"classes": '["a"]'}, "metadata say 1 classes, but it has 10"),
    ({"classes": '{"a": 1}'}, "must be a list of texts"),
    ({"classes": "[1, 2, 3, 4, 5, 6, 7, 8, 9, 0]"}, "must be a list of texts"),
    ({"classes": "[]"}, "must be a list of texts"),
    ({"preprocess": '{"shape": "188"}'}, "three whole numbers"),
    ({"preprocess": '{"shape": [1, Infinity, 8]}'}, "three whole numbers"),
    (_shape(1, True, 8), "three whole numbers"),
    (_shape(1, 8), "three whole numbers"),
    (_shape(1, 10**6, 10**6), "sides of 1 to 65,536"),
    (_shape(1, 10**30, 10**30), "sides of 1 to 65,536"),
    (_shape(1, 2**16, 2**16), "268,435,456 levels"),
    (_shape(1, 0, 8), "sides of 1 to 65,536"),
    (_shape(2, 8, 8), "1 or 3 channels"),
    (_shape(3, 8, 8), "metadata say 3 channels, but it has 1"),
]


@pytest.mark.parametrize(("metadata", "why"), CASES)
def test_metadata_of_a_stranger_are_refused(exported: Path, tmp_path: Path, metadata: Any, why: str) -> None:
    path = _with_metadata(exported, tmp_path, **metadata)
    with pytest.raises(ModelError, match=why):
        open_model(path)
    with pytest.raises(ConfigError, match=why):
        nas.predict(tmp_path, [])


def test_the_shipped_script_and_the_command_say_it_in_a_line(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _with_metadata(exported, tmp_path, classes='["a"]')
    (tmp_path / "predict.py").write_bytes((exported / "predict.py").read_bytes())
    done = subprocess.run(
        [sys.executable, tmp_path / "predict.py", "a.png"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert predict_main([str(tmp_path), "a.png"]) != 0
    for said in (done.stderr, capsys.readouterr().err):
        assert "metadata say 1 classes, but it has 10" in said
        assert "Traceback" not in said


def test_names_that_are_no_text_are_shown_as_they_can_be(exported: Path, tmp_path: Path) -> None:
    _with_metadata(exported, tmp_path, classes=json.dumps(["\ud800"] * 10))
    (tmp_path / "predict.py").write_bytes((exported / "predict.py").read_bytes())
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    words = [sys.executable, str(tmp_path / "predict.py"), str(tmp_path / "a.png"), "--top", "1"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert r"\ud800" in done.stdout


class _Session:
    """Of a model that cannot run, or gives numbers for one class."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def run(self, names: list[str], inputs: dict[str, Any]) -> list[Any]:
        if self.error is not None:
            raise self.error
        return [np.ones((len(inputs["pixels"]), 1))]


@pytest.mark.parametrize(
    ("error", "why"), [(RuntimeError("no such kernel"), "cannot run: no such kernel"), (None, r"of \(1, 2\)")]
)
def test_a_model_that_fails_while_it_runs_is_told_of(error: Exception | None, why: str) -> None:
    model = shipped.Model(_Session(error), Reading((1, 2, 2)), ("a", "b"))
    with pytest.raises(ModelError, match=why):
        list(shipped.predict(model, [np.zeros((2, 2, 1), np.uint8)]))


@pytest.mark.parametrize(("height", "width"), [(37, 500), (500, 37), (9, 9), (100, 1), (1, 5), (640, 480)])
@pytest.mark.parametrize("shape", [(3, 24, 40), (1, 32, 32)])
def test_only_what_is_kept_is_scaled_of_a_thin_picture(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int, int], height: int, width: int
) -> None:
    """The middle is what would be left of the whole, which is scaled below the limit."""
    levels = np.random.default_rng(0).integers(0, 256, (height, width, shape[0]), dtype=np.uint8)
    whole = picture_of(levels, Reading(shape)).astype(int)
    monkeypatch.setattr(reading, "_MOST_SCALED", 0)
    assert np.abs(picture_of(levels, Reading(shape)).astype(int) - whole).max() <= 1


def test_a_thin_picture_needs_no_memory_for_what_is_cut_off(tmp_path: Path) -> None:
    """1 x 65,000 covers 224 x 224 when it is 14,560,000 high."""
    column = np.full((65_000, 1), 10, np.uint8)
    column[32_000:33_000] = 200
    Image.fromarray(column).save(tmp_path / "thin.png")
    assert (read_picture(tmp_path / "thin.png", Reading((3, 224, 224))) == 200).all()


def test_a_picture_that_cannot_be_scaled_is_named_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(reading, "_covering", full)
    with pytest.raises(PictureError, match="cannot be scaled: MemoryError"):
        picture_of(np.zeros((3, 3, 1), np.uint8), Reading((1, 2, 2)))
