"""Decisions of the recipe beside those of the network, through a whole search: proposals, records, going on."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

import nas
from nas.errors import ConfigError
from nas.evaluation import Evaluation
from nas.records.trials import record_of
from nas.run_folder import weights_file
from nas.search.log import read_trials
from nas.search.optuna_file import write_optuna
from nas.search.study import Study
from nas.search.trial import State, Trial
from nas.training.recipe import Recipe
from tests.search.conftest import SAMPLERS, SMALL

RECIPE: dict[str, Any] = {
    "lr": (1e-4, 1e-1),
    "batch_size": [32, 64, 128],
    "optimizer": ["sgd", "adamw"],
    "momentum": (0.5, 0.99),
}
POLICIES: dict[str, Any] = {
    "trivial_augment": [True, False],
    "rand_augment": (0, 2),
    "lr": (1e-4, 1e-1),
    "optimizer": ["sgd", "adamw"],
}
"""Some of which make no recipe together."""
ONE_NETWORK: dict[str, Any] = {
    "name": "one",
    "assume": {"channels": 1, "resolution": 16, "num_classes": 4},
    "stem": {"block": "conv", "out_channels": 8, "stride": 2},
    "stages": [{"block": "conv", "out_channels": 8}],
    "head": {"block": "classifier"},
}


def score(arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
    """Best at 3,000 parameters, with a learning rate that falls as they grow."""
    assert budget.recipe is not None
    params = nas.cost_of(arch).params
    off = math.log10(budget.recipe["lr"] / (10 / params))
    return float(-abs(params - 3000) / 3000 - off**2 - 0.1 * (budget.recipe["optimizer"] == "sgd"))


def _search(sampler: str = "default", trials: int = 20, **arguments: Any) -> Study:
    space = nas.SearchSpace.from_dict(SMALL)
    given: dict[str, Any] = {"recipe": RECIPE, "seed": 3, **arguments}
    return nas.run_search(space, score, trials=trials, sampler=sampler, **given)


def _facts(study: Study) -> list[tuple[Any, ...]]:
    trials = sorted(study.trials, key=lambda trial: trial.number)
    return [(t.number, t.state, t.genotype, dict(t.recipe), dict(t.scores)) for t in trials]


WITH_RANGES = [name for name in SAMPLERS if name != "grid"]


@pytest.mark.parametrize("sampler", WITH_RANGES)
def test_every_sampler_decides_recipe_and_network(sampler: str) -> None:
    study = _search(sampler, constraints={"params": (500, 6000)})
    assert study.counts()["completed"] == 20
    for trial in study.trials:
        assert study.recipe.states(trial.recipe)
        arch = study.space.decode(trial.genotype)
        assert study.space.encode(arch) == trial.genotype, "the genotype is that of the space alone"
        if trial.state is State.COMPLETED:
            assert trial.scores["val_accuracy"] == score(arch, nas.Budget(recipe=trial.recipe), 0)
    assert len({trial.recipe["lr"] for trial in study.trials}) > 10
    assert {trial.recipe["batch_size"] for trial in study.trials} == {32, 64, 128}


@pytest.mark.parametrize("sampler", ["default", "evolution", "tpe", "random"])
def test_the_same_seed_gives_the_same_also_after_it_was_interrupted(sampler: str, tmp_path: Path) -> None:
    whole = _search(sampler, trials=16)
    _search(sampler, trials=11, run_dir=tmp_path / "run")
    resumed = _search(sampler, trials=16, run_dir=tmp_path / "run", resume=True)
    assert _facts(resumed) == _facts(whole)
    assert [trial.recipe for trial in read_trials(tmp_path / "run")] == [trial.recipe for trial in whole.trials]


def test_one_network_by_two_recipes_is_two_trials_and_by_one_recipe_it_is_one() -> None:
    space = nas.SearchSpace.from_dict(ONE_NETWORK)
    study = nas.run_search(
        space, score, trials=20, sampler="random", seed=0, recipe={"optimizer": ["sgd", "adamw"], "lr": [0.1, 0.2, 0.3]}
    )
    evaluated = [trial for trial in study.trials if trial.state is State.COMPLETED]
    repeats = [trial for trial in study.trials if trial.state is State.DUPLICATE]
    assert len({trial.arch_id for trial in study.trials}) == 1
    assert len(evaluated) == 6, "there are as many recipes"
    assert study.stop_reason == "every genotype of the space (6) has been tried"
    by_number = {trial.number: trial for trial in study.trials}
    assert repeats, "a random sampler repeats itself"
    for trial in repeats:
        assert trial.duplicate_of is not None
        original = by_number[trial.duplicate_of]
        assert (original.recipe, original.scores) == (trial.recipe, trial.scores)


@pytest.mark.parametrize("sampler", ["default", "evolution", "uniform", "local", "grid"])
def test_ours_try_every_recipe_of_one_network_once(sampler: str) -> None:
    space = nas.SearchSpace.from_dict(ONE_NETWORK)
    recipe = {"optimizer": ["sgd", "adamw"], "momentum": {"choices": [0.8, 0.9]}, "lr": [0.1, 0.2, 0.3]}
    study = nas.run_search(space, score, trials=50, sampler=sampler, seed=0, recipe=recipe)
    assert [trial.state for trial in study.trials] == [State.COMPLETED] * 9
    assert len({frozenset(trial.recipe.items()) for trial in study.trials}) == 9


def test_the_grid_takes_no_range_without_end() -> None:
    with pytest.raises(ConfigError, match=r"sampler grid tries all there is, .*lr=\{choices: \[1e-3, 3e-3\]\}"):
        _search("grid")


@pytest.mark.slow
def test_values_that_make_no_recipe_together_are_rejected_with_a_reason() -> None:
    study = _search("random", trials=15, recipe=POLICIES)
    refused = [trial for trial in study.trials if trial.state is State.REJECTED]
    assert refused
    assert study.rejections() == {"no recipe": len(refused)}
    for trial in study.trials:
        wrong = trial.recipe["trivial_augment"] and trial.recipe["rand_augment"] > 0
        assert (trial.state is State.REJECTED) == wrong
        assert ("set one of them" in trial.reason) == wrong
        assert trial.refused_recipe == wrong
    ours = _search("default", trials=25, recipe=POLICIES)
    assert ours.counts()["rejected"] == 0, "it knows before it proposes"


def test_optuna_is_told_of_them_as_infeasible_and_has_all_decisions(tmp_path: Path) -> None:
    study = _search("random", trials=8, recipe=POLICIES)
    write_optuna(study, tmp_path / "study.journal")
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "study.journal")))
    (name,) = optuna.get_all_study_names(storage)
    for written, trial in zip(optuna.load_study(study_name=name, storage=storage).trials, study.trials, strict=True):
        assert written.params == {**trial.genotype, **{f"recipe.{key}": value for key, value in trial.recipe.items()}}
        broken = written.user_attrs.get("constraints", {})
        assert ("valid recipe" in broken) == trial.refused_recipe
        if trial.refused_recipe:
            assert broken["valid recipe"] > 0


def test_limits_reject_a_network_whatever_its_recipe() -> None:
    study = _search("random", trials=30, constraints={"params": 3000})
    over = {trial.arch_id: trial.state for trial in study.trials if trial.cost and trial.cost.params > 3000}
    assert over
    assert set(over.values()) == {State.REJECTED}


def test_records_keep_the_recipe(tmp_path: Path) -> None:
    study = _search("uniform", trials=6, run_dir=tmp_path / "run")
    saved = json.loads((tmp_path / "run" / "study.json").read_text())
    assert saved["recipe"] == {
        "lr": {"low": 1e-4, "high": 1e-1, "log": True},
        "batch_size": {"choices": [32, 64, 128]},
        "optimizer": {"choices": ["sgd", "adamw"]},
        "momentum": {"low": 0.5, "high": 0.99, "log": False},
    }
    loaded = nas.load_study(tmp_path / "run")
    assert loaded.recipe.to_dict() == study.recipe.to_dict()
    assert [trial.recipe for trial in loaded.trials] == [trial.recipe for trial in study.trials]
    params = {param.key: param.value for param in record_of(study, study.trials[0]).values.params}
    assert params["recipe.lr"] == str(study.trials[0].recipe["lr"])
    assert params["recipe.optimizer"] == study.trials[0].recipe["optimizer"]


def test_a_study_without_decisions_of_the_recipe_has_no_trace_of_them(tmp_path: Path) -> None:
    def plain(arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
        assert budget.recipe is None
        return float(nas.cost_of(arch).params)

    nas.run_search(nas.SearchSpace.from_dict(SMALL), plain, trials=3, run_dir=tmp_path / "run")
    assert '"recipe"' not in (tmp_path / "run" / "study.json").read_text()
    assert '"recipe"' not in (tmp_path / "run" / "trials.jsonl").read_text()


@pytest.mark.parametrize("other", [{}, {**RECIPE, "lr": (1e-4, 1e-2)}, {"lr": (1e-4, 1e-1)}])
def test_it_goes_on_only_with_the_same_decisions(other: dict[str, Any], tmp_path: Path) -> None:
    _search("uniform", trials=2, run_dir=tmp_path / "run")
    with pytest.raises(ConfigError, match="resume: recipe was"):
        _search("uniform", trials=4, run_dir=tmp_path / "run", resume=True, recipe=other)


def test_what_comes_first_has_the_recipe_that_the_evaluator_has_where_that_may_be(tmp_path: Path) -> None:
    class Trained:
        """Has a recipe, as an evaluator that trains."""

        recipe = Recipe(lr=3e-2, batch_size=500, optimizer="adamw")

        def __call__(self, arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
            return score(arch, budget, seed)

    space = nas.SearchSpace.from_dict(SMALL)
    own = tmp_path / "mine.json"
    own.write_text(space.decode(space.sample(seed=5)).to_json())
    study = nas.run_search(space, Trained(), trials=2, first=[str(own)], recipe=RECIPE, sampler="uniform")
    assert study.trials[0].genotype == space.sample(seed=5)
    assert study.trials[0].recipe == {"lr": 3e-2, "batch_size": 128, "optimizer": "adamw"}


def test_a_warm_start_begins_with_the_recipes_of_the_best(tmp_path: Path) -> None:
    earlier = _search("uniform", trials=12, run_dir=tmp_path / "run")
    narrower = {"lr": (1e-3, 1e-1), "optimizer": ["sgd", "adamw"]}
    later = _search("default", trials=14, warm_start=tmp_path / "run", recipe=narrower)
    best = earlier.best(1)[0]
    assert later.trials[0].genotype == best.genotype
    assert later.trials[0].recipe == {"lr": max(best.recipe["lr"], 1e-3), "optimizer": best.recipe["optimizer"]}


def test_random_candidates_of_the_baseline_have_random_recipes() -> None:
    study = _search("default", trials=20, baseline_fraction=0.5)
    rates = [trial.recipe["lr"] for trial in study.trials if trial.baseline]
    assert len(set(rates)) == len(rates) > 3


def test_the_weights_of_one_network_by_two_recipes_are_two_files(tmp_path: Path) -> None:
    def trained(arch: nas.Architecture, budget: nas.Budget, seed: int) -> Evaluation:
        assert budget.weights is not None
        assert budget.recipe is not None
        Path(budget.weights).parent.mkdir(exist_ok=True)
        Path(budget.weights).write_text(str(budget.recipe["lr"]))
        return Evaluation({"val_accuracy": budget.recipe["lr"]})

    space = nas.SearchSpace.from_dict(ONE_NETWORK)
    study = nas.run_search(
        space, trained, trials=4, sampler="grid", recipe={"lr": [0.1, 0.2, 0.3, 0.4]}, run_dir=tmp_path / "run", keep=2
    )
    files = {file.read_text() for file in (tmp_path / "run" / "weights").iterdir()}
    assert files == {"0.3", "0.4"}
    winner = study.winner
    assert winner is not None
    assert winner.trained_id is not None
    assert weights_file(tmp_path / "run", winner.trained_id).read_text() == "0.4"


def test_a_trial_of_which_the_log_says_another_recipe_is_refused(tmp_path: Path) -> None:
    from tests.logs import rewrite

    _search("uniform", trials=3, run_dir=tmp_path / "run")

    def edited(number: int, line: dict[str, Any]) -> dict[str, Any]:
        return {**line, "recipe": {**line["recipe"], "lr": 5.0}}

    rewrite(tmp_path / "run" / "trials.jsonl", edited)
    with pytest.raises(ConfigError, match=r"trial 0 does not fit the space: its recipe .* is none of search.recipe"):
        _search("uniform", trials=5, run_dir=tmp_path / "run", resume=True)


def test_a_recipe_in_a_record_is_a_mapping() -> None:
    values = _search("uniform", trials=1).trials[0].to_dict()
    assert Trial.from_dict(values).recipe == values["recipe"]
    with pytest.raises(ValueError, match="recipe is"):
        Trial.from_dict({**values, "recipe": [1]})
