"""In a search networks begin with the weights of another one: whose, and how that is told and resumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.errors import ConfigError
from nas.evaluation import Evaluation, InheritedWeights
from nas.search.config import Config
from nas.search.log import read_trials
from nas.search.study import Study
from nas.search.trial import State, Trial
from nas.search.trial_files import decisions_apart
from tests.search.conftest import SMALL


class _Trains:
    """Scores a network by its size, leaves weights, and notes what each one was to begin with."""

    def __init__(self, inherit: str = "none") -> None:
        self.inherit = inherit
        self.begun: dict[str, str | None] = {}

    def __call__(self, arch: nas.Architecture, budget: nas.Budget, seed: int) -> Evaluation:
        self.begun[arch.arch_id] = budget.inherit
        taken = None
        if budget.inherit is not None:
            there = Path(budget.inherit).read_text() == Path(budget.inherit).stem
            taken = InheritedWeights(0.25 if there else 0.0)
        assert budget.weights is not None
        Path(budget.weights).parent.mkdir(exist_ok=True)
        Path(budget.weights).write_text(arch.arch_id)
        score = float(nas.cost_of(arch).params % 1009)
        return Evaluation({"score": score, "val_accuracy": score}, inherited=taken)


def _search(folder: Path | None, evaluator: Any, **changes: Any) -> Study:
    given = {"trials": 15, "sampler": "random", "seed": 5, "objective": "score", "direction": "maximize", "keep": 3}
    return nas.run_search(nas.SearchSpace.from_dict(SMALL), evaluator, run_dir=folder, **{**given, **changes})


def _expected(study: Study, keep: int, how: str) -> dict[int, int | None]:
    """For each trained trial its parent, by a rule of its own: among the best `keep` of those before it."""
    found: dict[int, int | None] = {}
    done: list[Trial] = []
    for trial in (one for one in study.trials if one.state is State.COMPLETED):
        kept = sorted(done, key=lambda t: (-t.scores["score"], t.cost.params if t.cost else 0, t.number))[:keep]
        if how == "parent":
            kept.sort(key=lambda t: len(set(t.genotype.items()) ^ set(trial.genotype.items())))
            distances = [_differ(t, trial) for t in kept]
            kept = [t for t, distance in zip(kept, distances, strict=True) if distance == min(distances)]
            kept.sort(key=lambda t: (-t.scores["score"], t.cost.params if t.cost else 0, t.number))
        found[trial.number] = kept[0].number if kept else None
        done.append(trial)
    return found


def _differ(one: Trial, other: Trial) -> int:
    paths = {path for path, _ in set(one.genotype.items()) ^ set(other.genotype.items())}
    return len(paths)


@pytest.mark.parametrize("how", ["parent", "best"])
def test_each_network_begins_with_a_kept_one(how: str, tmp_path: Path) -> None:
    evaluator = _Trains(how)
    study = _search(tmp_path / "run", evaluator)
    expected = _expected(study, 3, how)
    assert len({parent for parent in expected.values() if parent is not None}) > 2
    for trial in study.trials:
        if trial.state is not State.COMPLETED:
            continue
        parent = expected[trial.number]
        assert trial.inherited_from == parent
        assert trial.inherited_share == (None if parent is None else 0.25)
        ids = {one.number: one.arch_id for one in study.trials}
        file = evaluator.begun[str(trial.arch_id)]
        assert file == (None if parent is None else str(tmp_path / "run" / "weights" / f"{ids[parent]}.safetensors"))
    assert read_trials(tmp_path / "run") == study.trials


def test_nothing_is_inherited_where_nothing_is_said(tmp_path: Path) -> None:
    evaluator = _Trains()
    study = _search(tmp_path / "run", evaluator)
    assert {*evaluator.begun.values()} == {None}
    assert {trial.inherited_from for trial in study.trials} == {None}
    lines = [json.loads(line) for line in (tmp_path / "run" / "trials.jsonl").read_text().splitlines()]
    assert not any("inherited" in json.dumps(line) for line in lines)


def test_a_resumed_search_inherits_as_one_that_never_stopped(tmp_path: Path) -> None:
    whole = _search(tmp_path / "whole", _Trains("parent"))
    _search(tmp_path / "run", _Trains("parent"), trials=6)
    study = _search(tmp_path / "run", _Trains("parent"), resume=True)
    parents = [[(t.number, t.inherited_from, t.scores) for t in one.trials] for one in (whole, study)]
    assert parents[0] == parents[1]
    with pytest.raises(ConfigError, match="resume: inherit was 'parent'"):
        _search(tmp_path / "run", _Trains("none"), resume=True, trials=20)


def test_a_study_from_before_goes_on_without(tmp_path: Path) -> None:
    _search(tmp_path / "run", _Trains(), trials=4)
    record = tmp_path / "run" / "study.json"
    values = json.loads(record.read_text())
    del values["inherit"]
    record.write_text(json.dumps(values))
    assert len(_search(tmp_path / "run", _Trains(), resume=True).trials) >= 15


@pytest.mark.parametrize("pruner", ["asha", "hyperband"])
def test_a_network_that_goes_on_keeps_its_parent(pruner: str, tmp_path: Path) -> None:
    seen: dict[str, list[str | None]] = {}

    class Trains(_Trains):
        def __call__(self, arch: nas.Architecture, budget: nas.Budget, seed: int) -> Evaluation:
            seen.setdefault(arch.arch_id, []).append(budget.inherit)
            return super().__call__(arch, budget, seed)

    study = _search(tmp_path / "run", Trains("best"), pruner=pruner, budget=nas.Budget(epochs=9), trials=20)
    assert any(len(files) > 1 and files[0] is not None for files in seen.values())
    assert all(len({*files}) == 1 for files in seen.values())
    assert study.counts()["completed"] > 1


@pytest.mark.parametrize(
    ("folder", "inherit", "changes", "message"),
    [
        (True, "parent", {"keep": 0}, "evaluator.inherit=parent takes weights .* search.keep is 0"),
        (False, "best", {}, "there is no run_dir"),
        (True, "parents", {}, "inherit must be one of none, parent, best, but got 'parents'.*parent"),
        (True, 3, {}, "inherit must be one of none, parent, best, but got 3"),
    ],
)
def test_what_cannot_be_inherited_is_refused(
    folder: bool, inherit: Any, changes: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        _search(tmp_path / "run" if folder else None, _Trains(inherit), **changes)
    assert not (tmp_path / "run").exists()


def test_settings_that_contradict_are_refused_at_once() -> None:
    from nas.evaluators.training import TrainingSettings
    from nas.search.settings import SearchSettings

    inherits = TrainingSettings(inherit="best")
    assert Config(space="mbconv", evaluator=inherits).evaluator is inherits
    with pytest.raises(ConfigError, match=r"search\.keep is 0"):
        Config(space="mbconv", evaluator=inherits, search=SearchSettings(keep=0))
    with pytest.raises(ConfigError, match="comparisons train from scratch"):
        inherits.check_compares({})


def test_the_settings_of_a_command_say_it_where_a_pool_evaluates(tmp_path: Path) -> None:
    from nas.evaluators.training import TrainingSettings
    from nas.workers.in_process import InThisProcess

    evaluator = _Trains()
    config = Config(space="small", evaluator=TrainingSettings(inherit="best"))
    study = nas.run_search(
        nas.SearchSpace.from_dict(SMALL),
        pool=InThisProcess(evaluator, "val_accuracy"),
        settings=config,
        run_dir=tmp_path / "run",
        trials=4,
    )
    assert sum(trial.inherited_share == 0.25 for trial in study.trials) == 3


def test_decisions_that_only_one_has_count() -> None:
    def trial(**genotype: Any) -> Trial:
        return Trial(number=0, state=State.COMPLETED, genotype=genotype)

    assert decisions_apart(trial(a=1, b=2), trial(a=1, b=2)) == 0
    assert decisions_apart(trial(a=1, b=2), trial(a=2, c=3)) == 3
    assert decisions_apart(trial(a=None), trial()) == 1
