"""A finish that is gone on with: what failed, what is gone from its folder, and what was edited by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nas
from nas.commands.finish import finish_command
from nas.finishing import session, shipping
from tests.finishing.recorded import StubPool, finish, report_of


def go_on(searched: Path, **values: Any) -> int:
    return finish_command({"run": str(searched), "workers": 1, "mlflow": False})


def test_what_failed_by_itself_is_not_done_again_and_other_failures_are(searched: Path) -> None:
    assert finish(searched, top_k=1, seeds=1, final_seeds=4, baseline="none") == 0
    seeds = report_of(searched)["reporting_seeds"]
    for path in sorted((searched / "finish").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    why = {seeds[1]: "nan", seeds[2]: "no memory"}
    StubPool.fails = staticmethod(lambda architecture, seed: why.get(seed, ""))
    assert finish(searched, top_k=1, seeds=1, final_seeds=4, baseline="none") == 0
    text = (searched / "finish" / "report.md").read_text()
    assert (
        "2 of 4 final trainings of the winner failed: TrainingError: the loss is nan; RuntimeError: no memory" in text
    )
    assert "The same command does 1 of them again." in text
    assert "The time, " not in text
    assert "| 2 (2 of 4 trainings failed) |" in text
    StubPool.fails = staticmethod(lambda architecture, seed: "")
    tasks = len(StubPool.tasks)
    assert go_on(searched) == 0
    assert len(StubPool.tasks) == tasks + 2  # a training and its test
    winner = report_of(searched)["final"]["winner"]
    assert (winner["trainings"], winner["failed"]) == (4, ["TrainingError: the loss is nan"])


def test_weights_that_are_gone_are_trained_again(searched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert finish(searched, top_k=2, final_seeds=2, baseline="none") == 0
    before, tasks = report_of(searched), len(StubPool.tasks)
    (searched / "finish" / "weights" / before["final"]["winner"]["weights"][0]).unlink()
    assert go_on(searched) == 0
    assert "are gone from" in capsys.readouterr().out
    assert len(StubPool.tasks) == tasks + 1
    assert report_of(searched) == before
    # Where it fails now the scores stay, and what could not be shipped is said.
    (searched / "finish" / "weights" / before["final"]["winner"]["weights"][0]).unlink()
    StubPool.fails = staticmethod(lambda architecture, seed: "nan")
    assert go_on(searched) == 2
    assert report_of(searched)["final"] == before["final"]
    assert report_of(searched)["trouble"]
    StubPool.fails = staticmethod(lambda architecture, seed: "")
    assert go_on(searched) == 0
    assert report_of(searched) == before


def test_other_scores_of_weights_that_were_gone_are_tested_again(searched: Path) -> None:
    assert finish(searched, top_k=1, final_seeds=2, baseline="none") == 0
    before = report_of(searched)
    recommended = before["recommended"]
    (searched / "finish" / "weights" / before["final"][recommended]["weights"][0]).unlink()
    StubPool.shift = 0.001
    assert go_on(searched) == 0
    first, second = map(str, before["reporting_seeds"])
    for split in ("val", "test"):
        was, now = (report["final"][recommended][split]["by_seed"] for report in (before, report_of(searched)))
        assert now[first] - was[first] == pytest.approx(0.001)
        assert now[second] == was[second]


@pytest.fixture
def exporting(searched: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The search, whose finish ships by the code of this package, with weights that fit."""
    from nas.network.lower import lower
    from nas.pytorch.build import state_shapes

    def weights_of(path: Path) -> dict[str, np.ndarray[Any, Any]]:
        path.read_bytes()
        arch = nas.Architecture.from_json((searched / "finish" / "recommended.json").read_text())
        shapes = state_shapes(lower(arch)).items()
        return {name: np.ones(shape, np.int64 if "num_batches" in name else np.float32) for name, shape in shapes}

    monkeypatch.setattr(session, "ship", shipping.ship)
    monkeypatch.setattr("nas.exporting.folder.read_weights", weights_of)
    return searched


@pytest.mark.slow
def test_what_is_not_ours_in_the_folder_that_ships_is_kept(
    exporting: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = exporting / "finish" / "model"
    assert finish(exporting, top_k=1, seeds=1, final_seeds=2, baseline="none") == 0, capsys.readouterr().err
    exported = {path.name: path.read_bytes() for path in model.iterdir()}
    assert "model.onnx" in exported

    def no_export(*args: Any, **more: Any) -> None:
        raise ValueError("no such operation")

    with monkeypatch.context() as patch:  # an export that fails leaves the earlier one
        patch.setattr("nas.exporting.folder.export_model", no_export)
        assert go_on(exporting) == 2
    assert {path.name: path.read_bytes() for path in model.iterdir()} == exported
    assert report_of(exporting)["other_model"] == "finish/model holds an earlier export of this network"
    (model / "card.md").write_text("another")
    (model / "NOTES.txt").write_text("mine")
    assert go_on(exporting) == 2
    captured = capsys.readouterr()
    assert "no export that could be replaced: no export writes 'NOTES.txt'" in captured.err
    assert "finish/model holds another network or something else, not what is recommended" in captured.out
    assert (model / "NOTES.txt").read_text() == "mine"
    text = (exporting / "finish" / "report.md").read_text()
    assert "not what is recommended" in text
    assert "NOTES.txt" in text
    (model / "NOTES.txt").unlink()
    assert go_on(exporting) == 0
    assert report_of(exporting)["other_model"] == ""
