"""`nas report` as it is typed, and the report that a command writes at its end."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from nas.commands.report import main
from nas.reports.commands_to_repeat import search_command
from nas.reports.write import write_page
from nas.search.config import Config
from nas.training.recipe_files import read_data_config
from tests.reports.studies import searched


def test_it_says_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    searched(tmp_path / "run", trials=2)
    assert main([str(tmp_path / "run")]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"Report: {tmp_path / 'run' / 'report.html'}"


def test_two_that_write_one_page_do_not_end_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where two follow a search: the second one begins and ends while the first one writes."""
    page, fsync, others = tmp_path / "report.html", os.fsync, ["<p>second</p>"]

    def meanwhile(descriptor: int) -> None:
        if others:
            write_page(page, others.pop())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", meanwhile)
    assert write_page(page, "<p>first</p>") == page
    assert page.read_text() == "<p>first</p>"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_it_writes_a_journal_of_optuna_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    study = searched(tmp_path / "run", trials=2)
    assert main([str(tmp_path / "run"), "--optuna", str(tmp_path / "study.log"), "--json"]) == 0
    out, err = capsys.readouterr()
    assert f"Optuna: {tmp_path / 'study.log'}" in err.splitlines()
    facts = json.loads(out)
    assert (facts["report"], facts["optuna"]) == (str(tmp_path / "run" / "report.html"), str(tmp_path / "study.log"))
    assert {str(path) for path in (tmp_path / "run").glob("report*.[hp]*")} == {*facts["files"]}
    read = optuna.load_study(study_name=None, storage=JournalStorage(JournalFileBackend(str(tmp_path / "study.log"))))
    assert len(read.trials) == len(study.trials)
    assert main([str(tmp_path / "run")] * 2 + ["--optuna", str(tmp_path / "other.log")]) == 2
    assert "--optuna writes one search, but 2 are given" in capsys.readouterr().err
    assert not [*(tmp_path / "here").iterdir()]  # nothing is written where something is refused


@pytest.mark.parametrize("option", [[], ["--optuna", "study.log"]])
def test_records_that_nobody_can_show_are_said_in_one_line(
    tmp_path: Path, option: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    searched(tmp_path / "run", trials=1)
    study = tmp_path / "run" / "study.json"
    study.write_text(json.dumps(json.loads(study.read_text()) | {"input_shape": 5}))
    assert main([str(tmp_path / "run"), *option]) == 2
    assert capsys.readouterr().err.startswith(f"nas.report: study {study} cannot be read: TypeError")


def test_what_is_no_run_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"nas.report: {tmp_path} holds no study.json of a search, and no report.md")
    assert shown.err.count("\n") == 1
    searched(tmp_path / "run", trials=1)
    assert main([str(tmp_path / "run"), "--output", str(tmp_path / "nowhere" / "x.html")]) == 2
    assert "cannot be written to" in capsys.readouterr().err


def test_a_search_is_repeated_by_what_is_not_usual() -> None:
    usual = {"space": "mbconv", "data": asdict(read_data_config("digits"))}
    words = search_command(asdict(Config.from_values(usual))).split()
    assert words[-3:] == ["search", "+space=mbconv", "data=digits"]
    limits = {"params": 5e5, "macs": [1e5, None]}
    changed = Config.from_values({**usual, "constraints": limits, "search": {"trials": 7}, "seed": 3})
    words = search_command({**asdict(changed), "name": "mine"}).split()
    assert "constraints.params=500000" in words
    assert "'constraints.macs=[100000,null]'" in words
    assert {"search.trials=7", "seed=3"} <= {*words}
    assert not any(word.startswith("name=") for word in words)


def test_a_record_is_not_replaced_by_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    searched(tmp_path / "run", trials=2)
    log = tmp_path / "run" / "trials.jsonl"
    before = log.read_bytes()
    assert main([str(tmp_path / "run"), "--output", str(log)]) == 2
    assert f"{log}, which is there and no page" in capsys.readouterr().err
    assert log.read_bytes() == before
    for _ in range(2):
        assert main([str(tmp_path / "run"), "--output", str(tmp_path / "mine.html")]) == 0
