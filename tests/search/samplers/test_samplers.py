"""Every registered sampler: repetition, conditions, limits, several objectives, going on."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import optuna
import pytest

import nas
from nas.errors import ConfigError
from nas.search.samplers import sampler
from nas.search.samplers.genotype_sampler import GenotypeSampler
from nas.search.stop_reason import StopReason
from nas.search.study import Study
from nas.search.trial import State
from tests.search.conftest import SAMPLERS, SMALL
from tests.search.samplers.ours import ALL, WITHIN_LIMITS

NAMES = [name for name in SAMPLERS if name != "default"]


def score(arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
    """Best at 3,000 parameters and few multiply-adds."""
    cost = nas.cost_of(arch)
    return -abs(cost.params - 3000) / 3000 - cost.macs / 1e6


def _search(name: str, trials: int = 25, seed: int = 3, **arguments: Any) -> Study:
    space = nas.SearchSpace.from_dict(SMALL)
    return nas.run_search(space, score, trials=trials, sampler=name, seed=seed, **arguments)


def _genotypes(study: Study) -> list[dict[str, Any]]:
    return [dict(trial.genotype) for trial in study.trials]


@pytest.mark.parametrize(
    "names",
    [[name for name in NAMES if isinstance(name, str)], pytest.param(["gp"], marks=pytest.mark.slow)],
    ids=["quick ones", "gp"],
)
def test_another_process_proposes_the_same(names: list[str]) -> None:
    """So nothing hangs on the salt of `hash`, the order of sets, or what the process did before."""
    code = (
        "import json\n"
        "from tests.search.samplers.test_samplers import _genotypes, _search\n"
        f"print(json.dumps({{name: _genotypes(_search(name, trials=15)) for name in {names[::-1]!r}}}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {name: _genotypes(_search(name, trials=15)) for name in names}


@pytest.mark.parametrize("name", NAMES)
def test_a_search_gives_no_warnings(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(_search(name, trials=12).trials) >= 12


@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_search_proposes_what_a_whole_one_does(name: str, tmp_path: Path) -> None:
    limits = {"params": (1000, 6000)}
    first, all_of_them = (11, 14) if name == "gp" else (13, 24)  # it takes a second a proposal
    whole = _search(name, all_of_them, constraints=limits)
    _search(name, first, constraints=limits, run_dir=tmp_path / "run")
    resumed = _search(name, all_of_them, constraints=limits, run_dir=tmp_path / "run", resume=True)
    assert _genotypes(resumed) == _genotypes(whole)


@pytest.mark.parametrize("name", NAMES)
def test_limits_hold_in_a_conditional_space(name: str) -> None:
    study = _search(name, constraints={"params": 4000, "macs": 3e5})
    assert study.counts()["completed"] == 25
    for trial in study.trials:
        assert trial.cost is not None
        assert (trial.state is State.REJECTED) == (trial.cost.params > 4000 or trial.cost.macs > 3e5)
        if name in WITHIN_LIMITS:
            assert trial.state is not State.REJECTED


@pytest.mark.parametrize("name", WITHIN_LIMITS)
def test_nothing_is_proposed_twice(name: str) -> None:
    study = _search(name, 60)
    assert study.counts() | {"completed": 60, "duplicate": 0} == study.counts()


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in ("predictor", "uniform") else pytest.mark.slow) for name in ALL],
)
def test_a_search_ends_when_all_that_holds_the_limits_was_tried(name: str) -> None:
    space = nas.SearchSpace.from_dict(SMALL)
    held = [arch for arch in map(space.decode, space.enumerate()) if nas.cost_of(arch).params <= 1200]
    study = _search(name, trials=1000, constraints={"params": 1200}, max_rejections=100_000)
    found = [trial.arch_id for trial in study.trials if trial.state is State.COMPLETED]
    assert sorted(map(str, found)) == sorted({arch.arch_id for arch in held})
    assert 1 < len(found) < 100
    assert study.stop is not None
    assert study.stop.reason in (StopReason.SAMPLER_EXHAUSTED, StopReason.SPACE_EXHAUSTED)


@pytest.mark.parametrize("name", NAMES)
def test_several_objectives(name: str) -> None:
    study = _search(name, 20, objective=["score", "macs", "params"], constraints={"params": 8000})
    front = study.front()
    assert front
    curve = study.hypervolume()
    assert len(curve) == study.counts()["completed"]
    assert curve == sorted(curve)


@pytest.mark.parametrize("name", NAMES)
def test_other_seeds_propose_something_else(name: str) -> None:
    assert _genotypes(_search(name, seed=1)) != _genotypes(_search(name, seed=2))


@pytest.mark.parametrize("name", ALL)
def test_a_plain_optuna_study(name: str) -> None:
    """Without `run_search`: the space decides, Optuna keeps the trials."""
    space = nas.SearchSpace.from_dict(SMALL)
    made = sampler(name, seed=0, space=space)
    assert type(pickle.loads(pickle.dumps(made))) is type(made)
    study = optuna.create_study(direction="maximize", sampler=made)
    study.optimize(lambda trial: score(space.decode(space.suggest(trial)), nas.Budget(), 0), n_trials=30)
    networks = [space.decode(trial.params).arch_id for trial in study.trials]
    if name != "grid":
        assert len(set(networks)) == 30
    assert len({tuple(sorted(trial.params.items())) for trial in study.trials}) == 30


def test_the_sampler_forgets_a_study_for_another() -> None:
    made = sampler("predictor", seed=0)
    for _ in range(2):
        study = optuna.create_study(sampler=made)
        study.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, n_trials=15)
        assert study.best_value < 0.02
        first = study.trials[0].params
    assert first == {"x": optuna.create_study(sampler=made).ask().suggest_float("x", -1, 1)}


def test_a_grid_visits_every_genotype_once() -> None:
    space = nas.SearchSpace.from_dict(SMALL | {"stages": [SMALL["stages"][1]]})
    study = optuna.create_study(sampler=sampler("grid", seed=1, space=space))
    study.optimize(lambda trial: float(len(space.suggest(trial))), n_trials=2 * space.size())
    assert len(study.trials) == space.size()
    assert len({tuple(sorted(trial.params.items())) for trial in study.trials}) == space.size()


def test_a_grid_is_spread_from_the_start() -> None:
    """Of the first fifth of the walk about a tenth lies in each tenth of the space."""
    space = nas.load_space("nasbench_macro")
    study = optuna.create_study(sampler=sampler("grid", space=space))
    ranks = []
    every = {tuple(genotype.items()): rank for rank, genotype in enumerate(space.enumerate())}
    for _ in range(space.size() // 5):
        trial = study.ask()
        ranks.append(every[tuple(space.suggest(trial).items())])
        study.tell(trial, 0.0)
    tenths = [sum(rank * 10 // space.size() == tenth for rank in ranks) for tenth in range(10)]
    assert max(tenths) - min(tenths) <= 3


def test_the_default_is_the_predictor() -> None:
    assert type(sampler()) is type(sampler("predictor"))
    assert isinstance(sampler(), GenotypeSampler)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "evolutoin"}, "Did you mean 'evolution'"),
        ({"name": "grid"}, "needs to know the space"),
        ({"name": "tpe", "population": 3}, "sampler tpe has no options"),
        ({"name": "evolution", "population": 0}, "must hold"),
    ],
)
def test_slips_are_explained(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sampler(**arguments)


def test_what_an_evaluation_shows_to_be_over_a_limit_is_avoided() -> None:
    """A constraint that only evaluating tells, as Optuna's own samplers know it."""
    study = optuna.create_study(sampler=sampler("predictor", seed=0), direction="maximize")
    broken = []
    for _ in range(60):
        trial = study.ask()
        x, y = (trial.suggest_int(name, 0, 9) for name in "xy")
        trial.set_constraint("sum", x + y - 9.0)
        broken.append(x + y > 9)
        study.tell(trial, float(x * 2 + y))
    best = max(t.value for t in study.trials if t.value is not None and t.constraints["sum"] <= 0)
    assert best == 18.0  # x = 9, y = 0
    assert sum(broken[20:]) < 0.5 * 40


