"""A search that starts from what an earlier one found."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from scipy.stats import kendalltau

import nas
from nas.errors import ConfigError
from nas.search.config import Config
from nas.search.samplers import sampler
from nas.search.samplers.observed_domain import ObservedDomain
from nas.search.samplers.prior_model import PriorModel
from nas.search.samplers.space_domain import SpaceDomain
from nas.search.settings import SearchSettings
from nas.search.warm_start import WARM_STARTS, earlier_results
from tests.search.conftest import SMALL

WIDER: dict[str, Any] = SMALL | {"stem": {"block": "conv", "out_channels": {"choose": [4, 8, 16, 32]}, "stride": 2}}


def score(arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
    return -abs(nas.cost_of(arch).params - 3000) / 3000


def other_scale(arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
    """The same order, other numbers: as with other data, or longer training."""
    return 7 + 0.1 * score(arch, budget, seed)


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    space = nas.SearchSpace.from_dict(SMALL)
    nas.run_search(space, other_scale, trials=60, sampler="random", seed=5, run_dir=tmp_path / "earlier")
    return tmp_path / "earlier"


def test_the_best_come_first_and_the_rest_teaches(earlier: Path) -> None:
    space = nas.SearchSpace.from_dict(WIDER)
    known = earlier_results(earlier, space)
    assert 30 < len(known) <= 60
    assert [one.value for one in known] == sorted((one.value for one in known), reverse=True)
    for one in known[:3]:
        assert other_scale(space.decode(one.genotype), nas.Budget(), 0) == pytest.approx(one.value)
    warm = nas.run_search(space, score, trials=12, seed=0, warm_start=earlier)
    assert [trial.genotype for trial in warm.trials[:WARM_STARTS]] == [one.genotype for one in known[:WARM_STARTS]]
    # Without it the first eight are random.
    cold = nas.run_search(space, score, trials=12, seed=0)
    means = [np.mean([t.scores["val_accuracy"] for t in study.trials[WARM_STARTS:]]) for study in (warm, cold)]
    assert means[0] > means[1]


def test_a_resumed_warm_search_goes_on_as_a_whole_one(earlier: Path, tmp_path: Path) -> None:
    space = nas.SearchSpace.from_dict(SMALL)
    whole = nas.run_search(space, score, trials=16, seed=1, warm_start=earlier)
    for trials in (3, 10):
        nas.run_search(
            space, score, trials=trials, seed=1, warm_start=earlier, run_dir=tmp_path / "run", resume=trials > 3
        )
    again = nas.run_search(space, score, trials=16, seed=1, warm_start=earlier, run_dir=tmp_path / "run", resume=True)
    assert [trial.genotype for trial in again.trials] == [trial.genotype for trial in whole.trials]


@pytest.mark.parametrize("name", ["tpe", "random", "nsga2", "evolution"])
def test_other_samplers_begin_with_the_best_too(earlier: Path, name: str) -> None:
    space = nas.SearchSpace.from_dict(SMALL)
    study = nas.run_search(space, score, trials=8, seed=0, warm_start=earlier, sampler=name)
    known = earlier_results(earlier, space)
    assert [trial.genotype for trial in study.trials[:WARM_STARTS]] == [one.genotype for one in known[:WARM_STARTS]]


def test_a_space_is_fitted_to_limits_only_where_that_leaves_the_earlier_networks_in_it(tmp_path: Path) -> None:
    space = nas.load_space("mbconv").for_data((1, 8, 8), 10)
    fitted = Config(space="mbconv", constraints={"params": 1e4}).fitted(space)
    assert fitted.multiplier < 0.2
    for name, searched in (("as it is", space), ("fitted", fitted.space)):
        nas.run_search(searched, score, trials=5, sampler="random", run_dir=tmp_path / name)
        settings = SearchSettings(warm_start=str(tmp_path / name))
        found = Config(space="mbconv", constraints={"params": 1e4}, search=settings).fitted(space)
        assert found.multiplier == (1 if name == "as it is" else fitted.multiplier)
        assert len(earlier_results(tmp_path / name, found.space)) == 5


def test_a_space_that_shares_nothing(earlier: Path) -> None:
    with pytest.raises(ConfigError, match="none of the 60 networks"):
        nas.run_search(nas.load_space("nasbench_macro"), score, trials=2, warm_start=earlier)


def test_no_such_study(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no study in"):
        nas.run_search(nas.SearchSpace.from_dict(SMALL), score, trials=2, warm_start=tmp_path / "nothing")


def test_the_same_score_counts_in_the_direction_of_now(tmp_path: Path) -> None:
    """An earlier study may have maximized an error, before names were understood."""
    space = nas.SearchSpace.from_dict(SMALL)
    nas.run_search(
        space,
        lambda arch, *_: float(nas.cost_of(arch).params),
        trials=20,
        objective="error",
        direction="maximize",
        seed=0,
        run_dir=tmp_path / "earlier",
    )
    study = nas.run_search(
        space,
        lambda arch, *_: float(nas.cost_of(arch).params),
        trials=5,
        objective="error",
        seed=1,
        warm_start=tmp_path / "earlier",
    )
    errors = sorted({prior.value for prior in earlier_results(tmp_path / "earlier", space)})
    assert [trial.scores["error"] for trial in study.trials] == errors[:5]


@pytest.mark.parametrize("objective", [["val_accuracy", "val_loss"], ["val_loss", "val_accuracy"]])
def test_of_several_objectives_the_first_teaches_in_its_own_direction(tmp_path: Path, objective: list[str]) -> None:
    """The smallest network has the highest accuracy here, and the lowest loss."""

    def measured(arch: nas.Architecture, budget: nas.Budget, seed: int) -> nas.Evaluation:
        params = nas.cost_of(arch).params
        return nas.Evaluation(scores={"val_accuracy": 1 / params, "val_loss": float(params)})

    space, folder = nas.SearchSpace.from_dict(SMALL), tmp_path / "earlier"
    nas.run_search(space, measured, trials=12, sampler="random", seed=0, objective=objective, run_dir=folder)
    params = [nas.cost_of(space.decode(one.genotype)).params for one in earlier_results(folder, space)]
    assert params == sorted(params)
    study = nas.run_search(space, measured, trials=3, seed=0, objective=objective, warm_start=folder)
    assert [nas.cost_of(space.decode(one.genotype)).params for one in study.trials] == params[:3]


class _Task:
    """Values of 6,561 settings: effects of eight decisions with three options, and of pairs of neighbouring ones."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        rows = np.array(list(itertools.product(range(3), repeat=8)))
        single, pairs = rng.normal(size=(8, 3)), 0.7 * rng.normal(size=(7, 3, 3))
        values = sum(single[place, rows[:, place]] for place in range(8))
        values = values + sum(pairs[place, rows[:, place], rows[:, place + 1]] for place in range(7))
        self.values: dict[tuple[int, ...], float] = dict(zip(map(tuple, rows.tolist()), values.tolist(), strict=True))
        self._seed = seed

    def prior(self, task: str) -> list[tuple[dict[str, int], float]]:
        """What 60 random settings had in an earlier search of a task, the best first."""
        rng = np.random.default_rng(self._seed)
        drawn = [tuple(row) for row in rng.integers(0, 3, (60, 8)).tolist()]
        values = np.array([self.values[row] for row in drawn])
        earlier = {"same": values, "opposite": -values, "shuffled": rng.permutation(values)}.get(task, values[:0])
        order = np.argsort(-earlier)
        return [({f"d{i}": option for i, option in enumerate(drawn[place])}, float(earlier[place])) for place in order]

    def regret(self, task: str, trials: int = 30) -> float:
        """That of a plain Optuna study that begins as `run_search` does."""
        prior = self.prior(task)
        study = optuna.create_study(direction="maximize", sampler=sampler("default", seed=self._seed, prior=prior))
        for setting, _ in prior[:WARM_STARTS]:
            study.enqueue_trial(setting)
        for _ in range(trials):
            trial = study.ask()
            study.tell(trial, self.values[tuple(trial.suggest_categorical(f"d{i}", (0, 1, 2)) for i in range(8))])
        return max(self.values.values()) - study.best_value


