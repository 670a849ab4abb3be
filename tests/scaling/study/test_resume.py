"""Going on with a scaling study by its name alone."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.commands.scale import scale_command
from nas.errors import ConfigError
from nas.resume import resumed
from tests.logs import rewrite
from tests.scaling.lawpool import LawPool, folder, run

SIZES: dict[str, Any] = {"rule": "width", "rounding": {"divisor": 1}, "times": [1, 2], "seeds": 1}


def go_on(base: Path, name: str, **typed: Any) -> int:
    """`python -m nas.scale name=NAME resume=true` with some more settings."""
    records = {"dir": str(base.parent / "runs"), "mlflow": False}
    values = {"base": None, "records": records, "name": name, "resume": True}
    return scale_command({**values, **typed}, ["name", "resume", "records.dir", *typed])


def test_a_study_goes_on_by_its_name_alone(base: Path) -> None:
    assert run(base, **SIZES) == 0
    before = (folder(base) / "report.md").read_text()
    LawPool.tasks.clear()
    assert go_on(base, "study") == 0
    assert not LawPool.tasks
    assert (folder(base) / "report.md").read_text() == before


def test_a_study_that_was_named_by_the_time_goes_on(base: Path) -> None:
    assert run(base, **{**SIZES, "name": None}) == 0
    (made,) = (base.parent / "runs").iterdir()
    assert go_on(base, made.name, seeds=2) == 0
    with (made / "runs.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 4


def test_what_was_trained_may_not_change(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(base, **SIZES, train={"epochs": 3}) == 0
    assert go_on(base, "study", train={"epochs": 5}) == 2
    assert "resume: train.epochs was 3 in" in capsys.readouterr().err
    assert go_on(base, "study", rounding={"divisor": 8}) == 2
    assert "resume: rounding.divisor was 1 in" in capsys.readouterr().err
    assert go_on(base, "nothing") == 2
    assert "no scaling study in" in capsys.readouterr().err


def test_only_what_was_typed_is_taken() -> None:
    earlier = {"a": {"x": 1, "y": 2}, "b": 3, "c": {"z": 4}}
    now = {"a": {"x": 9, "y": 9}, "b": 9, "c": {"z": 9, "w": 5}}
    free, here = ["a.x", "c"], Path("there")
    assert resumed(earlier, now, [], free, here) == earlier
    assert resumed(earlier, now, free, free, here) == {"a": {"x": 9, "y": 2}, "b": 3, "c": {"z": 9, "w": 5}}
    assert earlier == {"a": {"x": 1, "y": 2}, "b": 3, "c": {"z": 4}}
    with pytest.raises(ConfigError, match=r"resume: a\.y was 2 in there, but is now 9; a\.x, c may change"):
        resumed(earlier, now, ["a"], free, here)
    assert resumed(earlier, {"b": 3}, ["b"], (), here) == earlier  # typed again, but as it was


def test_a_plan_has_table_and_chart(base: Path) -> None:
    settings = {"mode": "plan", "times": [1, 2, 4, 8, 16], "forecast": 64, "plan": {"work": 1e11}}
    assert run(base, **{**SIZES, **settings}) == 0
    assert (folder(base) / "scaling.svg").exists()
    with (folder(base) / "runs.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(LawPool.tasks)
    report = (folder(base) / "report.md").read_text()
    assert "E + A C^-a with E" in report
    assert "# study: mode=plan" in report


def test_a_forecast_without_a_law_is_refused_before_training(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(base, **{**SIZES, "times": [1, 2, 4], "forecast": 16}) == 2
    assert "forecast: insufficient: 3 sizes" in capsys.readouterr().err
    assert not LawPool.tasks


def test_a_refusal_names_the_divisor_that_would_do(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings: dict[str, Any] = {"times": [3], "rule": "width", "training": False}
    assert run(base, **settings) == 2
    found = capsys.readouterr().err
    divisor = int(found.rsplit("rounding.divisor=", 1)[1].split()[0])
    assert run(base, **settings, rounding={"divisor": divisor}) == 0


def test_scale_takes_an_architecture() -> None:
    with pytest.raises(nas.errors.NasError, match=r"takes an Architecture, not 'runs/x.json'"):
        nas.scale("runs/x.json", width=2)  # type: ignore[arg-type]  # what a user may give


def test_a_study_of_an_earlier_version_goes_on(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(base, **SIZES) == 0
    settings, runs = folder(base) / "settings.json", folder(base) / "runs.jsonl"
    values = json.loads(settings.read_text())
    del values["rounding"]["repeats"]  # which there was not
    settings.write_text(json.dumps(values))
    gone = {"arch_id": "0" * 16, "key": f"{'0' * 16}-0-0"}  # a network that is made no more
    rewrite(runs, lambda number, values: {**values, **gone} if number == 1 else values)
    LawPool.tasks.clear()
    capsys.readouterr()
    assert go_on(base, "study") == 0
    assert len(LawPool.tasks) == 1
    assert "1 runs in runs.jsonl are of networks that are not among these sizes any more" in capsys.readouterr().out
