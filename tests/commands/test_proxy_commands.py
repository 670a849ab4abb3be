"""Proxies from the command line: what they are worth, a search by one, and a search that starts from it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.run_command import run
from tests.search.conftest import SMALL

SEARCH = ["-m", "nas.search", "+space=small.yaml", "data=synthetic", "data.samples=300", "train.batch_size=16"]


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.slow  # three searches with worker processes
def test_a_search_by_a_proxy_starts_one_that_trains(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(json.dumps(SMALL))
    cheap = _run(tmp_path, *SEARCH, "evaluator=proxy", "search.objective=naswot", "search.trials=12", "name=cheap")
    assert cheap.returncode == 0, cheap.stderr
    assert "naswot" in cheap.stdout
    warm = _run(tmp_path, *SEARCH, "train.epochs=1", "search.trials=7", "search.warm_start=runs/cheap", "name=warm")
    assert warm.returncode == 0, warm.stderr
    trials = {
        name: [json.loads(line) for line in (tmp_path / "runs" / name / "trials.jsonl").read_text().splitlines()]
        for name in ("cheap", "warm")
    }
    best = sorted(trials["cheap"], key=lambda trial: -trial["scores"].get("naswot", -1e9))[:5]
    first = [trial["arch_id"] for trial in sorted(trials["warm"], key=lambda trial: trial["number"])[:5]]
    assert first == [trial["arch_id"] for trial in best]
    worth = _run(tmp_path, "-m", "nas.proxies", "runs/warm", "--proxies", "naswot,gradnorm", "--batch", "16")
    assert worth.returncode == 0, worth.stderr
    assert "Rank correlation with val_accuracy of 7 networks" in worth.stdout
    for name in ("params", "macs", "naswot", "gradnorm"):
        assert f"\n{name} " in worth.stdout
    assert "off: not shown to be better than all costs" in worth.stdout  # of seven networks nothing is shown


def test_slips_are_explained(tmp_path: Path) -> None:
    for arguments, message in (
        (["nowhere"], "no study in nowhere"),
        (["nowhere", "--proxies", "nasvot"], "Did you mean 'naswot'"),
    ):
        done = run("nas.proxies", *arguments, cwd=tmp_path)
        assert (done.returncode, message in done.stderr) == (2, True), done.stderr
