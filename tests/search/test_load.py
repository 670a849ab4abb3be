"""A study that is read back is the one that was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.errors import ConfigError
from nas.evaluation import Evaluation
from tests.search.conftest import SMALL


def _score(arch: nas.Architecture, budget: nas.Budget, seed: int) -> Evaluation:
    params = nas.cost_of(arch).params
    return Evaluation({"score": -abs(params - 3000) - 1 / (budget.epochs or 1)})


@pytest.mark.parametrize(
    "settings",
    [
        {"constraints": {"params": 4000}, "soft": {"macs": 1e5}, "soft_weight": 3.0},
        {"objective": ["score", "params"], "direction": ["maximize", "minimize"]},
        {"pruner": "asha", "budget": nas.Budget(epochs=9)},
        {"direction": "minimize"},
    ],
)
def test_it_is_what_it_was(settings: dict[str, Any], tmp_path: Path) -> None:
    defaults = {"objective": "score", "direction": "maximize", "trials": 15, "sampler": "random"}
    study = nas.run_search(
        nas.SearchSpace.from_dict(SMALL), _score, run_dir=tmp_path / "run", notes={"a": 1}, **{**defaults, **settings}
    )
    again = nas.load_study(tmp_path / "run")
    assert (again.name, again.study_id, again.notes, again.rungs) == ("run", study.study_id, {"a": 1}, study.rungs)
    assert again.space.to_dict() == study.space.to_dict()
    assert again.objectives == study.objectives
    assert again.trials == study.trials
    assert again.best(3) == study.best(3)
    assert again.front() == study.front()
    assert (again.winner, again.rejections()) == (study.winner, study.rejections())
    assert (again.workload, again.soft_weight, again.stop) == (study.workload, study.soft_weight, None)


def test_a_run_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no study in .*digits \(there is no such folder\)$"):
        nas.load_study(tmp_path / "digits")
    for name in ("digits-1", "photos", "training"):
        (tmp_path / name).mkdir()
    for name in ("digits-1", "photos"):
        (tmp_path / name / "study.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"no such folder\). Did you mean 'digits-1'\?$"):
        nas.load_study(tmp_path / "digits")
    with pytest.raises(ConfigError, match=r"Known: digits-1, photos\.$"):
        nas.load_study(tmp_path / "x")


def test_what_is_no_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no study in .* \(it has no study.json\)"):
        nas.load_study(tmp_path)
    (tmp_path / "study.json").write_text(json.dumps({"format": "other"}))
    with pytest.raises(ConfigError, match="does not describe a study"):
        nas.load_study(tmp_path)
