"""A search that starts from what an earlier one found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

import nas
from nas.errors import ConfigError
from nas.search.samplers import sampler
from nas.search.samplers.domain import Draft, ObservedDomain
from nas.search.samplers.proposing import History
from nas.search.transfer import WARM_STARTS, priors
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
    known = priors(earlier, space)
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


def test_values_of_another_scale_are_brought_to_that_of_the_study() -> None:
    """By a line through the trials that have both: here exactly y = 2 x - 3."""
    import optuna

    from nas.search.samplers.domain import ObservedDomain
    from nas.search.samplers.proposing import History

    prior = [({"x": float(place)}, float(place)) for place in range(10)]
    history = History(ObservedDomain(), prior)
    study = optuna.create_study(direction="maximize", sampler=sampler("random"))
    for place in range(6):
        study.enqueue_trial({"x": float(place)})
        trial = study.ask()
        trial.suggest_float("x", 0, 10)
        study.tell(trial, 2.0 * place - 3)
    now = study.ask()
    history.read(study, study.trials[now.number])
    found = {one.params["x"]: one.values[0] for one in history.results}
    assert found == {float(place): pytest.approx(2.0 * place - 3) for place in range(10)}


def test_a_repeated_network_does_not_come_between_the_scales() -> None:
    """What was known is 1,000 times the study's values, which come step by step; a repetition has no steps."""
    prior = [({"x": float(place)}, 1000.0 * place) for place in range(10)]
    history = History(ObservedDomain(), prior)
    study = optuna.create_study(direction="maximize", sampler=sampler("random"))
    for place, steps in ((1, True), (2, True), (3, True), (4, True), (5, True), (4, False)):
        study.enqueue_trial({"x": float(place)})
        trial = study.ask()
        trial.suggest_float("x", 0, 10)
        for step in (1, 2) if steps else ():
            trial.report(place - 1.0 / step, step)
        study.tell(trial, place - 0.5)
    now = study.ask()
    history.read(study, study.trials[now.number])
    known = {one.params["x"]: one.values[0] for one in history.results if one.number < 0}
    assert known == {float(place): pytest.approx(place - 0.5) for place in (0, 6, 7, 8, 9)}


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
    known = priors(earlier, space)
    assert [trial.genotype for trial in study.trials[:WARM_STARTS]] == [one.genotype for one in known[:WARM_STARTS]]


def test_a_space_that_shares_nothing(earlier: Path) -> None:
    with pytest.raises(ConfigError, match="none of the 60 networks"):
        nas.run_search(nas.load_space("nasbench_macro"), score, trials=2, warm_start=earlier)


def test_no_such_study(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no study in"):
        nas.run_search(nas.SearchSpace.from_dict(SMALL), score, trials=2, warm_start=tmp_path / "nothing")


def _history(own: list[float], size_of: list[int]) -> Any:
    """A study of as many networks as there are values, all of which were known before with rising values."""
    domain = ObservedDomain()
    sizes = {frozenset({("x", place)}): size_of[place] for place in range(len(own))}
    domain.draft = lambda params: Draft(params, 0, nas.Cost(params=sizes[frozenset(params.items())]))  # type: ignore[method-assign]
    history = History(domain, [({"x": place}, float(place)) for place in range(len(own) + 5)])
    study = optuna.create_study(direction="maximize")
    for place, value in enumerate(own):
        study.enqueue_trial({"x": place})
        trial = study.ask()
        trial.suggest_int("x", 0, 100)
        study.tell(trial, value)
    now = study.ask()
    history.read(study, study.trials[now.number])
    return history


def test_what_does_not_rank_better_than_parameters_is_dropped() -> None:
    """Ten trials that have both are enough to judge it."""
    rising, random_sizes = [float(place) for place in range(12)], [5, 3, 9, 1, 7, 2, 8, 4, 6, 11, 10, 0]
    assert len(_history(rising, random_sizes).results) == 17  # it ranks, parameters do not
    assert len(_history(rising, list(range(12))).results) == 12  # parameters rank as well
    assert len(_history(rising[::-1], random_sizes).results) == 12  # it ranks backwards
    assert len(_history(rising[:9][::-1], random_sizes).results) == 14  # too few to say so
