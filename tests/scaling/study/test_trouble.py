"""What can go wrong with a scaling study: runs that fail, losses that say nothing, files that were changed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from random import Random
from typing import Any

import pytest

import nas
from nas.run_folder import hold
from nas.scaling.laws.law import fit_untested
from nas.scaling.laws.observations import Observation
from nas.workers.processes import Outcome, Task
from tests.scaling.lawpool import LawPool, folder, run

WIDTH: dict[str, Any] = {"rule": "width", "rounding": {"divisor": 1}}


def macs_of(base: Path, *times: float) -> list[int]:
    """Multiply-adds of the sizes in the table of a study, those of some multiples of the base."""
    smallest = nas.cost_of(nas.Architecture.from_json(base.read_text())).macs
    files = sorted(folder(base).glob("width_*.json"))
    every = [nas.cost_of(nas.Architecture.from_json(path.read_text())).macs for path in files]
    return [min(every, key=lambda macs: abs(macs / smallest / one - 1)) for one in times]


def test_a_run_that_fails_ends_only_itself(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    LawPool.fail.add(nas.cost_of(nas.Architecture.from_json(base.read_text())).macs)
    assert run(base, times=[1, 2, 4, 8, 16], **WIDTH, seeds=1) == 0
    text = capsys.readouterr().out
    assert "| failed | 0 | 1 |" in text
    assert "MACs: TrainingError: the loss is not a number" in text
    assert "width, C in multiply-adds: " in text
    assert (folder(base) / "scaling.svg").exists()
    LawPool.fail.clear()
    assert run(base, times=[1, 2, 4, 8, 16], **WIDTH, seeds=1, resume=True) == 0
    assert "failed |\n" not in capsys.readouterr().out.replace("| failed | 0", "")


def test_a_study_whose_runs_all_fail_says_why(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(base, times=[1, 2], **WIDTH, seeds=1) == 0
    LawPool.fail.update(macs_of(base, 1, 2))
    assert run(base, times=[1, 2], **WIDTH, seeds=1, name="again") == 2
    assert "every run failed: TrainingError: the loss is not a number" in capsys.readouterr().err


def test_a_rule_whose_runs_fail_is_compared_all_the_same(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings: dict[str, Any] = {"mode": "compare", "rules": ["width", "resolution"], "times": [1, 4]}
    assert run(base, **settings, training=False) == 0
    LawPool.fail.update(
        nas.cost_of(nas.Architecture.from_json(path.read_text())).macs
        for path in folder(base).glob("resolution_*.json")
        if path.name != "resolution_0.json"
    )
    assert run(base, **settings, name="again") == 0
    assert "too few runs" in capsys.readouterr().out


@pytest.mark.parametrize("losses", [(0.1369, 0.1101, 0.1700, 0.1623), (0.1, 0.1, 0.1, 0.1), (0.9, 0.1, 0.9, 0.1)])
def test_losses_that_follow_no_law_give_a_report(
    base: Path, monkeypatch: pytest.MonkeyPatch, losses: tuple[float, ...]
) -> None:
    def outcome(pool: LawPool, task: Task) -> Outcome:
        known = sorted({nas.cost_of(one.architecture).macs for one in LawPool.tasks})
        place = known.index(nas.cost_of(task.architecture).macs) if task.budget.epochs != 1 else 0
        error = losses[place % 4]
        return Outcome(task.number, nas.Evaluation({"val_accuracy": 1 - error, "val_loss": error}))

    monkeypatch.setattr(LawPool, "_outcome", outcome)
    assert run(base, times=[1, 2, 4, 8], **WIDTH, seeds=1) == 0
    for name in ("report.md", "runs.csv", "scaling.svg"):
        assert (folder(base) / name).exists()


def test_an_interval_without_an_end_is_no_error() -> None:
    rng = Random(0)
    for _ in range(25):
        law = fit_untested([Observation((2.0**i,), rng.uniform(0.1, 0.17), str(i)) for i in range(5)])
        found = law.forecast(1e6)
        assert found.low <= found.loss <= found.high
        assert all(one.low <= one.loss <= one.high for one in law.constants().values())


@pytest.mark.parametrize("mode", ["family", "coefficients", "plan"])
def test_no_error_at_all_counts_as_half_an_image(base: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    def outcome(pool: LawPool, task: Task) -> Outcome:
        return Outcome(task.number, nas.Evaluation({"val_accuracy": 1.0, "val_loss": 0.1}, seconds={"evaluation": 1.0}))

    monkeypatch.setattr(LawPool, "_outcome", outcome)
    settings: dict[str, Any] = {
        "family": {"times": [1, 2, 4, 8], **WIDTH},
        "coefficients": {"seeds": 1, "rounding": {"divisor": 1}},
        "plan": {"times": [1, 2, 4, 8, 16], "forecast": 64, "plan": {"hours": 0.1}, **WIDTH},
    }
    assert run(base, mode=mode, **settings[mode]) == 0
    assert "0.0010" in (folder(base) / "report.md").read_text().replace("0.001 (", "0.0010 (")


def test_a_plan_leaves_a_size_alone_that_always_fails(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings: dict[str, Any] = {"mode": "plan", "times": [1, 2, 4, 8, 16, 32], "forecast": 64, **WIDTH}
    assert run(base, **settings, plan={"work": 1e12}, training=False) == 0
    (large,) = macs_of(base, 32)
    LawPool.fail.add(large)
    assert run(base, **settings, plan={"work": 1e12}, name="again") == 0
    tried = [task for task in LawPool.tasks if nas.cost_of(task.architecture).macs == large]
    assert 0 < len(tried) <= 8  # as many as the first round has
    assert "x base): " in capsys.readouterr().out


def test_a_plan_in_which_everything_fails_ends(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings: dict[str, Any] = {"mode": "plan", "times": [1, 2, 4, 8, 16], "forecast": 64, **WIDTH}
    assert run(base, **settings, plan={"work": 1e12}, training=False) == 0
    LawPool.fail.update(macs_of(base, 1, 2, 4, 8, 16))
    assert run(base, **settings, plan={"work": 1e12}, name="again") == 1  # its runs fail alike
    assert len(LawPool.tasks) < 60


def test_what_was_trained_is_not_foretold(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings: dict[str, Any] = {"times": [1, 2, 4, 8, 16], **WIDTH}
    assert run(base, **settings, forecast=8) == 2
    assert "forecast=8 is one of the sizes that the law is fitted to" in capsys.readouterr().err
    assert run(base, **settings, forecast=32) == 0
    (folder(base) / "forecast.json").unlink()
    capsys.readouterr()
    assert run(base, **settings, forecast=32, resume=True) == 0
    text = capsys.readouterr().out
    assert "no forecast: 3 runs of its network are in" in text
    assert not (folder(base) / "forecast.json").exists()


def test_another_base_is_another_study(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(base, phi=[0, 1], training=False) == 0
    base.write_text(nas.scale(nas.Architecture.from_json(base.read_text()), width=2).to_json())
    assert run(base, phi=[0, 1], training=False, resume=True) == 2
    assert "was another network" in capsys.readouterr().err


def test_a_study_is_gone_on_with_by_one_process(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(base, phi=[0, 1], training=False) == 0
    with hold(folder(base), "scaling study"):
        assert run(base, phi=[0, 1], training=False, resume=True) == 2
    assert "a scaling study is running in this folder" in capsys.readouterr().err
    assert run(base, phi=[0, 1], training=False, resume=True) == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scores", {"val_accuracy": "x", "val_loss": 1.0}),
        ("scores", {"val_loss": 1.0}),
        ("scores", {"val_accuracy": float("nan"), "val_loss": 1.0}),
        ("scores", [1]),
        ("seconds", None),
        ("key", [1]),
        ("macs", "x"),
        ("epochs", 1.5),
        ("macs", -1),
        ("params", 10**30),
        ("seconds", -1.0),
        ("lr", float("inf")),
        ("unknown", 1),
    ],
)
def test_a_line_that_is_no_run_is_named(
    base: Path, capsys: pytest.CaptureFixture[str], name: str, value: object
) -> None:
    assert run(base, times=[1, 2], **WIDTH, seeds=1) == 0
    path = folder(base) / "runs.jsonl"
    # Without their checksums, as an older version wrote them.
    first, *others = re.sub(r',"check":"\w{16}"', "", path.read_text()).splitlines()
    path.write_text("\n".join([json.dumps({**json.loads(first), name: value}), *others]) + "\n")
    assert run(base, times=[1, 2], **WIDTH, seeds=1, resume=True) == 2
    assert "runs.jsonl:1: not a training run" in capsys.readouterr().err


def test_the_files_are_of_what_was_trained(base: Path) -> None:
    assert run(base, times=[1, 4], **WIDTH, seeds=1, by_size={"dropout": 0.1}) == 0
    trained = {task.architecture.arch_id for task in LawPool.tasks}
    files = folder(base).glob("width_*.json")
    assert {nas.Architecture.from_json(path.read_text()).arch_id for path in files} == trained


def test_how_long_an_epoch_takes_must_be_known(
    base: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def outcome(pool: LawPool, task: Task) -> Outcome:
        return Outcome(task.number, None, "DataError: no images")

    monkeypatch.setattr(LawPool, "_outcome", outcome)
    settings: dict[str, Any] = {"mode": "plan", "times": [1, 2, 4, 8, 16], "forecast": 64, **WIDTH}
    assert run(base, **settings, training=False) == 2
    assert "since one failed: DataError: no images" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"accelerator": "x"}, "accelerator must be one of"),
        ({"mode": "isoflop", "budgets": [2, 2]}, "budgets must be different"),
        ({"mode": "isoflop", "by_size": {"epochs": 1.0}}, "no by_size.epochs"),
        ({"mode": "plan", "forecast": 64, "law": "params"}, "no law=params"),
        ({"mode": "plan", "forecast": 64, "lr_sweep": [1.0]}, "no lr_sweep"),
        ({"mode": "coefficients", "latency": True}, "has not"),
        ({"rounding": {"resolution": 0}}, "rounding.resolution must be from 1"),
        ({"coefficients": {1: 2}}, "has no coefficient '1'"),
    ],
)
def test_settings_that_would_be_ignored_are_refused(
    base: Path, capsys: pytest.CaptureFixture[str], settings: dict[str, Any], message: str
) -> None:
    assert run(base, **settings) == 2
    assert message in capsys.readouterr().err
