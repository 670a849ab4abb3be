"""A search begins with known designs where it is asked to: trials like any other, which say what they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.cost import Constraint
from nas.search.config import Config
from nas.search.log import read_trials
from nas.search.trial import State, Trial
from nas.space.designs import uniform_designs
from nas.space.feasible import examine
from tests.search.conftest import SMALL

SPACE = nas.SearchSpace.from_dict(SMALL).for_data((1, 16, 16), 4)
LIMITS = {"params": 6000}
NAMES = ["mbconv blocks", "residual_basic blocks"]


def score(arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
    return -abs(nas.cost_of(arch).params - 3000) / 3000


def _designs() -> list[Any]:
    limits = [Constraint("params", high=LIMITS["params"])]
    designs = uniform_designs(SPACE, lambda genotype: examine(SPACE, genotype, limits), limits, 2)
    return [design.candidate.genotype for design in designs]


@pytest.mark.parametrize("name", ["default", "random", "tpe", "evolution", "grid"])
def test_they_come_before_any_other_and_say_what_they_are(name: str) -> None:
    study = nas.run_search(SPACE, score, trials=5, sampler=name, constraints=LIMITS, portfolio=2)
    assert [trial.design for trial in study.trials[:2]] == NAMES == list(study.designs)
    assert [trial.genotype for trial in study.trials[:2]] == _designs()
    assert not any(trial.design for trial in study.trials[2:])
    assert study.counts()["completed"] == 5, "they count as any other"


def test_from_python_there_are_none_unless_asked_for() -> None:
    study = nas.run_search(SPACE, score, trials=3, constraints=LIMITS)
    assert study.designs == ()
    assert not any(trial.design for trial in study.trials)


def test_networks_of_the_users_own_come_before_them(tmp_path: Path) -> None:
    own = {**_designs()[0], "stem.0.out_channels": 4}
    (tmp_path / "a.json").write_text(SPACE.decode(own).to_json())
    study = nas.run_search(SPACE, score, trials=4, constraints=LIMITS, portfolio=2, first=[tmp_path / "a.json"])
    assert [trial.design for trial in study.trials] == ["", *NAMES, ""]
    assert study.trials[0].genotype == own


def test_a_search_goes_on_with_those_that_are_left(tmp_path: Path) -> None:
    whole = nas.run_search(SPACE, score, trials=5, constraints=LIMITS, portfolio=2)
    nas.run_search(SPACE, score, trials=1, constraints=LIMITS, portfolio=2, run_dir=tmp_path / "run")
    assert [trial.design for trial in read_trials(tmp_path / "run")] == NAMES[:1]
    settings: dict[str, Any] = {"constraints": LIMITS, "run_dir": tmp_path / "run", "resume": True}
    study = nas.run_search(SPACE, score, trials=5, portfolio=2, **settings)
    assert [(t.genotype, t.design, t.seed) for t in study.trials] == [
        (t.genotype, t.design, t.seed) for t in whole.trials
    ]
    assert [trial.design for trial in nas.load_study(tmp_path / "run").trials[:2]] == NAMES


def test_a_line_of_the_log_without_a_design_is_as_it_was() -> None:
    trial = Trial(number=0, state=State.COMPLETED, genotype={})
    assert "design" not in trial.to_dict()
    known = replace(trial, design=NAMES[0])
    assert known.to_dict()["design"] == NAMES[0]
    assert Trial.from_dict(known.to_dict()) == known
    assert Trial.from_dict(trial.to_dict()) == trial
    with pytest.raises(ValueError, match="design is 3"):
        Trial.from_dict({**known.to_dict(), "design": 3})


def _config(**values: Any) -> Config:
    return Config.from_values({"space": "mbconv", "constraints": {"params": 2e5}, **values})


@pytest.mark.parametrize(
    ("values", "count"),
    [
        ({"search": {"trials": 24}}, 6),
        ({"search": {"trials": 12}}, 6),
        ({"search": {"trials": 5}}, 2),
        ({"search": {"trials": 1}}, 0),
        ({"search": {"trials": 4, "portfolio": 4}}, 4),
        ({"search": {"portfolio": 0}}, 0),
        ({"constraints": {}}, 0),
        ({"constraints": {"params": [1e5, None]}}, 0),
        ({"constraints": {}, "soft": {"params": 2e5}}, 0),
        ({"constraints": {"latency_ms": 3}}, 0),
        ({"evaluator": {"name": "proxy"}, "search": {"objective": "naswot"}}, 0),
        ({"evaluator": {"name": "proxy"}, "search": {"objective": "naswot", "portfolio": 3}}, 3),
    ],
)
def test_how_many_the_command_begins_with(values: dict[str, Any], count: int) -> None:
    assert _config(**values).with_portfolio(nas.load_space("mbconv")).search.portfolio == count
