"""The model in the run folder of a search is that of its best network, or none."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import nas
from nas.commands import search_model
from nas.commands.search_model import write_best, write_model
from nas.search.study import Study
from nas.training.data.config import DataConfig
from tests.search.conftest import SMALL

_FILES = ("model.onnx", "model.safetensors", "preprocess.json", "predict.py", "card.md")


def _study(run: Path, best: int) -> Study:
    """Search among networks, of which those with about so many parameters are best, and leave their weights."""

    def score(arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
        assert budget.weights is not None
        Path(budget.weights).parent.mkdir(exist_ok=True)
        Path(budget.weights).write_bytes(b"weights")
        return -abs(nas.cost_of(arch).params - best)

    return nas.run_search(nas.SearchSpace.from_dict(SMALL), score, trials=8, sampler="random", run_dir=run)


def _model(run: Path, *more: str) -> Path:
    model = run / "model"
    model.mkdir()
    for name in (*_FILES, *more):
        (model / name).write_text("of an earlier best network")
    return model


@pytest.mark.parametrize(("more", "stays"), [((), False), (("notes.txt",), True)])
def test_the_model_of_an_earlier_best_network_goes(tmp_path: Path, more: tuple[str, ...], stays: bool) -> None:
    """Also where no new one is written: the search was interrupted, or keeps no weights any more."""
    study = _study(tmp_path / "run", best=3000)
    best = write_best(study, tmp_path / "run")
    model = _model(tmp_path / "run", *more)
    write_best(study, tmp_path / "run")
    assert model.exists(), "it is the same network"
    other = json.loads(best.read_text()) | {"num_classes": 7}
    best.write_text(json.dumps(other))
    write_best(study, tmp_path / "run")
    assert model.exists() == stays
    assert study.winner is not None
    assert nas.Architecture.from_json(best.read_text()).arch_id == study.winner.arch_id
    best.write_bytes(b"\xff no text")
    write_best(study, tmp_path / "run")
    assert nas.Architecture.from_json(best.read_text()).arch_id == study.winner.arch_id


@pytest.mark.parametrize("error", [ValueError("no such operation"), UnicodeEncodeError("utf-8", "x", 0, 1, "why")])
def test_an_export_that_fails_costs_no_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(*args: Any, **more: Any) -> None:
        raise error

    monkeypatch.setattr(search_model, "export_run", fails)
    said = io.StringIO()
    write_model(_study(tmp_path / "run", best=3000), tmp_path / "run", DataConfig(), Console(file=said, width=300))
    assert f"It was not written: {type(error).__name__}" in said.getvalue()
    assert f"export {tmp_path / 'run'} out=FOLDER" in said.getvalue().replace("'", "")