def test_regularised_evolution_lets_the_old_die() -> None:
    """Algorithm 1 of the paper: the parent is one of the latest, also where an older one is better."""
    study = optuna.create_study(sampler=sampler("evolution", seed=0, population=4, tournament=4), direction="maximize")
    for number in range(40):
        trial = study.ask()
        for name in "abcdef":
            trial.suggest_categorical(name, list(range(5)))
        study.tell(trial, 100.0 if number == 0 else -float(number))
        if number >= 4:
            # Of the latest four the best is the oldest, and its child differs from it in one decision.
            parent = study.trials[number - 4].params
            assert sum(parent[name] != trial.params[name] for name in parent) == 1


@pytest.mark.parametrize("name", WITHIN_LIMITS)
def test_decisions_that_depend_on_others_in_a_plain_study(name: str) -> None:
    """Nothing is tried twice, though a candidate also states decisions that are not asked for in the end."""

    def objective(trial: optuna.Trial) -> float:
        kind = trial.suggest_categorical("kind", ["a", "b", "c"])
        x = trial.suggest_int("x", 0, 20)
        y = trial.suggest_int(f"y{kind}", 0, 20) if kind != "c" else 0
        return (x - 7) ** 2 + y

    study = optuna.create_study(sampler=sampler(name, 1))
    study.optimize(objective, 60)
    # What another kind asks for is drawn when it is asked for, and can then be what was tried.
    assert len({frozenset(trial.params.items()) for trial in study.trials}) >= 57


