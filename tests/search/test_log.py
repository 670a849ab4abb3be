"""The run folder survives what a crash leaves."""

from __future__ import annotations

import errno
import json
import re
import resource
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.errors import ConfigError
from nas.run_folder import FolderTakenError
from nas.search.log import RunFolder, read_study, read_trials
from tests.search.conftest import SMALL


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
    # Without their checksums, as an older version wrote them.
    first, *rest = re.sub(r',"check":"\w{16}"', "", log.read_text()).splitlines(keepends=True)
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
    with pytest.raises(ConfigError, match="cannot be made"):
        RunFolder(tmp_path / "file" / "run")


@pytest.mark.parametrize(
    "change",
    [
        {"number": -1},
        {"number": 10**30},
        {"seed": -5},
        {"finished": 1e300},
        {"finished": float("nan")},
        {"elapsed": -1.0},
        {"elapsed": float("inf")},
        {"first_rung": -1},
        {"guided": 10**12},
        {"steps": [[-1, [1.0]]]},
        {"cost": {"params": -5}},
        {"cost": {"macs": 1e300}},
        {"duplicate_of": 99},
        {"number": 1},
    ],
)
def test_absurd_numbers_are_refused_without_a_checksum_too(folder: Path, change: dict[str, Any]) -> None:
    """Lines of the old format have none."""
    log = folder / "trials.jsonl"
    values = [json.loads(line) for line in log.read_text().splitlines()]
    for one in values:
        del one["check"]
    log.write_text("".join(json.dumps(one) + "\n" for one in values))
    assert len(read_trials(folder)) == 5
    values[2] |= change
    log.write_text("".join(json.dumps(one) + "\n" for one in values))
    with pytest.raises(ConfigError, match=r"trials\.jsonl:3: not a trial, or not as it was written"):
        read_trials(folder)


def test_an_edited_cost_and_a_missing_line_are_refused(space: nas.SearchSpace, folder: Path) -> None:
    log = folder / "trials.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    cost = json.loads(lines[1])["cost"]["macs"]
    for damaged in ([lines[0], lines[1].replace(b'"macs":%d' % cost, b'"macs":1')], [lines[0]]):
        log.write_bytes(b"".join([*damaged, *lines[2:]]))
        with pytest.raises(
            ConfigError, match=r"trials\.jsonl:2: .*Take the file from a copy, or keep its first 1 lines"
        ):
            nas.run_search(space, _score, trials=5, run_dir=folder, resume=True)
    log.write_bytes(lines[0])
    study = nas.run_search(space, _score, trials=5, run_dir=folder, resume=True)
    assert [trial.number for trial in study.trials] == [0, 1, 2, 3, 4]


def test_an_old_study_is_gone_on_with_and_then_guarded(space: nas.SearchSpace, folder: Path) -> None:
    log = folder / "trials.jsonl"
    log.write_bytes(re.sub(rb',"check":"\w{16}"', b"", log.read_bytes()))
    nas.run_search(space, _score, trials=7, run_dir=folder, resume=True)
    assert len(read_trials(folder)) == 7
    lines = log.read_bytes().splitlines(keepends=True)
    assert [b'"check"' in line for line in lines] == [False] * 5 + [True] * 2
    log.write_bytes(b"".join([lines[0], *lines[2:]]))
    with pytest.raises(ConfigError, match=r"trials\.jsonl:5: .*a line before it was edited, moved or taken out"):
        read_trials(folder)


def test_a_full_disk_lets_the_same_process_go_on(space: nas.SearchSpace, tmp_path: Path) -> None:
    """As a notebook does when room was made: the lock is released, and nothing is lost or doubled."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, hard))
    try:
        with pytest.raises(OSError, match="too large") as kept:  # as a notebook keeps the last error, with its frames
            nas.run_search(space, _score, trials=30, seed=1, run_dir=tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    before = read_trials(tmp_path / "run")
    assert 0 < len(before) < 30
    study = nas.run_search(space, _score, trials=30, seed=1, run_dir=tmp_path / "run", resume=True)
    whole = nas.run_search(space, _score, trials=30, seed=1)
    assert [trial.genotype for trial in study.trials] == [trial.genotype for trial in whole.trials]
    assert kept.value.errno == errno.EFBIG


def test_a_search_that_never_began_leaves_no_folder(space: nas.SearchSpace, tmp_path: Path) -> None:
    RunFolder(tmp_path / "run").close()
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_open_already_stays_open(space: nas.SearchSpace, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run", empty=True)
    nas.run_search(space, _score, trials=2, run_dir=folder)
    with pytest.raises(FolderTakenError, match="a search is running in this folder"):
        RunFolder(tmp_path / "run", resume=True)
    folder.close()
    assert len(read_trials(tmp_path / "run")) == 2


@pytest.mark.parametrize("study_id", ["a' OR '' = '", "", "x" * 65, None, "a b"])
def test_an_id_that_a_filter_could_be_made_of_is_refused(tmp_path: Path, study_id: object) -> None:
    nas.run_search(nas.SearchSpace.from_dict(SMALL), lambda *_: 1.0, trials=1, run_dir=tmp_path / "run")
    file = tmp_path / "run" / "study.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"study_id": study_id}))
    with pytest.raises(ConfigError, match="its study_id is"):
        read_study(tmp_path / "run")
