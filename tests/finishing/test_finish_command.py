"""`nas finish` as a person runs it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient
from PIL import Image
from scipy import stats

import nas
from nas.commands.finish import finish_command
from nas.finishing.settings import FinishSettings
from nas.training.data.config import DataConfig
from nas.training.data.test_split import Ledger
from nas.training.recipe import Recipe
from nas.training.recipe_files import read_recipe
from tests.logs import rewrite
from tests.run_command import Started, run

SPACE = """
name: tiny
stem: {block: conv, out_channels: {choose: [4, 8]}, stride: 2}
stages:
  - {block: residual_basic, out_channels: {choose: [8, 12, 16]}, kernel: {choose: [3, 5]}, stride: 2}
head: {block: classifier}
"""
IGNORED = shutil.ignore_patterns("finish", "test_*")
"""What a search leaves none of."""
TINY = ("finish.top_k=2", "finish.seeds=2", "finish.final_seeds=3", "train.epochs=3", "workers=1")


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search of a few small networks on the digits."""
    folder = tmp_path_factory.mktemp("finish")
    (folder / "tiny.yaml").write_text(SPACE)
    words = ["+space=tiny.yaml", "name=x", "workers=1", "search.trials=5", "train.epochs=2", "constraints.params=2e4"]
    words += ["data.train_fraction=0.2"]  # which finishes have too
    assert run("nas.search", *words, "records.mlflow=false", cwd=folder).returncode == 0
    return folder / "runs" / "x"


