"""Networks of the user's own come first, whatever the sampler is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.errors import ConfigError
from nas.search.trial import State
from tests.search.conftest import SMALL

SPACE = nas.SearchSpace.from_dict(SMALL)
OWN = [SPACE.sample(seed) for seed in (11, 12)]


def score(arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
    return -abs(nas.cost_of(arch).params - 3000) / 3000


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    paths = [tmp_path / f"{name}.json" for name in "ab"]
    for path, genotype in zip(paths, OWN, strict=True):
        path.write_text(SPACE.decode(genotype).to_json())
    return [str(path) for path in paths]


def _ids(study: Any) -> list[str]:
    return [trial.arch_id for trial in study.trials]


@pytest.mark.parametrize("name", ["default", "random", "tpe", "evolution", "grid"])
def test_they_come_before_any_other(files: list[str], name: str) -> None:
    study = nas.run_search(SPACE, score, trials=6, sampler=name, first=[Path(files[0]), files[1]])
    assert _ids(study)[:2] == [SPACE.decode(genotype).arch_id for genotype in OWN]
    assert [trial.scores["val_accuracy"] for trial in study.trials[:2]] == [
        score(SPACE.decode(genotype), nas.Budget(), 0) for genotype in OWN
    ]
    assert study.counts()["completed"] == 6


def test_a_run_folder_means_its_best_network(tmp_path: Path) -> None:
    best = SPACE.decode(OWN[0])
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "best_architecture.json").write_text(best.to_json())
    study = nas.run_search(SPACE, score, trials=2, first=[str(tmp_path / "run")])
    assert _ids(study)[0] == best.arch_id


def test_one_for_other_data_is_taken_with_these(tmp_path: Path) -> None:
    other = SPACE.for_data((3, 40, 20), 7)
    (tmp_path / "other.json").write_text(other.decode(OWN[0]).to_json())
    study = nas.run_search(SPACE, score, trials=1, first=[str(tmp_path / "other.json")])
    assert _ids(study) == [SPACE.decode(OWN[0]).arch_id]


def test_one_over_a_limit_is_rejected_with_its_costs(files: list[str]) -> None:
    cost = nas.cost_of(SPACE.decode(OWN[0]))
    study = nas.run_search(SPACE, score, trials=2, first=files[:1], constraints={"params": cost.params - 1})
    first = study.trials[0]
    assert first.state is State.REJECTED
    assert first.cost == cost
    assert study.counts()["completed"] == 2


def test_more_of_them_may_come_when_a_search_goes_on(files: list[str], tmp_path: Path) -> None:
    nas.run_search(SPACE, score, trials=3, first=files[:1], run_dir=tmp_path / "run")
    study = nas.run_search(SPACE, score, trials=5, first=files, run_dir=tmp_path / "run", resume=True)
    assert _ids(study)[3] == SPACE.decode(OWN[1]).arch_id
    assert _ids(study).count(SPACE.decode(OWN[0]).arch_id) == 1


def test_what_cannot_be_taken(files: list[str], tmp_path: Path) -> None:
    outside = nas.load_space("reference/small_cnn").decode({})
    (tmp_path / "outside.json").write_text(outside.to_json())
    (tmp_path / "broken.json").write_text(json.dumps({"stem": []}))
    (tmp_path / "empty").mkdir()
    for path, message in (
        ("outside.json", r"search\.first: .*outside\.json is not in space 'small'"),
        ("broken.json", r"search\.first: .*broken\.json: "),
        ("nowhere.json", r"search\.first: .*nowhere\.json cannot be read"),
        ("empty", r"search\.first: .*empty has no architecture\.json or best_architecture\.json"),
    ):
        with pytest.raises(ConfigError, match=message):
            nas.run_search(SPACE, score, trials=1, first=[str(tmp_path / path)])
    with pytest.raises(ConfigError, match=r"search\.first"):
        nas.run_search(SPACE, score, trials=1, first=files[0])
