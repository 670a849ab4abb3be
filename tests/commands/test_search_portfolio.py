"""A search under limits begins with known designs: what it says, what it records, and that it goes on with the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient

from tests.run_command import run
from tests.search.conftest import SMALL

pytestmark = pytest.mark.slow


def _search(folder: Path, *words: str) -> Any:
    result = run("nas.search", "workers=1", *words, cwd=folder)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_it_says_records_and_goes_on_with_them(tmp_path: Path, put_store: Callable[[Path], None]) -> None:
    put_store(tmp_path / "runs")
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(SMALL))
    new = ("+space=small.yaml", "constraints.params=6000", "train.epochs=1", "search.trials=2", "name=run")
    fix = ("search.fix.stages.1.expand_ratio=2", "search.fix={stages.0.blocks.*.kernel: 3}")
    printed = _search(tmp_path, *new, *fix, "search.keep=0")
    assert "Begins with 1 known design: mbconv blocks" in printed
    (line,) = (line for line in printed.splitlines() if line.startswith("  trial    0"))
    assert line.endswith("mbconv blocks")
    again = _search(tmp_path, "resume=runs/run", "search.trials=4")
    assert "Begins with" not in again
    trials = [json.loads(line) for line in (tmp_path / "runs/run/trials.jsonl").read_text().splitlines()]
    assert [trial.get("design") for trial in trials] == ["mbconv blocks", None, None, None], "no more than at first"
    for trial in trials:
        genotype = trial["genotype"]
        assert genotype["stages.1.expand_ratio"] == 2
        assert all(value == 3 for path, value in genotype.items() if path.endswith("kernel"))
    client = MlflowClient(f"sqlite:///{tmp_path}/runs/mlflow.db")
    runs = [run for one in client.search_experiments() for run in client.search_runs([one.experiment_id])]
    tagged = {run.info.run_name: run.data.tags.get("design") for run in runs if run.info.run_name.startswith("trial")}
    assert tagged == {"trial 0000": "mbconv blocks", "trial 0001": None, "trial 0002": None, "trial 0003": None}