@pytest.mark.parametrize("name", WITHIN_LIMITS)
def test_trials_beside_and_decisions_beside_those_of_the_space(name: str) -> None:
    """A trial that has only begun, and a learning rate that the objective asks for too."""
    space = nas.SearchSpace.from_dict(SMALL)
    study = optuna.create_study(sampler=sampler(name, space=space), direction="maximize")
    begun = []
    for place in range(40):
        trial = study.ask()
        if place % 3 == 0:
            first, spread = next(iter(space.decisions().items()))
            trial.suggest_categorical(first, spread.values)
            begun.append(trial)
            continue
        genotype = space.suggest(trial)
        assert 1e-4 <= trial.suggest_float("lr", 1e-4, 1e-1, log=True) <= 1e-1
        study.tell(trial, float(nas.cost_of(space.decode(genotype)).params))
    plans = [{k: v for k, v in trial.params.items() if k != "lr"} for trial in study.trials if trial.value is not None]
    assert len({frozenset(plan.items()) for plan in plans}) == len(plans)


@pytest.mark.slow
def test_a_grid_goes_on_where_others_have_proposed() -> None:
    study = _search("grid", trials=2000, baseline_fraction=0.3)
    tried = {frozenset(trial.genotype.items()) for trial in study.trials}
    assert len(tried) == nas.SearchSpace.from_dict(SMALL).size()


def test_samplers_refuse_options_that_they_do_not_have() -> None:
    with pytest.raises(ConfigError, match="predictor has no options"):
        sampler("default", popultion=3)


def test_any_first_part_of_a_grid_is_spread_evenly() -> None:
    """Steps of the golden section leave no gap over 2.62 times the mean one (Sos 1958, the three-gap theorem)."""
    space = nas.SearchSpace.from_dict(
        {
            "stages": [{"block": "conv", "out_channels": {"range": [1, 600]}, "norm": None}],
            "head": {"block": "classifier"},
            "assume": {"resolution": 8},
        }
    )
    study = nas.run_search(space, lambda arch, budget, seed: 0.5, trials=60, sampler="grid", seed=0)
    places = [int(str(trial.genotype["stages.0.out_channels"])) for trial in study.trials]
    for count in (3, 5, 8, 12, 20, 33, 60):
        first = sorted(places[:count])
        gaps = [after - before for before, after in pairwise([*first, first[0] + 600])]
        assert max(gaps) <= 2.62 * 600 / count + 2


def test_evolution_without_a_space_moves_numbers_a_little() -> None:
    """Each child is another number, and most are near the best ones, in the middle of a wide range."""
    study = optuna.create_study(sampler=sampler("evolution", seed=0), direction="maximize")
    study.optimize(lambda trial: -abs(trial.suggest_float("x", -100, 100) - 7), n_trials=80)
    numbers = [trial.params["x"] for trial in study.trials]
    assert len(set(numbers)) == 80
    assert sum(abs(x - 7) < 40 for x in numbers[-40:]) >= 24
    assert abs(study.best_params["x"] - 7) < 2


@pytest.mark.parametrize("log", [False, True])
def test_evolution_without_a_space_keeps_whole_numbers_whole(log: bool) -> None:
    study = optuna.create_study(sampler=sampler("evolution", seed=0), direction="minimize")
    study.optimize(lambda trial: abs(trial.suggest_int("n", 1, 1000, log=log) - 30), n_trials=80)
    assert all(isinstance(trial.params["n"], int) and 1 <= trial.params["n"] <= 1000 for trial in study.trials)
    assert abs(study.best_params["n"] - 30) <= 5