def test_help_teaches_without_loading_anything(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "nas", "finish", "--help"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    defaults = ("finish.final_seeds=8", "finish.baseline=published", "finish.minutes=null")
    for word in ("nas finish RUN", *defaults, "train."):
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


def _lines(run_folder: Path) -> list[dict[str, Any]]:
    """Return the trials in the log, without what it says of the finish itself."""
    path = run_folder / "finish" / "trials.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [line for line in lines if "key" in line]


def _copy(searched: Path, name: str) -> Path:
    """Return a copy of the run folder of the search, without a finish."""
    return Path(shutil.copytree(searched, searched.parent / name, ignore=IGNORED))


def _end_when(folder: Path, words: Sequence[object], there: Callable[[Path], bool], sent: signal.Signals) -> int:
    """Begin a finish, send it a signal when something is there, and return its exit code."""
    process = Started("nas", "finish", *words, cwd=folder.parent)  # what it prints is less than a pipe holds
    while not there(folder):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(sent)
    return process.wait()


@pytest.fixture(scope="module")
def whole(searched: Path, put_store: Callable[[Path], None]) -> Path:
    """The run folder of a search with a finish that was not interrupted, begun in another folder."""
    put_store(searched.parent)
    folder = _copy(searched, "whole")
    done = run("nas", "finish", folder, *TINY, "finish.baseline=none")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_what_is_reported_and_shipped(whole: Path) -> None:
    _check_report(whole)
    _check_model(whole)
    # In MLflow it is a run of its own kind, with a run for each training.
    client = MlflowClient(f"sqlite:///{whole.parent / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("finish")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 1 + len(_lines(whole))
    (study,) = (one for one in runs if "mlflow.parentRunId" not in one.data.tags)
    mean = _report(whole)["final"]["winner"]["test"]["mean"]
    assert study.data.metrics["winner/test_accuracy"] == pytest.approx(mean)


@pytest.mark.slow
def test_a_finish_that_is_killed_goes_on_and_reports_what_an_uninterrupted_one_does(
    searched: Path, whole: Path
) -> None:
    killed, words = _copy(searched, "killed"), [*TINY, "finish.baseline=none", "mlflow=false"]
    assert _end_when(killed, [killed, *words], lambda run: len(_lines(run)) >= 3, signal.SIGKILL) == -signal.SIGKILL
    before = _lines(killed)
    assert not (killed / "finish" / "report.json").exists()
    # In the middle of the scoring on the test split, too. The settings hold without being said again.
    assert _end_when(killed, [killed], lambda run: bool(_tested(run)), signal.SIGKILL) == -signal.SIGKILL
    scored = _tested(killed)
    assert 1 <= len(scored) < 3
    done = run("nas", "finish", killed, cwd=killed.parent)
    assert done.returncode == 0, done.stderr
    assert _lines(killed)[: len(before)] == before
    keys = [line["key"] for line in _lines(killed)]
    assert len(keys) == len(set(keys))  # nothing was done twice
    assert _report(killed)["final"] == _report(whole)["final"]
    # A score that was on the disk is in the ledger once; of the one that the kill met there may be two readings.
    readings = Counter((entry.arch_id, entry.seed) for entry in Ledger(killed).entries())
    assert len(readings) == 3
    assert all(readings[line["arch_id"], line["seed"]] == 1 for line in scored)
    assert sum(readings.values()) <= 4


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_train_each_network_of_a_finish(searched: Path, whole: Path) -> None:
    """Also where it is killed and gone on with; networks, seeds and what ships are as with one process."""
    folder = _copy(searched, "together")
    words = [folder, "finish.top_k=1", "finish.seeds=1", *TINY[2:], "finish.baseline=none", "mlflow=false"]
    words += ["accelerator=cpu", "devices=2"]
    assert _end_when(folder, words, lambda run: len(_lines(run)) >= 1, signal.SIGKILL) == -signal.SIGKILL
    before = _lines(folder)
    done = run("nas", "finish", folder, cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    assert _lines(folder)[: len(before)] == before
    _check_report(folder)
    _check_model(folder)
    alone = {line["key"]: line["scores"] for line in _lines(whole)}
    shared = {line["key"]: line["scores"] for line in _lines(folder) if line["phase"] == "choose"}
    assert shared.keys() <= alone.keys()
    assert all(scores != alone[key] for key, scores in shared.items()), "batch normalisation is by process"


@pytest.mark.slow
def test_ctrl_c_ends_it_in_order(searched: Path) -> None:
    folder = _copy(searched, "interrupted")
    words = [folder, *TINY, "finish.baseline=none", "mlflow=false"]
    assert _end_when(folder, words, lambda run: len(_lines(run)) >= 1, signal.SIGINT) == 130
    assert not (folder / "finish" / "report.json").exists()
    # What it was begun with holds; the time that was used is kept.
    refused = run("nas", "finish", folder, "train.epochs=4")
    assert refused.returncode == 2
    assert "train.epochs was 3" in refused.stderr
    seconds = json.loads((folder / "finish" / "seconds.json").read_text())
    assert seconds["choose"] >= _lines(folder)[-1]["elapsed"]


def _tested(run_folder: Path) -> list[dict[str, Any]]:
    return [line for line in _lines(run_folder) if line["phase"] == "test"]


def _check_report(run_folder: Path) -> None:
    """What is reported is what is in the log, and the test split was read for that alone, at the end."""
    report, lines = _report(run_folder), _lines(run_folder)
    assert report["recommended"] == "winner"
    assert "nothing tells whether it is better than a published network" in report["sentence"]
    winner = report["final"]["winner"]
    for split, phase in (("val", "report"), ("test", "test")):
        scores = {str(line["seed"]): line["scores"][f"{split}_accuracy"] for line in lines if line["phase"] == phase}
        assert winner[split]["by_seed"] == scores
        ends = stats.t.interval(0.95, 2, np.mean([*scores.values()]), stats.sem([*scores.values()]))
        assert (winner[split]["low"], winner[split]["high"]) == pytest.approx(ends, nan_ok=True)
    assert not {*map(str, report["choosing"]["seeds"])} & {*winner["test"]["by_seed"]}
    assert report["search_minus_final"] == pytest.approx(report["search"]["score"] - winner["val"]["mean"])
    phases = [line["phase"] for line in lines]
    assert phases == sorted(phases, key=["choose", "report", "test"].index)
    assert not any("test" in name for line in lines if line["phase"] != "test" for name in line["scores"])
    entries = Ledger(run_folder).entries()
    assert [str(entry.seed) for entry in entries] == [*winner["test"]["by_seed"]]
    study = json.loads((run_folder / "study.json").read_text())
    images = study["notes"]["data"]["test_images"]
    assert {(entry.arch_id, entry.count) for entry in entries} == {(winner["arch_id"], images)}


def _check_model(run_folder: Path) -> None:
    """What ships are the weights of the first final seed: the file has the scores that the report has of them."""
    report, model = _report(run_folder), run_folder / "finish" / "model"
    names = {path.name for path in model.iterdir()} - {"model.int8.onnx"}
    assert names == {"card.md", "model.onnx", "model.py", "model.safetensors", "predict.py", "preprocess.json"}
    first, winner = str(report["reporting_seeds"][0]), report["final"]["winner"]
    for split in ("val", "test"):
        accuracy = nas.evaluate(model, DataConfig(train_fraction=0.2), split=split).scores.accuracy
        assert accuracy == pytest.approx(winner[split]["by_seed"][first])
    card = (model / "card.md").read_text()
    for split, name in (("val", "validation"), ("test", "test")):
        ends = f" [{max(0, winner[split]['low']):.2%}, {min(1, winner[split]['high']):.2%}]"
        if np.isnan(winner[split]["low"]):  # all three score the same
            ends = ""
        assert f"{winner[split]['mean']:.2%}{ends} on {name} (mean of 3 fresh seeds" in card
    assert f"the weights in this folder alone, of seed {first}" in card
    digit = run_folder / "digit.png"
    Image.fromarray(np.full((8, 8), 128, dtype=np.uint8)).save(digit)
    words = [sys.executable, str(model / "predict.py"), str(digit)]
    shown = subprocess.run(words, cwd=run_folder.parent, capture_output=True, text=True, check=True)
    assert [line.split(",")[1] for line in shown.stdout.splitlines()] == ["rank", "1", "2", "3", "4", "5"]


@pytest.mark.slow
def test_a_finish_beside_published_and_random_networks(searched: Path) -> None:
    folder = _copy(searched, "beside")
    # A search of seconds leaves its baselines none to train in.
    rewrite(folder / "trials.jsonl", lambda number, values: {**values, "elapsed": 10.0})
    done = run("nas", "finish", folder, *TINY, "finish.baseline=random", "mlflow=false")
    assert done.returncode == 0, done.stderr
    report = _report(folder)
    assert {kind for kind, _, _ in report["candidates"]} == {"published", "random"}
    assert set(report["final"]) | set(report["no_baseline"]) == {"winner", "published", "random"}
    assert set(report["final"]) > {"winner"}, report["no_baseline"]
    for kind, comparison in report["comparisons"].items():
        mine, theirs = (report["final"][one]["test"]["by_seed"] for one in ("winner", kind))
        assert list(mine) == list(theirs)
        gaps = [mine[seed] - theirs[seed] for seed in mine]
        assert comparison["test"]["mean"] == pytest.approx(sum(gaps) / len(gaps))
    for baseline in report["baselines"].values():
        assert baseline["spent"] <= baseline["seconds"]
    # Once for each that is reported; a winner that is a random network too is trained once.
    pairs = {(final["arch_id"], int(seed)) for final in report["final"].values() for seed in final["test"]["by_seed"]}
    assert sorted((entry.arch_id, entry.seed) for entry in Ledger(folder).entries()) == sorted(pairs)
    text = (folder / "finish" / "report.md").read_text()
    assert report["sentence"] in text
    assert "resnet20_cifar" in text
    architecture = json.loads((folder / "finish" / "recommended.json").read_text())
    assert architecture["num_classes"] == 10
    network = nas.Architecture.from_dict(architecture)
    assert network.arch_id == report["final"][report["recommended"]]["arch_id"]
    assert f"`{network.arch_id}`" in (folder / "finish" / "model" / "card.md").read_text()


@pytest.mark.slow
def test_published_networks_are_measured_where_latency_is_limited(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SPACE)
    words = ["+space=tiny.yaml", "name=x", "workers=1", "search.trials=2", "train.epochs=2", "constraints.params=2e4"]
    words += ["data.train_fraction=0.2"]
    limit = ["constraints.latency_ms=1000", "inference.runtime=torch", "records.mlflow=false"]
    assert run("nas.search", *words, *limit, cwd=tmp_path).returncode == 0
    folder = tmp_path / "runs" / "x"
    # Half of the time of the search may go into measuring.
    rewrite(folder / "trials.jsonl", lambda number, values: {**values, "elapsed": 8.0})
    done = run("nas", "finish", "runs/x", *TINY, "mlflow=false", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Measuring the latency of up to" in done.stdout
    saved = json.loads((folder / "finish" / "candidates.json").read_text())
    assert saved["candidates"]
    assert all(0 < one["latency_ms"] < 1000 for one in saved["candidates"])
    report = _report(folder)
    assert report["measuring_seconds"] == saved["measuring"]
    assert len(report["candidates"]) == len(saved["candidates"])


@pytest.mark.slow
def test_a_search_with_finish_ends_in_one(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SPACE)
    words = ["+space=tiny.yaml", "name=x", "workers=1", "search.trials=1", "train.epochs=1", "finish=true"]
    words += ["data.train_fraction=0.05", "--json"]  # the former the finish has too
    done = run("nas.search", *words, "constraints.params=2e4", "records.mlflow=false", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = _report(tmp_path / "runs" / "x")
    document = json.loads(done.stdout)
    assert "error" not in document
    assert document["run_folder"] == str(tmp_path / "runs" / "x")
    assert document["finish"] == report | {
        name: str(tmp_path / "runs" / "x" / "finish" / place)
        for name, place in {"folder": "", "report": "report.md", "model": "model"}.items()
    }
    assert report["recipe"] == asdict(read_recipe("standard"))
    assert report["settings"] == asdict(FinishSettings())
    assert report["final"]["winner"]["test"]["count"] == 8
    assert (tmp_path / "runs" / "x" / "finish" / "model" / "model.onnx").is_file()
    assert not (tmp_path / "runs" / "mlflow.db").exists()


@pytest.mark.slow
def test_from_python(searched: Path, tmp_path: Path) -> None:
    # Elsewhere than the others, which leave a database of MLflow beside their run folders.
    folder, lines = Path(shutil.copytree(searched, tmp_path / "python", ignore=IGNORED)), list[str]()
    report = nas.finish(
        folder,
        recipe=Recipe(epochs=2),
        top_k=2,
        seeds=1,
        final_seeds=2,
        baseline="none",
        workers=1,
        say=lines.append,
    )
    assert report.to_dict() == _report(folder)
    assert report.model == folder / "finish" / "model"
    assert (report.model / "model.onnx").is_file()
    assert len(Ledger(folder).entries()) == 2
    assert any(line.startswith("It takes at most") for line in lines)
    assert not (folder.parent / "mlflow.db").exists()
