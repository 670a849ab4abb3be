"""A search keeps the trained weights of its best networks, and no others."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.errors import ConfigError
from nas.evaluation import Evaluation
from nas.search.study import Study
from nas.search.trial import State
from tests.search.conftest import SMALL


def _writes(arch: nas.Architecture, budget: nas.Budget, seed: int) -> Evaluation:
    """Score a network by its size, write its id and its epochs as weights, and go on from a checkpoint."""
    params = nas.cost_of(arch).params
    if budget.weights is not None:
        path = Path(budget.weights)
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{arch.arch_id} {budget.epochs}")
    if params % 5 == 0:
        raise ValueError("does not train")
    return Evaluation({"score": -abs(params - 3000) - 1 / (budget.epochs or 1)})


def _noisy(arch: nas.Architecture, budget: nas.Budget, seed: int) -> Evaluation:
    """Score larger networks better, give or take some noise."""
    assert budget.weights is not None
    Path(budget.weights).parent.mkdir(exist_ok=True)
    Path(budget.weights).write_text(arch.arch_id)
    return Evaluation({"score": math.log(nas.cost_of(arch).params) + random.Random(seed).random()})


def _search(folder: Path | None, **arguments: Any) -> Study:
    space = nas.SearchSpace.from_dict(SMALL)
    defaults: dict[str, Any] = {
        "trials": 20,
        "sampler": "random",
        "seed": 3,
        "objective": "score",
        "direction": "maximize",
    }
    evaluator = arguments.pop("evaluator", _writes)
    return nas.run_search(space, evaluator, run_dir=folder, **{**defaults, **arguments})


def _kept(folder: Path) -> set[str]:
    return {path.stem for path in (folder / "weights").iterdir()}


def _ids(study: Study, count: int) -> set[str]:
    """Return the networks with the best scores, by a rule of its own."""
    done = [trial for trial in study.trials if trial.state is State.COMPLETED]
    return {str(t.arch_id) for t in sorted(done, key=lambda t: -t.scores["score"])[:count]}


@pytest.mark.parametrize("count", [1, 3, 100])
def test_the_weights_of_the_best_are_kept(count: int, tmp_path: Path) -> None:
    study = _search(tmp_path / "run", keep=count)
    assert study.counts()["failed"] > 0
    assert _kept(tmp_path / "run") == _ids(study, count)
    for path in (tmp_path / "run" / "weights").iterdir():
        assert path.read_text().split()[0] == path.stem


def test_five_are_kept_where_nothing_is_said(tmp_path: Path) -> None:
    study = _search(tmp_path / "run")
    assert _kept(tmp_path / "run") == _ids(study, 5)
    assert len(_ids(study, 5)) == 5


def test_none_are_asked_for_where_none_are_kept(tmp_path: Path) -> None:
    budgets: list[nas.Budget] = []

    def listens(arch: nas.Architecture, budget: nas.Budget, seed: int) -> Evaluation:
        budgets.append(budget)
        return _writes(arch, budget, seed)

    _search(tmp_path / "run", keep=0, evaluator=listens)
    _search(None, evaluator=listens)
    assert {budget.weights for budget in budgets} == {None}
    assert not (tmp_path / "run" / "weights").exists()


def test_each_moment_has_the_best_so_far(tmp_path: Path) -> None:
    """A search that is killed at any time leaves the weights of its best."""
    moments: list[tuple[set[str], set[str]]] = []

    class Looks:
        def begin(self, study: Study) -> None: ...
        def proposed(self, study: Study, running: int) -> None: ...
        def paused(self, study: Study, trial: object) -> None: ...
        def end(self, study: Study) -> None: ...
        def ended(self, study: Study, trial: object) -> None:
            moments.append((_kept(tmp_path / "run"), _ids(study, 2)))

    _search(tmp_path / "run", keep=2, recorders=[Looks()])
    assert len(moments) >= 20
    assert all(kept == best for kept, best in moments)


def test_a_search_that_goes_on_drops_what_is_not_among_the_best_any_more(tmp_path: Path) -> None:
    first = _search(tmp_path / "run", keep=4, trials=10)
    best_before = _ids(first, 4)
    # What a killed process had trained and not recorded, and one whose trial was recorded, but not removed yet.
    losers = {str(t.arch_id) for t in first.trials if t.state is State.COMPLETED} - best_before
    (tmp_path / "run" / "weights" / f"{min(losers)}.safetensors").write_text("of a loser")
    study = _search(tmp_path / "run", keep=4, trials=30, resume=True)
    assert _kept(tmp_path / "run") == _ids(study, 4)
    assert _ids(study, 4) != best_before


@pytest.mark.parametrize("seed", range(6))
def test_with_several_objectives_the_front_is_kept_at_every_moment(seed: int, tmp_path: Path) -> None:
    """The knee moves to and fro on it, as the scale of the objectives changes with each trial."""
    lacking: list[str] = []

    class Looks:
        def begin(self, study: Study) -> None: ...
        def proposed(self, study: Study, running: int) -> None: ...
        def paused(self, study: Study, trial: object) -> None: ...
        def end(self, study: Study) -> None: ...
        def ended(self, study: Study, trial: object) -> None:
            lacking.extend({str(t.arch_id) for t in study.front()} ^ _kept(tmp_path / "run"))

    study = _search(
        tmp_path / "run",
        keep=1,
        trials=40,
        seed=seed,
        evaluator=_noisy,
        objective=["score", "params"],
        direction=["maximize", "minimize"],
        recorders=[Looks()],
    )
    assert lacking == []
    assert len(study.front()) > 3
    assert study.winner is study.knee()
    assert str(study.winner and study.winner.arch_id) in _kept(tmp_path / "run")


@pytest.mark.parametrize("pruner", ["asha", "hyperband", "successive_halving"])
def test_halving_keeps_the_weights_of_the_last_rung(pruner: str, tmp_path: Path) -> None:
    study = _search(tmp_path / "run", keep=2, trials=27, pruner=pruner, budget=nas.Budget(epochs=9))
    best = study.best(2)
    assert _kept(tmp_path / "run") == {str(trial.arch_id) for trial in best}
    for trial in best:
        path = tmp_path / "run" / "weights" / f"{trial.arch_id}.safetensors"
        assert path.read_text() == f"{trial.arch_id} 9"


def test_an_evaluator_without_weights_leaves_no_folder(tmp_path: Path) -> None:
    study = _search(tmp_path / "run", evaluator=lambda arch, budget, seed: {"score": float(nas.cost_of(arch).params)})
    assert study.counts()["completed"] == 20
    assert not (tmp_path / "run" / "weights").exists()


@pytest.mark.parametrize(
    ("folder", "changes", "message"),
    [
        (False, {}, "no run folder"),
        (True, {"keep": 0}, "no weights of the best network in .*search.keep was 0"),
        (True, {"constraints": {"params": (1, 2)}, "max_rejections": 5}, "no network that was evaluated to its end"),
    ],
)
def test_a_study_without_a_model_says_why(folder: bool, changes: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        _search(tmp_path / "run" if folder else None, **changes).best_model()


@pytest.mark.slow
def test_the_best_model_has_the_score_that_it_was_chosen_for(tmp_path: Path) -> None:
    import torch

    from nas.evaluators.training import TrainingEvaluator
    from nas.training.data.config import DataConfig
    from nas.training.data.load import load_data
    from nas.training.recipe_files import read_recipe

    config = DataConfig(name="digits")
    study = nas.run_search(
        nas.load_space("mbconv").for_data((1, 8, 8), 10),
        TrainingEvaluator(config, read_recipe("short")),
        trials=3,
        budget=nas.Budget(epochs=2),
        run_dir=tmp_path / "run",
        constraints={"params": 3e5},
    )
    data = load_data(config)
    pixels = data.val.read(torch.arange(len(data.val.labels))).float() / 255
    mean, std = (torch.tensor(values).reshape(1, -1, 1, 1) for values in (data.mean, data.std))
    hits = (study.best_model()((pixels - mean) / std).argmax(1) == data.val.labels).float().mean()
    assert float(hits) == pytest.approx(study.best(1)[0].scores["val_accuracy"], abs=1e-6)
