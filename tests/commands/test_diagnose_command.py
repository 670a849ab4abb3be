"""`nas diagnose`: what is printed, written and recorded, and what is refused in words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

import nas
from nas.commands.command_line import words_to
from nas.commands.diagnose import DiagnoseConfig
from nas.errors import ConfigError
from nas.records.browsing import page_of, recorded_in
from tests.reports.pages import read_page, rows
from tests.run_command import run

SMALL = {
    "assume": {"channels": 1, "resolution": 8, "num_classes": 10},
    "stages": [{"block": "conv", "out_channels": 4, "stride": 2}],
    "head": {"block": "classifier"},
}


@pytest.mark.slow
def test_networks_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "small.json").write_text(nas.SearchSpace.from_dict(SMALL).decode({}).to_json())
    trained = run("nas", "train", "small.json", "train.epochs=1", "records.mlflow=false", "name=run", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    words = ["small.json", "runs/run", "reference/small_cnn", "images=16", "seeds=2", "name=found"]
    done = run("nas", "diagnose", *words, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    folder = tmp_path / "runs" / "found"
    assert facts["folder"] == str(folder)
    assert [one["name"] for one in facts["networks"]] == ["small.json", "runs/run", "reference/small_cnn"]
    assert [len(one["runs"]) for one in facts["networks"]] == [2, 1, 2]
    assert [one["weights"] is None for one in facts["networks"]] == [True, False, True]
    written = json.loads((folder / "diagnosis.json").read_text())
    assert written["networks"] == facts["networks"]

    page = read_page((folder / "diagnosis.html").read_text())
    (table,) = page.all("table")
    assert [row["network"] for row in rows(table)] == ["small.json", "runs/run", "reference/small_cnn"]
    assert len(page.all("img")) == 3
    charts = [figure for figure in page.all("figure") if figure.all("li")]
    assert [len(figure.all("li")) for figure in charts] == [3] * 5
    loss = facts["networks"][0]["median"]["loss"]
    assert f"{loss:.3f}" in done.stderr

    recorded = recorded_in(folder)
    assert "/runs/" in page_of(recorded)
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("diagnosis")
    assert experiment is not None
    by_name = {one.info.run_name: one.data for one in client.search_runs([experiment.experiment_id])}
    assert {*by_name} == {"found", "small.json", "runs/run", "reference/small_cnn"}
    for one in facts["networks"]:
        metrics = by_name[one["name"]].metrics
        assert {name: metrics[name] for name in one["median"]} == one["median"]
        assert metrics["params"] == one["params"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "which networks. nas diagnose ARCH"),
        ({"networks": ["a", "a"]}, "networks: a is there twice"),
        ({"networks": ["a"], "measure": ["gradient"]}, "measure: unknown 'gradient'. Did you mean 'gradients'"),
        ({"networks": ["a"], "images": 1}, "images must be >= 2, but got 1"),
        ({"networks": ["a"], "name": "../b"}, "name: "),
    ],
)
def test_what_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DiagnoseConfig(**settings)  # type: ignore[arg-type]


def test_words_before_the_settings_are_a_list() -> None:
    assert words_to("networks", ["a b", "it's.json", "seed=1"], "") == [r"+networks=['a b','it\'s.json']", "seed=1"]
    assert words_to("networks", ["seed=1"], "") == ["seed=1"]
    assert words_to("networks", ["a", "--cfg", "job"], "") == ["+networks=['a']", "--cfg", "job"]
    assert words_to("networks", ["a", "--help"], "") == ["--help"]
    with pytest.raises(ConfigError, match="'b' is no setting=value; networks come before the settings: USAGE"):
        words_to("networks", ["a", "seed=1", "b"], "USAGE")
