"""A finish that is gone on with: what failed, what is gone from its folder, and what was edited by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

import nas
from nas.commands.finish import finish_command
from nas.finishing import session, shipping
from tests.finishing.recorded import SPACE, STUB_WEIGHTS, StubPool, finish, report_of

OTHER = nas.SearchSpace.from_dict(SPACE).decode({"stem.0.out_channels": 4, "stages.0.out_channels": 8})


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


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (STUB_WEIGHTS[:-1], r"are damaged: .*\.safetensors is no whole safetensors file"),
        (b"", "are damaged: "),
        (
            save({"stub": np.zeros(1)}, {"architecture": OTHER.to_json()}),
            "has those of another network",
        ),
    ],
    ids=["cut off", "empty", "of another network"],
)
def test_weights_that_are_damaged_are_trained_again(
    searched: Path, capsys: pytest.CaptureFixture[str], data: bytes, why: str
) -> None:
    assert finish(searched, top_k=1, final_seeds=2, baseline="none") == 0
    before, log = report_of(searched), searched / "finish" / "trials.jsonl"
    weights = [searched / "finish" / "weights" / name for name in before["final"]["winner"]["weights"]]
    weights[0].write_bytes(data)
    assert go_on(searched) == 0
    assert re.search(
        f"The weights of trial [0-9]+, seed [0-9]+, .*{why}.*It is trained again:", capsys.readouterr().out
    )
    assert [path.read_bytes() for path in weights] == [STUB_WEIGHTS] * 2
    assert report_of(searched) == before
    # So it is where they are still to be scored, of which there is no end otherwise.
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:3]))  # what it was begun with, and two trainings
    weights[1].write_bytes(data)
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


def test_a_kill_between_training_again_and_testing_leaves_no_score_of_other_weights(searched: Path) -> None:
    assert finish(searched, top_k=1, final_seeds=2, baseline="none") == 0
    before, log = report_of(searched), searched / "finish" / "trials.jsonl"
    recommended, lines = before["recommended"], log.read_text().count("\n")
    (searched / "finish" / "weights" / before["final"][recommended]["weights"][0]).unlink()
    StubPool.shift = 0.001
    assert go_on(searched) == 0
    scored = report_of(searched)
    log.write_text("".join(log.read_text().splitlines(keepends=True)[: lines + 1]))  # the training, and not its test
    assert go_on(searched) == 0
    assert report_of(searched)["final"] == scored["final"]
    first = str(before["reporting_seeds"][0])
    was, now = (report["final"][recommended]["test"]["by_seed"][first] for report in (before, report_of(searched)))
    assert now - was == pytest.approx(0.001)


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
    monkeypatch.setattr("nas.training.weights.load_metadata", lambda path: {})
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


def _edit(path: Path, change: Callable[[Any], Any]) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def test_what_was_edited_by_hand_is_refused_with_file_and_rule(
    searched: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert finish(searched, top_k=1, seeds=1, final_seeds=2, baseline="none") == 0
    home, before = searched / "finish", report_of(searched)
    cases: list[tuple[str, Callable[[Any], Any], list[str]]] = [
        (
            "settings.json",
            lambda values: values | {"finish": values["finish"] | {"final_seeds": 1}},
            ["settings.json: finish.final_seeds is 1, but this finish was begun with 2 (first line of"],
        ),
        (
            "settings.json",
            lambda values: values | {"train": values["train"] | {"epochs": 1}},
            ["settings.json: train.epochs is 1, but this finish was begun with 12"],
        ),
        (
            "settings.json",
            lambda values: values | {"finish": values["finish"] | {"top_k": None}},
            ["top_k must be a whole number, but got None. What was not typed now is as it stands in", "settings.json"],
        ),
        (
            "../study.json",
            lambda values: values | {"direction": ["up"]},
            ["study ", "study.json: search.direction must be maximize or minimize"],
        ),
        ("settings.json", lambda values: {}, ["settings.json has no 'study_id', which every finish writes"]),
        ("candidates.json", lambda values: values | {"measuring": {"published": 1.0}}, ["candidates.json is not as"]),
        ("candidates.json", lambda values: values | {"measuring": {"published": -1.0}}, ["number of seconds >= 0"]),
        ("seconds.json", lambda values: values | {"choose": float("nan")}, ["seconds.json", "choose must be a finite"]),
        ("seconds.json", lambda values: values | {"report": -1}, ["seconds.json", "report must be a finite", "-1"]),
        ("seconds.json", lambda values: values | {"report": "1"}, ["seconds.json", "report must be a number"]),
    ]
    for name, change, messages in cases:
        saved = (home / name).read_text()
        _edit(home / name, change)
        assert go_on(searched) == 2
        error = capsys.readouterr().err
        for message in messages:
            assert message in error
        assert len(error.splitlines()) == 1
        (home / name).write_text(saved)
    # Without its settings it is not a new finish either.
    (home / "settings.json").unlink()
    assert finish(searched, top_k=1, seeds=1, final_seeds=1, baseline="none") == 2
    assert "finish.final_seeds is 1, but this finish was begun with 2" in capsys.readouterr().err
    assert not (home / "settings.json").exists()
    assert finish(searched, top_k=1, seeds=1, final_seeds=2, baseline="none") == 0
    assert report_of(searched) == before


def test_a_finish_of_before_its_log_said_what_it_was_begun_with_goes_on(searched: Path) -> None:
    assert finish(searched, top_k=1, seeds=1, final_seeds=2, baseline="none") == 0
    log, before = searched / "finish" / "trials.jsonl", report_of(searched)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [next(iter(line)) for line in lines if "key" not in line] == ["begun", "reported"]
    earlier = [{key: value for key, value in line.items() if key != "check"} for line in lines if "key" in line]
    log.write_text("".join(json.dumps(line) + "\n" for line in earlier))
    assert go_on(searched) == 0
    assert report_of(searched) == before


def test_going_on_after_a_result_is_a_second_look(searched: Path) -> None:
    assert finish(searched, top_k=2, seeds=1, final_seeds=4, baseline="none", minutes=4.5 / 60) == 0
    first = report_of(searched)
    assert 0 < first["final"]["winner"]["test"]["count"] < 4
    assert first["looks"]["earlier"] == 0
    text = (searched / "finish" / "report.md").read_text()
    assert "what it then reports is a second look at the test split" in text
    assert "This is look" not in text
    name = first["final"]["winner"]["name"]
    more = {"run": str(searched), "workers": 1, "mlflow": False, "finish": {"minutes": 60.0}}
    for _ in range(2):  # the same once more is no other look
        assert finish_command(more, ["finish.minutes"]) == 0
        assert report_of(searched)["looks"] == {"earlier": 1, "recommended": [f"winner ({name})"], "readings": 0}
    text = (searched / "finish" / "report.md").read_text()
    assert "This is look 2 at the test split" in text
    assert f"Recommended before: winner ({name}). The ledger has 0 readings" in text  # the stub writes none


def test_a_search_with_several_objectives_is_told_that_one_counts(searched: Path) -> None:
    study = json.loads((searched / "study.json").read_text())
    study["objective"] = ["val_accuracy", "macs"]
    study["direction"] = ["maximize", "minimize"]
    (searched / "study.json").write_text(json.dumps(study))
    assert finish(searched, top_k=3, seeds=1, final_seeds=1, baseline="none") == 0
    text = (searched / "finish" / "report.md").read_text()
    assert (
        "The search had several objectives (val_accuracy, macs). A finish chooses and compares by val_accuracy" in text
    )
    assert "the knee of its front, is trial " in text
    assert "| finalist | search | macs | fresh seeds | |" in text
