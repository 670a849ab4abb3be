"""A finish of a search that has decided some of the recipe: by what finalists and baselines are trained anew."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

import nas
from nas.errors import ConfigError
from nas.finishing.bench import CHOOSE, REPORT
from nas.finishing.searched import read_searched
from nas.finishing.session import finish_search
from nas.training.data.config import DataConfig
from nas.training.recipe import Recipe
from nas.workers.evaluating import Task
from tests.finishing.recorded import DATA, SPACE, StubPool, finish, report_of

SEARCHED = Recipe(epochs=9, optimizer="sgd", lr=0.05, batch_size=128)
FULL = Recipe()
"""That of a finish which is told of no other from Python."""


def score(arch: nas.Architecture, budget: nas.Budget, seed: int) -> float:
    """Larger networks are better, and rates near .02."""
    assert budget.recipe is not None
    return float(0.9 + nas.cost_of(arch).params / 1e7 - abs(budget.recipe["lr"] - 0.02) / 1e6)


@pytest.fixture
def tuned(searched: Path, tmp_path: Path) -> Path:
    """A search of the twelve networks with their learning rates, and with label smoothing."""
    folder = tmp_path / "tuned"
    config = {"data": asdict(DataConfig()), "train": asdict(SEARCHED), "workers": 1}
    nas.run_search(
        nas.SearchSpace.from_dict(SPACE),
        score,
        trials=40,
        constraints={"params": 30_000, "macs": 3_000_000},
        run_dir=folder,
        recipe={"lr": [1e-3, 1e-1], "label_smoothing": [0, 0.2]},
        notes={"config": config, "data": DATA},
        sampler="random",
    )
    return folder


def _trained(phase: str, folder: Path) -> dict[str, set[Recipe]]:
    """Return the recipes of all trainings of a phase, by the name of the network."""
    lines = [json.loads(line) for line in (folder / "finish" / "trials.jsonl").read_text().splitlines()[1:]]
    names = {line["arch_id"]: line["name"] for line in lines if line.get("phase") == phase}
    found: dict[str, set[Recipe]] = {}
    for task in StubPool.tasks:
        if isinstance(task, Task) and task.architecture.arch_id in names and task.evaluator is not None:
            found.setdefault(names[task.architecture.arch_id], set()).add(task.evaluator.recipe)  # type: ignore[attr-defined]
    return found


def test_finalists_are_networks_each_by_its_best_recipe(tuned: Path) -> None:
    found = read_searched(tuned)
    finalists = found.finalists(5)
    networks = [arch.arch_id for _, arch in finalists]
    assert len(set(networks)) == len(networks) == 5
    for trial, arch in finalists:
        same = [one for one in found.study.trials if one.arch_id == arch.arch_id and one.scores]
        assert trial.scores["val_accuracy"] == max(one.scores["val_accuracy"] for one in same)
    assert any(sum(one.arch_id == name for one in found.study.trials) > 1 for name in networks)


def test_finalists_are_trained_by_what_was_found_for_them_and_baselines_by_that_of_the_winner(tuned: Path) -> None:
    assert finish(tuned, top_k=3, seeds=2, final_seeds=2) == 0
    found, report = read_searched(tuned), report_of(tuned)
    chosen = _trained(CHOOSE, tuned)
    for trial, _ in found.finalists(3):
        # A rate goes with the optimizer and the batch size that it was found with; all else is of the full recipe.
        wanted = replace(FULL, optimizer="sgd", batch_size=128, **trial.recipe)
        assert chosen[f"trial {trial.number}"] == {wanted}
    winner = found.finalists(3)[0][0]  # the largest network, in the search and here
    assert report["final"]["winner"]["name"] == f"trial {winner.number}"
    assert report["final"]["winner"]["lr"] == winner.recipe["lr"]
    multiples = {1.0, 1 / 3, 3.0}
    assert any(report["final"]["published"]["lr"] == pytest.approx(winner.recipe["lr"] * one) for one in multiples)
    lines = [json.loads(line) for line in (tuned / "finish" / "trials.jsonl").read_text().splitlines()]
    rates = {line["lr"] / winner.recipe["lr"] for line in lines if line.get("phase") == "published"}
    assert all(any(rate == pytest.approx(one) for one in multiples) for rate in rates)
    text = (tuned / "finish" / "report.md").read_text()
    assert (
        f"The winner was trained with what the search found for it: lr {winner.recipe['lr']:.4g}, label_smoothing"
        in text
    )
    assert len(_trained(REPORT, tuned)) == 2


def test_it_can_be_trained_by_the_recipe_of_the_finish_alone(tuned: Path) -> None:
    assert finish(tuned, top_k=3, seeds=2, final_seeds=2, searched_recipe=False, baseline="none") == 0
    for recipes in _trained(CHOOSE, tuned).values():
        assert recipes == {FULL}
    assert "was not used" in (tuned / "finish" / "report.md").read_text()


def test_a_decision_that_does_not_go_with_the_recipe_of_the_finish_is_said_before_anything_runs(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    config = {"data": asdict(DataConfig()), "train": asdict(SEARCHED), "workers": 1}
    nas.run_search(
        nas.SearchSpace.from_dict(SPACE),
        lambda arch, budget, seed: float(seed),
        trials=3,
        run_dir=folder,
        recipe={"rand_augment": [1, 2]},
        notes={"config": config, "data": DATA},
        sampler="random",
    )
    values = {"run": str(folder), "mlflow": False, "train": asdict(replace(FULL, trivial_augment=True))}
    values |= {"finish": {"baseline": "none"}}
    with pytest.raises(ConfigError, match=r"\(rand_augment \d\) does not go with .*finish\.searched_recipe=false"):
        finish_search(values, [], lambda line: None)


def test_a_search_that_decides_nothing_of_the_recipe_is_finished_as_ever(searched: Path) -> None:
    found = read_searched(searched)
    for trial, _ in found.finalists(3):
        assert found.recipe_of(trial, FULL) == FULL
    assert finish(searched, top_k=2, seeds=1, final_seeds=1, baseline="none") == 0
    assert "what the search found" not in (searched / "finish" / "report.md").read_text()
