"""Series from a folder to a model that ships, by the commands alone."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

import nas
from nas.commands.registry import _of_data
from nas.training.weights import trained_network
from tests.run_command import run
from tests.training.series_files_of_tests import LONGEST, waves, waves_folder, write_tsv


def test_a_first_word_is_data_of_the_kind_that_is_there(tmp_path: Path) -> None:
    folder = waves_folder(tmp_path / "waves", 6, 6)
    (tmp_path / "photos").mkdir()
    for root, kind in (
        (folder, "series"),
        (folder / "Waves_TRAIN.tsv", "series"),
        (tmp_path / "x.TS", "series"),
        (tmp_path / "photos", "image_folder"),
        (tmp_path / "nowhere", "image_folder"),
    ):
        assert _of_data([str(root), "data.memory_mib=9"]) == [f"data={kind}", f"data.root={root}", "data.memory_mib=9"]


@pytest.mark.slow
def test_a_search_a_finish_and_what_ships_say_the_same_of_series(tmp_path: Path) -> None:
    """Search, finish, evaluate, export, predict: what predict.py says is what torch says of the weights."""
    waves_folder(tmp_path / "waves", 120, 60)
    looked = run("nas", "data", "waves", "page=waves.html", cwd=tmp_path)
    assert looked.returncode == 0, looked.stderr
    assert "180 series of 3 classes, read as 2x24" in looked.stdout
    assert "<polyline" in (tmp_path / "waves.html").read_text()
    words = ["+space=conv1d", "data=series", "data.root=waves", "name=x", "workers=1", "search.trials=2"]
    words += ["train.epochs=3", "train.batch_size=16", "constraints.params=2e4", "records.mlflow=false"]
    done = run("nas.search", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    study = json.loads((tmp_path / "runs/x/study.json").read_text())
    assert study["notes"]["data"]["input_shape"] == [2, LONGEST]
    assert study["notes"]["data"]["kind"] == "series"
    tiny = ["finish.top_k=1", "finish.seeds=1", "finish.final_seeds=1", "finish.baseline=none", "train.epochs=3"]
    finished = run("nas", "finish", "runs/x", *tiny, "workers=1", "mlflow=false", cwd=tmp_path)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert (tmp_path / "runs/x/finish/model/card.md").read_text().startswith("# Series classifier of x")
    assert "runs/x/finish/model FILE.ts ..." in finished.stdout  # what to try it with is no picture
    assert "PICTURE" not in done.stdout + done.stderr + finished.stdout + finished.stderr
    trained = run("nas", "train", "runs/x", "name=t", "train.epochs=2", "records.mlflow=false", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    exported = run("nas", "export", "runs/t", "out=shipped", cwd=tmp_path)
    assert exported.returncode == 0, exported.stderr
    evaluated = run("nas", "evaluate", "shipped", "data=series", "data.root=waves", cwd=tmp_path)
    assert evaluated.returncode == 0, evaluated.stderr
    series, labels = waves(9, 77)
    write_tsv(tmp_path / "new.tsv", series, labels)
    told = run("nas", "predict", "shipped", "new.tsv", "--labelled", "--top", "3", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    rows = [*csv.DictReader(told.stdout.splitlines())]
    assert [row["series"] for row in rows[::3]] == [f"new.tsv:{place}" for place in range(1, 10)]
    weights = tmp_path / "runs/t/weights.safetensors"
    with safe_open(weights, "pt") as file:
        said = file.metadata()
    arch = nas.Architecture.from_json((tmp_path / "runs/t/architecture.json").read_text())
    inputs = np.zeros((9, 2, LONGEST), dtype=np.float32)  # by hand: normalised, 0 behind the end, and the mask
    for row, one in zip(inputs, series, strict=True):
        row[0, : one.shape[1]] = (one[0] - json.loads(said["mean"])[0]) / json.loads(said["std"])[0]
        row[1, : one.shape[1]] = 1
    with torch.inference_mode():
        wanted = trained_network(arch, weights)(torch.from_numpy(inputs)).softmax(1).numpy()
    names = json.loads(said["classes"])
    for place, own in enumerate(wanted):
        found = {row["class"]: float(row["probability"]) for row in rows[3 * place : 3 * place + 3]}
        np.testing.assert_allclose([found[name] for name in names], own, atol=2e-3)
