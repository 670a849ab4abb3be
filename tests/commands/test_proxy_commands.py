"""Proxies from the command line: what they are worth, a search by one, and a search that starts from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.run_command import run
from tests.search.conftest import SMALL

SEARCH = ["+space=small.yaml", "data=synthetic", "data.samples=300", "train.batch_size=16", "workers=1"]
SEARCH += ["records.mlflow=false"]


@pytest.mark.slow  # two searches with worker processes
def test_a_search_by_a_proxy_starts_one_that_trains(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(json.dumps(SMALL))
    words = ["evaluator=proxy", "search.objective=naswot", "search.trials=12", "name=cheap"]
    cheap = run("nas.search", *SEARCH, *words, cwd=tmp_path)
    assert cheap.returncode == 0, cheap.stderr
    assert "naswot" in cheap.stdout
    words = ["train.epochs=1", "search.trials=7", "search.warm_start=runs/cheap", "name=warm"]
    warm = run("nas.search", *SEARCH, *words, cwd=tmp_path)
    assert warm.returncode == 0, warm.stderr
    trials = {
        name: [json.loads(line) for line in (tmp_path / "runs" / name / "trials.jsonl").read_text().splitlines()]
        for name in ("cheap", "warm")
    }
    best = sorted(trials["cheap"], key=lambda trial: -trial["scores"].get("naswot", -1e9))[:5]
    first = [trial["arch_id"] for trial in sorted(trials["warm"], key=lambda trial: trial["number"])[:5]]
    assert first == [trial["arch_id"] for trial in best]
    worth = run("nas.proxies", "runs/warm", "--proxies", "naswot,gradnorm", "--batch", "16", "--json", cwd=tmp_path)
    assert worth.returncode == 0, worth.stderr
    assert "Rank correlation with val_accuracy of 7 networks" in worth.stderr
    facts = json.loads(worth.stdout)
    assert (facts["objective"], facts["networks"]) == ("val_accuracy", 7)
    for name in ("params", "macs", "naswot", "gradnorm"):
        assert f"\n{name} " in worth.stderr
        assert -1 <= facts["proxies"][name]["low"] <= facts["proxies"][name]["tau"] <= 1
    assert "off: not shown to be better than all costs" in worth.stderr  # of seven networks nothing is shown
    assert not facts["proxies"]["naswot"]["beats_costs"]


def test_slips_are_explained(tmp_path: Path) -> None:
    for arguments, message in (
        (["nowhere"], "no study in nowhere"),
        (["nowhere", "--proxies", "nasvot"], "Did you mean 'naswot'"),
    ):
        done = run("nas.proxies", *arguments, cwd=tmp_path)
        assert (done.returncode, message in done.stderr) == (2, True), done.stderr
