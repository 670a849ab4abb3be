"""Studies from before splits by content keep theirs: splits by place, as the fingerprints of that time say."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import nas
from nas.commands.scale import _config as scale_config
from nas.commands.search import _read
from nas.errors import ConfigError
from nas.evaluators.training import TrainingEvaluator
from nas.search.config import Config
from nas.search.log import read_study
from nas.settings import as_recorded, settings_from
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.recipe import Recipe
from tests.run_command import run

BEFORE = Path(__file__).parents[1] / "same_results" / "before"

# By the code of that time (commit 5a8d27c): `load_data(config).fingerprint`.
EARLIER = [
    (DataConfig(split_scheme=1), "1de7d96217ae9f04"),
    (DataConfig(split_scheme=1, split_seed=5, val_fraction=0.3, test_fraction=0.1), "6214b4e1d1e27148"),
    (DataConfig(split_scheme=1, train_fraction=0.3), "c65cefc42e77bc59"),
    (DataConfig(name="synthetic", split_scheme=1, samples=300, num_classes=4), "82ef3250f2166ae9"),
]


@pytest.mark.parametrize(("config", "fingerprint"), EARLIER, ids=lambda value: value if isinstance(value, str) else "")
def test_splits_are_those_of_that_time(config: DataConfig, fingerprint: str) -> None:
    assert load_data(config).fingerprint == fingerprint


@pytest.mark.parametrize("memory_mib", [0, 100])
def test_those_of_a_folder_too(tmp_path: Path, memory_mib: int) -> None:
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "train" / name).mkdir(parents=True)
        for i in range(12):
            picture = Image.fromarray(rng.integers(0, 256, (9, 7, 3), dtype=np.uint8))
            picture.save(tmp_path / "train" / name / f"{i:02}.png")
    config = DataConfig(
        name="image_folder", root=str(tmp_path), split_scheme=1, resolution=6, channels=1, memory_mib=memory_mib
    )
    assert load_data(config).fingerprint == "ce133ddd36788e47"


def test_a_record_without_a_scheme_is_of_the_first() -> None:
    for name in ("search", "asha", "trained"):
        recorded = read_study(BEFORE / name)["notes"]["config"]
        assert "split_scheme" not in recorded["data"]
        assert settings_from(DataConfig, as_recorded(Config, recorded)["data"]).split_scheme == 1
        assert as_recorded(DataConfig, recorded["data"])["split_scheme"] == 1
    assert as_recorded(Config, {"data": {"split_scheme": 2}})["data"]["split_scheme"] == 2
    assert DataConfig().split_scheme == 3


def test_a_search_of_that_time_resumes_with_its_scheme(tmp_path: Path) -> None:
    shutil.copytree(BEFORE / "trained", tmp_path / "trained")
    values = {"resume": str(tmp_path / "trained"), "data": {"split_scheme": 3}}
    job = _read(values, [f"resume={tmp_path / 'trained'}"])
    job.run.close()
    assert job.config.data.split_scheme == 1
    data = read_study(BEFORE / "trained")["notes"]["data"]
    assert load_data(job.config.data).fingerprint == data["split_fingerprint"]
    with pytest.raises(ConfigError, match=r"data\.split_scheme was 1 in .*trained, but is now 3"):
        _read(values, [f"resume={tmp_path / 'trained'}", "data.split_scheme=3"])


def test_a_scaling_study_of_that_time_does_too(tmp_path: Path) -> None:
    shutil.copytree(BEFORE / "scaling", tmp_path / "scaling")
    shutil.copy(BEFORE / "scaling" / "base.json", tmp_path)
    values = {"name": "scaling", "resume": True, "records": {"dir": str(tmp_path)}}
    assert scale_config(values, ["name", "resume", "records.dir"]).data.split_scheme == 1


@pytest.mark.slow
def test_a_search_of_that_time_goes_on_by_the_command(tmp_path: Path) -> None:
    shutil.copytree(BEFORE / "trained", tmp_path / "runs" / "trained")
    before = read_study(BEFORE / "trained")
    ran = run("nas.search", "resume=runs/trained", "search.trials=3", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert len((tmp_path / "runs" / "trained" / "trials.jsonl").read_text().splitlines()) == 3
    assert read_study(tmp_path / "runs" / "trained") == before
    # A search that learns from it has its splits too, where nothing else is said.
    words = ["+space=mbconv", "data=synthetic", "data.samples=100", "data.resolution=8", "search.trials=1", "name=next"]
    words += ["search.warm_start=runs/trained", "train.epochs=1", "workers=1", "records.mlflow=false"]
    ran = run("nas.search", *words, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "split as they were then: data.split_scheme=1" in ran.stdout
    notes = read_study(tmp_path / "runs" / "next")["notes"]
    assert notes["config"]["data"]["split_scheme"] == notes["data"]["split_scheme"] == 1
    assert notes["data"]["split_fingerprint"] == before["notes"]["data"]["split_fingerprint"]


def _search(folder: Path, scheme: int, **settings: Any) -> None:
    data = DataConfig(name="synthetic", samples=60, num_classes=2, split_scheme=scheme)
    evaluator = TrainingEvaluator(data, Recipe(epochs=1))
    space = nas.load_space("mbconv").for_data((3, 16, 16), 2)
    nas.run_search(space, evaluator, sampler="random", run_dir=folder, budget=nas.Budget(epochs=1), **settings)


def test_a_study_of_run_search_keeps_how_files_are_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "data" / "train" / name).mkdir(parents=True)
        for i in range(12):
            picture = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
            picture.save(tmp_path / "data" / "train" / name / f"{i:02}.png")
    now = DataConfig(name="image_folder", root=str(tmp_path / "data"), split_scheme=2)
    before = replace(now, background="drop", depth=16)
    folder = tmp_path / "study"
    space = nas.load_space("mbconv").for_data((3, 16, 16), 2)

    def search(data: DataConfig, **settings: Any) -> None:
        evaluator = TrainingEvaluator(data, Recipe(epochs=1))
        nas.run_search(space, evaluator, sampler="random", run_dir=folder, budget=nas.Budget(epochs=1), **settings)

    search(before, trials=1)
    study = json.loads((folder / "study.json").read_text())
    assert [study.pop(name) for name in ("background", "depth", "fit")] == ["drop", 16, "crop"]
    (folder / "study.json").write_text(json.dumps(study))  # as before it was said
    with pytest.raises(ConfigError, match=r"background was 'drop' in .*, but is now 'white'"):
        search(now, trials=2, resume=True)
    search(before, trials=2, resume=True)


def test_a_study_of_run_search_keeps_its_scheme(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    _search(folder, 1, trials=1)
    with pytest.raises(ConfigError, match=r"split_scheme was 1 in .*, but is now 2"):
        _search(folder, 2, trials=2, resume=True)
    study = json.loads((folder / "study.json").read_text())
    assert study.pop("split_scheme") == 1
    (folder / "study.json").write_text(json.dumps(study))  # as before there were two
    with pytest.raises(ConfigError, match=r"split_scheme was 1 in .*, but is now 2"):
        _search(folder, 2, trials=2, resume=True)
    _search(folder, 1, trials=2, resume=True)
    assert len((folder / "trials.jsonl").read_text().splitlines()) == 2
