"""`nas finish` as a person runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from scipy import stats

from nas.commands.finish import finish_command
from nas.training.data.test_split import Ledger
from tests.run_command import run

NAS = [sys.executable, "-m", "nas"]
SPACE = """
name: tiny
stem: {block: conv, out_channels: {choose: [4, 8]}, stride: 2}
stages:
  - {block: residual_basic, out_channels: {choose: [8, 12, 16]}, kernel: {choose: [3, 5]}, stride: 2}
head: {block: classifier}
"""
TINY = ("finish.top_k=2", "finish.seeds=2", "finish.final_seeds=3", "train.epochs=3", "workers=1")


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search of a few small networks on the digits."""
    folder = tmp_path_factory.mktemp("finish")
    (folder / "tiny.yaml").write_text(SPACE)
    words = ["+space=tiny.yaml", "name=x", "workers=1", "search.trials=5", "train.epochs=2", "constraints.params=2e4"]
    assert run("nas.search", *words, "records.mlflow=false", cwd=folder).returncode == 0
    return folder / "runs" / "x"


def test_help_teaches_without_loading_anything(tmp_path: Path) -> None:
    done = subprocess.run([*NAS, "finish", "--help"], cwd=tmp_path, capture_output=True, text=True, check=True)
    for word in ("nas finish RUN", "finish.final_seeds=8", "finish.baseline=published", "finish.minutes=null", "train."):
        assert word in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "which search? Give its run folder: nas finish runs/NAME"),
        ({"run": "nowhere"}, "no study in nowhere"),
        (
            {"run": ".", "finish": {"baseline": "pubished"}},
            "finish.baseline: unknown 'pubished'. Did you mean 'published'",
        ),
        ({"run": ".", "finish": {"final_seeds": 0}}, "finish.final_seeds must be >= 1, but got 0"),
        ({"run": ".", "finish": {"seed": 3}}, "unknown setting 'finish.seed'. Did you mean 'seeds'"),
        ({"run": ".", "workers": 0}, "workers must be auto or a whole number from 1 to 1,024, but got 0"),
        ({"run": "."}, "no study in"),
    ],
)
def test_bad_input_is_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], values: Any, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert finish_command(values) == 2
    error = capfd.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def _report(run_folder: Path) -> dict[str, Any]:
    report = json.loads((run_folder / "finish" / "report.json").read_text())
    assert isinstance(report, dict)
    return report


def _test_images(run_folder: Path) -> int:
    return int(json.loads((run_folder / "study.json").read_text())["notes"]["data"]["test_images"])


def _lines(run_folder: Path) -> list[dict[str, Any]]:
    path = run_folder / "finish" / "trials.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.slow
def test_a_finish_that_is_killed_goes_on_and_reports_what_an_uninterrupted_one_does(searched: Path) -> None:
    words = [*NAS, "finish", str(searched), *TINY, "finish.baseline=none"]
    process = subprocess.Popen(words, cwd=searched, stdout=subprocess.DEVNULL)
    while len(_lines(searched)) < 3:
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = _lines(searched)
    assert not (searched / "finish" / "report.json").exists()
    # The earlier settings hold without being said again; others are refused.
    refused = run("nas", "finish", searched, "train.epochs=4")
    assert refused.returncode == 2
    assert "train.epochs was 3" in refused.stderr
    done = run("nas", "finish", searched)
    assert done.returncode == 0, done.stderr
    assert _lines(searched)[: len(before)] == before
    report = _report(searched)
    assert report["recommended"] == "winner"
    assert "nothing tells whether it is better than a published network" in report["sentence"]
    winner = report["final"]["winner"]
    by_seed = [*winner["test"]["by_seed"].values()]
    low, high = stats.t.interval(0.95, 2, sum(by_seed) / 3, stats.sem(by_seed))
    assert (winner["test"]["low"], winner["test"]["high"]) == pytest.approx((low, high), nan_ok=True)
    assert not {*map(str, report["choosing"]["seeds"])} & {*winner["test"]["by_seed"]}
    assert report["search_minus_final"] == pytest.approx(report["search"]["score"] - winner["val"]["mean"])
    keys = [line["key"] for line in _lines(searched)]
    assert len(keys) == len(set(keys))  # nothing was done twice
    # The test split was read once for each training that is reported, and that is written down.
    entries = Ledger(searched).entries()
    assert sorted(str(entry.seed) for entry in entries) == sorted(winner["test"]["by_seed"])
    assert {(entry.arch_id, entry.count) for entry in entries} == {(winner["arch_id"], _test_images(searched))}
    # Without an interruption, in a copy, the same comes out.
    again = searched.parent / "y"
    subprocess.run(["cp", "-r", str(searched), str(again)], check=True)
    subprocess.run(["rm", "-r", str(again / "finish")], check=True)
    assert run("nas", "finish", again, *TINY, "finish.baseline=none", "mlflow=false").returncode == 0
    assert _report(again)["final"] == report["final"]
    # In MLflow it is a run of its own kind, with a run for each training.
    client = MlflowClient(f"sqlite:///{searched.parent / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("finish")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 1 + len(keys)
    (study,) = (one for one in runs if "mlflow.parentRunId" not in one.data.tags)
    assert study.data.metrics["winner/test_accuracy"] == pytest.approx(winner["test"]["mean"])


@pytest.mark.slow
def test_a_finish_beside_published_networks(searched: Path) -> None:
    copy = searched.parent / "z"
    subprocess.run(["cp", "-r", str(searched), str(copy)], check=True)
    subprocess.run(["rm", "-rf", str(copy / "finish")], check=True)
    done = run("nas", "finish", copy, *TINY, "finish.baseline=random", "mlflow=false")
    assert done.returncode == 0, done.stderr
    report = _report(copy)
    assert {kind for kind, _, _ in report["candidates"]} == {"published", "random"}
    assert set(report["final"]) | set(report["no_baseline"]) == {"winner", "published", "random"}
    for kind, comparison in report["comparisons"].items():
        mine, theirs = (report["final"][one]["test"]["by_seed"] for one in ("winner", kind))
        assert list(mine) == list(theirs)
        gaps = [mine[seed] - theirs[seed] for seed in mine]
        assert comparison["test"]["mean"] == pytest.approx(sum(gaps) / len(gaps))
    for baseline in report["baselines"].values():
        assert baseline["spent"] <= baseline["seconds"]
    text = (copy / "finish" / "report.md").read_text()
    assert report["sentence"] in text
    assert "resnet20_cifar" in text
    architecture = json.loads((copy / "finish" / "recommended.json").read_text())
    assert architecture["num_classes"] == 10


@pytest.mark.slow
def test_a_search_with_finish_ends_in_one(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SPACE)
    words = ["+space=tiny.yaml", "name=x", "workers=1", "search.trials=2", "train.epochs=1", "finish=true"]
    done = run("nas.search", *words, "records.mlflow=false", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(_report(tmp_path / "runs" / "x")["final"]["winner"]["test"]["by_seed"]) == 8
