"""Folders of trainings that come from a stranger: what is wrong in them is a sentence, and card.md shows words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.numpy import load_file, save_file

import nas
from nas.errors import DataError
from nas.exporting.card import Card, Score, section
from nas.exporting.folder import export_model
from nas.exporting.preprocess import LEVELS, Preprocess
from nas.exporting.settings import ExportSettings
from nas.training.weights import weights_metadata
from tests.exporting.conftest import Trained

FP32 = ExportSettings(int8="never")
CLASSES = [str(digit) for digit in range(10)]


@pytest.fixture
def folder(trained: Trained, tmp_path: Path) -> Path:
    """Of a training, as `nas.train` leaves it."""
    path = tmp_path / "run"
    path.mkdir()
    (path / "architecture.json").write_text(trained.architecture.to_json())
    save_file(dict(trained.weights), path / "weights.safetensors", weights_metadata(trained.architecture, trained.data))
    (path / "preprocess.json").write_text(json.dumps(trained.preprocess.to_dict()))
    (path / "card.json").write_text(json.dumps(trained.card.to_dict()))
    return path


def _score(**values: object) -> str:
    return json.dumps({"name": "x", "scores": [{"accuracy": 0.5, "split": "test", "how": "x", **values}]})


CARDS = [
    (_score(images="12"), "images of a score must be a whole number >= 0, but got '12'"),
    (_score(images=[1]), r"images of a score must be a whole number >= 0, but got \[1\]"),
    (_score(images=True), "images of a score must be a whole number"),
    (_score(how={"a": 1}), "what a score is must be text"),
    (_score(accuracy=10**400), "a score must be a number from 0 to 1, but got 10"),
    (_score(accuracy=True), "a score must be a number from 0 to 1, but got True"),
    (_score(high=10**400), "an end of an interval must be a number, but got 10"),
    (_score(split=["test"]), r"split of a score must be one of .*, but got \['test'\]"),
    (_score(more=1), "cannot be read"),
    ('{"name": "\\ud800"}', "must be text that can be written as UTF-8"),
    ('{"name": "x", "data": {"classes": ["\\ud800"]}}', "must be text that can be written as UTF-8"),
    ('{"name": 3}', "card.name must be text, but got 3"),
    ('{"name": "x", "limits": "abc"}', "card.limits must be a list, but got 'abc'"),
    ('{"name": "x", "limits": [3]}', r"card.limits must be a list of texts, but got \[3\]"),
    ('{"name": "x", "scores": {"a": 1}}', "card.scores must be a list"),
    ('{"name": "x", "scores": [3]}', "cannot be read"),
    ('{"name": "x", "data": []}', r"card.data must be a mapping, but got \[\]"),
]


@pytest.mark.parametrize(("text", "why"), CARDS)
def test_a_card_that_is_none_is_refused_with_its_file(folder: Path, text: str, why: str) -> None:
    (folder / "card.json").write_text(text)
    with pytest.raises(DataError, match=rf"run/card\.json: .*{why}"):
        nas.export(folder, folder.parent / "out", settings=FP32)


PREPROCESSINGS = [
    ({"classes": ["\ud800", *CLASSES[1:]]}, r"preprocess\.json: .*can be written as UTF-8"),
    ({"mean": [10**400]}, r"preprocess\.json: .*numbers of at most 1\.8e308"),
    ({"shape": [1, 2**16, 2**16]}, r"preprocess\.json: .*268,435,456 levels"),
    ({"normalise": "level - mean"}, r"preprocess\.json: preprocess\.normalise must be \(level / 255"),
    ({"std": [1e-300]}, "something else than numbers for a black and a white picture.*std"),
    ({"mean": [1e300]}, "mean must be a number for each channel"),
]


@pytest.mark.parametrize(("changed", "why"), PREPROCESSINGS)
def test_a_preprocessing_that_cannot_be_is_refused(
    folder: Path, trained: Trained, changed: dict[str, Any], why: str
) -> None:
    (folder / "preprocess.json").write_text(json.dumps({**trained.preprocess.to_dict(), **changed}))
    with pytest.raises(DataError, match=why):
        nas.export(folder, folder.parent / "out", settings=FP32)
    assert not (folder.parent / "out").exists()


@pytest.mark.parametrize("name", ["mean", "std"])
@pytest.mark.parametrize("value", ["[1" + "0" * 400 + "]", "[1e300]", "[NaN]", "[true]", '["a"]', "[" * 100_000])
def test_a_header_of_weights_that_cannot_be_is_refused(folder: Path, trained: Trained, name: str, value: str) -> None:
    path = folder / "weights.safetensors"
    metadata = weights_metadata(trained.architecture, trained.data)
    save_file(load_file(path), path, {**metadata, name: value})
    (folder / "preprocess.json").unlink()
    with pytest.raises(DataError, match=r"weights\.safetensors"):
        nas.evaluate(folder, "digits")
    with pytest.raises(DataError, match=r"weights\.safetensors|something else than numbers"):
        nas.export(folder, folder.parent / "out", settings=FP32)


def test_names_forge_no_card(trained: Trained, tmp_path: Path) -> None:
    """They are kept letter by letter in JSON."""
    evil = "x\n\n## Accuracy\n\n- 100.00% on test (trust me) <script>alert(1)</script> [a](javascript:b)"
    classes = (evil, *CLASSES[1:])
    card = Card(
        name=evil,
        origin=evil,
        licence=evil,
        limits=(evil,),
        training={evil: evil},
        data={"classes": [evil]},
        scores=(Score(value=0.5, split="test", how=evil),),
    )
    given = trained.architecture, trained.weights, replace(trained.preprocess, classes=classes), card
    export_model(tmp_path / "out", *given, settings=FP32)
    text = (tmp_path / "out" / "card.md").read_text()
    assert text.count("\n## Accuracy\n") == 1
    assert section(text, "Accuracy").count("\n") == 0
    assert "<script" not in text
    assert "](" not in text.replace(r"\](", "")
    assert json.loads((tmp_path / "out" / "preprocess.json").read_text())["classes"] == list(classes)


def test_intervals_from_before_end_at_1() -> None:
    assert "[74.62%, 100.00%]" in str(Score(value=0.93, low=0.7462, high=1.1151, split="validation", how="mean"))


def test_preprocess_says_how_levels_are_normalised(exported: Path, trained: Trained) -> None:
    written = json.loads((exported / "preprocess.json").read_text())
    assert written["normalise"] == LEVELS
    del written["normalise"]
    assert Preprocess.from_dict(written) == trained.preprocess, "files from before do not say it"
    pixels = trained.data.val.read(torch.arange(1)).permute(0, 2, 3, 1).numpy()
    same = replace(trained.preprocess, network_size=None)
    by_words = (pixels / 255 - same.mean) / same.std
    assert abs(same.network_input(pixels) - by_words.transpose(0, 3, 1, 2)).max() < 1e-5
    assert "cut at the centre" in section((exported / "card.md").read_text(), "How to use it")


def test_a_broken_architecture_is_named(folder: Path) -> None:
    (folder / "architecture.json").write_text("[" * 200_000)
    with pytest.raises(DataError, match=r"run/architecture\.json: "):
        nas.export(folder, folder.parent / "out")