def test_the_same_task_helps_and_the_opposite_one_too() -> None:
    """The benchmark (docs/benchmarks/warm-start.md) in small."""
    tasks = [_Task(seed) for seed in range(3)]
    none, same, opposite = (sum(one.regret(task, 14) for one in tasks) for task in ("none", "same", "opposite"))
    # With the five best ones alone, and nothing believed of others, they are 1.7 better and 1 worse than none.
    assert same < none - 2.5
    assert opposite < none - 1


@pytest.mark.slow
def test_what_says_nothing_does_no_harm() -> None:
    tasks = [_Task(seed) for seed in range(8)]
    none, shuffled = ([one.regret(task, 60) for one in tasks] for task in ("none", "shuffled"))
    assert np.median(shuffled) <= np.median(none) + 0.1


def test_from_few_earlier_networks_nothing_is_expected() -> None:
    """And a prior is none where its networks are none of the space."""
    domain = ObservedDomain()
    prior = _Task(0).prior("same")
    assert PriorModel(prior, domain).prior_means([]) is None, "nothing is known of the decisions yet"
    space = nas.SearchSpace.from_dict(SMALL)
    drafts = [(space.sample(seed), float(seed)) for seed in range(9)]
    inside = SpaceDomain(space)
    every = [inside.proposal(params) for params, _ in drafts]
    assert PriorModel(drafts[:7], inside).prior_means(every) is None
    beliefs = PriorModel(drafts, inside).prior_means(every)
    assert beliefs is not None
    assert kendalltau(beliefs, range(9)).statistic > 0.5
