"""What settings are where nothing is said: in Python as in `conf/`, which documents them."""

from __future__ import annotations

import inspect
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from nas.cost.metrics import Workload
from nas.errors import ConfigError
from nas.resources import resource_dir
from nas.search.budgets.pruning import Pruning
from nas.search.config import Config
from nas.search.samplers.evolution import RegularizedEvolutionSampler
from nas.training.recipe import Recipe

CONF = resource_dir("conf")


def _values(path: Path) -> dict[str, Any]:
    found = yaml.safe_load(path.read_text())
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("path", sorted((CONF / "pruner").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_pruner_is_what_its_file_says(path: Path) -> None:
    values = _values(path)
    assert {name: getattr(Pruning(name=values["name"]), name) for name in values} == values


@pytest.mark.parametrize("group", ["search", "inference", "records"])
def test_a_search_is_what_its_file_says(group: str) -> None:
    stated = _values(CONF / "search.yaml")[group]
    if stated.get("objective") == "auto":  # by the task of the data, which are digits
        stated["objective"] = "val_accuracy"
    assert asdict(getattr(Config(space="mbconv"), group)) == stated


def test_evolution_is_that_of_its_paper_in_proportion() -> None:
    """A quarter of the population is drawn for a tournament, as in Real et al. 2019 (25 of 100)."""
    stated = _values(CONF / "sampler" / "evolution.yaml")
    given = {name: one.default for name, one in inspect.signature(RegularizedEvolutionSampler).parameters.items()}
    assert {"population": given["population"], "tournament": given["tournament"]} == {
        name: stated[name] for name in ("population", "tournament")
    }
    assert given["tournament"] * 4 == given["population"]
    assert given["seed"] == 0


@pytest.mark.parametrize(
    ("setting", "least"),
    [
        ("eta", 2),
        ("least_epochs", 1),
        ("brackets", 1),
        ("startup_trials", 1),
        ("warmup_epochs", 0),
        ("patience", 1),
        ("least_fraction", 0.001),
    ],
)
def test_the_least_that_a_setting_of_a_pruner_may_be(setting: str, least: float) -> None:
    values: dict[str, Any] = {setting: least}
    assert getattr(Pruning(**values), setting) == least
    values[setting] -= 1 if isinstance(least, int) else 1e-6
    with pytest.raises(ConfigError, match=f"pruner.{setting}"):
        Pruning(**values)
    with pytest.raises(ConfigError, match=r"least_fraction.*but got 1"):
        Pruning(least_fraction=1.0)


@pytest.mark.parametrize(("optimizer", "copies"), [("adamw", 4), ("sgd", 3)])
def test_training_holds_weights_gradients_and_what_the_optimiser_keeps(optimizer: Any, copies: int) -> None:
    """Adam keeps two moments of each weight, SGD one momentum."""
    config = Config(space="mbconv", train=Recipe(optimizer=optimizer, batch_size=48))
    assert config.workload == Workload(batch=1, training_batch=48, training_copies=copies)
