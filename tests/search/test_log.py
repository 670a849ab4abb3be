"""The run folder survives what a crash leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.errors import ConfigError
from nas.search.log import RunFolder, read_study, read_trials


def _score(arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
    return 1.0


@pytest.fixture
def folder(space: nas.SearchSpace, tmp_path: Path) -> Path:
    nas.run_search(space, _score, trials=5, run_dir=tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize("cut", [1, 2, 20, 100])
def test_a_torn_last_line_is_dropped_and_the_search_goes_on(space: nas.SearchSpace, folder: Path, cut: int) -> None:
    log = folder / "trials.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole[:-cut])
    study = nas.run_search(space, _score, trials=5, run_dir=folder, resume=True)
    assert [t.number for t in study.trials] == [0, 1, 2, 3, 4]
    # The repeated trial differs in its times only.
    assert log.read_bytes().count(b"\n") == whole.count(b"\n")


def test_a_broken_line_inside_is_an_error_that_names_it(space: nas.SearchSpace, folder: Path) -> None:
    log = folder / "trials.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([lines[0], b"{}\n", *lines[2:]]))
    with pytest.raises(ConfigError, match=r"trials\.jsonl:2: not a trial"):
        nas.run_search(space, _score, trials=5, run_dir=folder, resume=True)


@pytest.mark.parametrize(
    "change",
    [
        {"number": "0"},
        {"genotype": []},
        {"cost": 3},
        {"cost": {"params": "many"}},
        {"elapsed": None},
        {"seconds": {"evaluation": "x"}},
        {"scores": {"val_accuracy": [1]}},
        {"steps": [["a", [1.0]]]},
        {"first_rung": 0.5},
    ],
)
def test_a_line_of_other_types_is_an_error_that_names_it(folder: Path, change: dict[str, Any]) -> None:
    log = folder / "trials.jsonl"
    first, *rest = log.read_text().splitlines(keepends=True)
    log.write_text(json.dumps(json.loads(first) | change) + "\n" + "".join(rest))
    with pytest.raises(ConfigError, match=r"trials\.jsonl:1: not a trial"):
        read_trials(folder)


@pytest.mark.parametrize("notes", [None, "config", {"config": None}, {"config": [1]}, {"data": 3}])
def test_a_study_file_with_other_notes(folder: Path, notes: object) -> None:
    values = json.loads((folder / "study.json").read_text()) | {"notes": notes}
    (folder / "study.json").write_text(json.dumps(values))
    with pytest.raises(ConfigError, match="does not describe a study: its notes"):
        read_study(folder)


def test_only_one_process_holds_a_folder(folder: Path) -> None:
    first = RunFolder(folder, resume=True)
    with pytest.raises(ConfigError, match="a search is running in this folder"):
        RunFolder(folder, resume=True)
    first.close()
    RunFolder(folder, resume=True).close()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": "other"}'])
def test_a_study_file_that_is_none(folder: Path, text: str) -> None:
    (folder / "study.json").write_text(text)
    with pytest.raises(ConfigError, match=r"study\.json"):
        read_study(folder)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        RunFolder(tmp_path / "file" / "run")
