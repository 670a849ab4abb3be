"""The grammar of `search.recipe`: what is a range and what choices, what is refused, and what is decided under what."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from nas.errors import ConfigError
from nas.run_folder import trained_id
from nas.training.recipe import Recipe
from nas.training.recipe_decisions import recipe_decisions, recipe_text, with_prefix, without_prefix

EXPLICIT: list[tuple[str, Any, dict[str, Any]]] = [
    ("lr", [1e-4, 1e-2], {"low": 1e-4, "high": 1e-2, "log": True}),
    ("lr", (1e-4, 1e-2), {"low": 1e-4, "high": 1e-2, "log": True}),
    ("lr", {"low": 1e-4, "high": 1e-2, "log": False}, {"low": 1e-4, "high": 1e-2, "log": False}),
    ("lr", {"low": 1e-4, "high": 1e-2}, {"low": 1e-4, "high": 1e-2, "log": True}),
    ("lr", [1e-4, 1e-3, 1e-2], {"choices": [1e-4, 1e-3, 1e-2]}),
    ("lr", {"choices": [1e-4, 1e-2]}, {"choices": [1e-4, 1e-2]}),
    ("weight_decay", [1e-4, 1], {"low": 1e-4, "high": 1.0, "log": True}),
    ("weight_decay", {"low": 0, "high": 0.1, "log": False}, {"low": 0.0, "high": 0.1, "log": False}),
    ("label_smoothing", [0, 0.2], {"low": 0.0, "high": 0.2, "log": False}),
    ("label_smoothing", {"choices": [0, 0.2]}, {"choices": [0.0, 0.2]}),
    ("batch_size", [32, 64, 128], {"choices": [32, 64, 128]}),
    ("batch_size", [32, 256], {"choices": [32, 64, 128, 256]}),
    ("batch_size", [24, 48], {"choices": [24, 48]}),
    ("batch_size", {"choices": [32, 100]}, {"choices": [32, 100]}),
    ("rand_augment", [0, 3], {"low": 0, "high": 3, "log": False}),
    ("optimizer", ["sgd", "adamw"], {"choices": ["sgd", "adamw"]}),
    ("flip", [True, False], {"choices": [True, False]}),
    ("gradient_clip", [None, 5], {"choices": [None, 5.0]}),
]

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"learning_rate": [0.1, 1.0]}, r"search\.recipe: the recipe has no setting 'learning_rate'\."),
    ({"lrr": [1e-4, 1e-2]}, "Did you mean 'lr'"),
    ({"epochs": [1, 3]}, r"search\.recipe\.epochs cannot be decided: every trial has the train\.epochs"),
    ({"lr": 0.01}, r"search\.recipe\.lr must be \[low, high\].* train\.lr=0\.01 sets one value"),
    ({"lr": [1e-2, 1e-4]}, "`low < high` must hold, but got low 0.01 and high 0.0001"),
    ({"lr": [0, 1e-2]}, r"search\.recipe\.lr: `|must be > 0"),
    ({"weight_decay": [0, 0.1]}, r"must begin above 0, but got 0; .*\{low: 0, high: 0\.1, log: false\}"),
    ({"lr": [1e-4, 1000]}, "must be <= 100, but got 1000"),
    ({"label_smoothing": [0, 1]}, "`0 <= label_smoothing < 1` must hold, but got 1"),
    ({"optimizer": ["sgd", "adam"]}, r"search\.recipe\.optimizer: unknown 'adam'.*adamw"),
    ({"optimizer": {"low": 1, "high": 2}}, "is no number, so that it has no range"),
    ({"flip": ["yes", "no"]}, "must be true or false, but got 'yes'"),
    ({"batch_size": [32, 100]}, "doubles from its low end to the high one"),
    ({"batch_size": {"low": 32, "high": 128, "log": False}}, "doubles from its low end .* without log"),
    ({"batch_size": [32.5, 65]}, "must be a whole number"),
    ({"lr": [0.1]}, "two or more different values"),
    ({"lr": []}, "two or more different values"),
    ({"flip": [True, True]}, "two or more different values"),
    ({"lr": {"choises": [0.1, 0.2]}}, "Did you mean 'choices'"),
    ({"lr": {"low": 0.1}}, "must be .low, high"),
    ({"lr": {"low": 0.1, "high": 1, "log": "yes"}}, r"lr\.log must be true or false"),
    ({"nesterov": [True, False]}, r"nesterov does nothing unless train\.optimizer is sgd, but that is 'adamw'"),
    ({"rmsprop_decay": [0.8, 0.9]}, r"rmsprop_decay does nothing unless train\.optimizer is rmsprop"),
    ({"lr_end": [0.0, 0.1]}, r"nothing unless train\.schedule is one_cycle or triangle, but that is 'cosine'"),
    ({"lr_decay": [0.5, 0.9]}, r"lr_decay does nothing unless train\.schedule is exponential"),
    ({"progressive_resolution": [0.5, 0.9]}, r"unless train\.progressive_stages is above 1, but that is 1"),
    ({"teacher_weight": [0.5, 0.9]}, r"does nothing unless there is a train\.teacher, but that is None"),
    ({"teacher": ["a", "b"]}, "all trials learn from the one of train.teacher"),
    ({"memory_mib": [100, 200]}, "no score depends on it"),
    ({"momentum": [0.5, 0.9]}, r"momentum does nothing unless train\.optimizer is sgd or rmsprop, but that is 'adamw'"),
    ({"rand_augment_magnitude": [5, 15]}, r"does nothing unless train\.rand_augment is above 0"),
]


@pytest.mark.parametrize(("name", "value", "explicit"), EXPLICIT)
def test_a_range_and_choices_are_told_apart(name: str, value: Any, explicit: dict[str, Any]) -> None:
    found = recipe_decisions({name: value}).to_dict()
    assert found == {name: explicit}
    if "choices" in explicit:
        assert [type(one) for one in found[name]["choices"]] == [type(one) for one in explicit["choices"]]
    again = recipe_decisions({name: explicit})
    assert again.to_dict() == found, "the explicit form says the same"


@pytest.mark.parametrize(("values", "message"), REFUSED)
def test_what_cannot_be_decided_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recipe_decisions(values)


def test_decisions_of_which_no_two_go_together_are_refused_at_once() -> None:
    with pytest.raises(ConfigError, match=r"search\.recipe leaves no recipe: train\.rand_augment .*set one"):
        recipe_decisions({"rand_augment": [1, 3]}, Recipe(trivial_augment=True))


def test_nothing_is_decided_where_nothing_is_said() -> None:
    assert not recipe_decisions({})
    assert not recipe_decisions({"lr": None})
    assert recipe_decisions({}).recipes == [{}]


@settings(max_examples=20)
@given(st.integers(0, 2**32))
def test_draws_are_recipes_within_what_was_said(seed: int) -> None:
    decided = recipe_decisions(
        {
            "lr": [1e-4, 1e-2],
            "optimizer": ["sgd", "adamw"],
            "momentum": [0.5, 0.99],
            "rand_augment": [0, 2],
            "rand_augment_magnitude": [3, 9],
            "batch_size": [16, 64],
            "flip": [True, False],
        }
    )
    values = decided.draw(random.Random(seed))
    assert decided.states(values)
    assert decided.problem(values) == ""
    assert ("momentum" in values) == (values["optimizer"] == "sgd")
    assert ("rand_augment_magnitude" in values) == (values["rand_augment"] > 0)
    assert 1e-4 <= values["lr"] <= 1e-2
    assert values["batch_size"] in (16, 32, 64)
    assert not decided.states({**values, "lr": 0.1})
    assert not decided.states({name: value for name, value in values.items() if name != "lr"})
    assert not decided.states({**values, "hue": 0.1})
    assert decided.nearest(values) == values


def test_a_logarithmic_range_is_drawn_evenly_by_factors_and_a_linear_one_by_steps() -> None:
    rng = random.Random(0)
    log, linear = recipe_decisions({"lr": [1e-4, 1e-2]}), recipe_decisions({"label_smoothing": [0, 0.5]})
    factors = [math.log10(log.draw(rng)["lr"]) / 2 + 2 for _ in range(2000)]
    steps = [linear.draw(rng)["label_smoothing"] / 0.5 for _ in range(2000)]
    assert kstest(factors, "uniform").pvalue > 0.001
    assert kstest(steps, "uniform").pvalue > 0.001


def test_the_nearest_decisions_are_those_of_the_recipe_where_it_allows_them() -> None:
    decided = recipe_decisions(
        {"lr": [1e-4, 1e-3], "batch_size": [128, 512], "label_smoothing": [0, 0.2], "optimizer": ["sgd", "adamw"]},
        Recipe(lr=3e-3, batch_size=300, label_smoothing=0.1, optimizer="adamw"),
    )
    nearest = {"lr": 1e-3, "batch_size": 256, "label_smoothing": 0.1, "optimizer": "adamw"}
    assert decided.nearest() == nearest
    assert decided.nearest({"lr": 1e-5}) == {**nearest, "lr": 1e-4}


def test_all_recipes_are_listed_where_there_is_an_end_of_them() -> None:
    decided = recipe_decisions(
        {"optimizer": ["sgd", "adamw"], "momentum": {"choices": [0.8, 0.9, 0.95]}, "rand_augment": [0, 1]}
    )
    assert decided.recipes is not None
    assert len(decided.recipes) == (3 + 1) * 2
    assert all(decided.states(values) for values in decided.recipes)
    assert recipe_decisions({"lr": [1e-4, 1e-2]}).recipes is None
    many = {"rand_augment": [1, 14], "rand_augment_magnitude": [0, 30], "batch_size": list(range(2, 300))}
    assert recipe_decisions(many).recipes is None, "130,000 of them"


def test_a_combination_that_is_no_recipe_has_a_reason() -> None:
    decided = recipe_decisions({"trivial_augment": [True, False], "rand_augment": [0, 2]})
    assert "are two policies of the same operations" in decided.problem({"trivial_augment": True, "rand_augment": 2})
    assert decided.problem({"trivial_augment": False, "rand_augment": 2}) == ""


def test_a_training_is_known_by_its_network_and_its_recipe() -> None:
    assert trained_id("0abc", {}) == "0abc"
    one, other = trained_id("0abc", {"lr": 0.1, "flip": True}), trained_id("0abc", {"lr": 0.2, "flip": True})
    assert one != other
    assert one == trained_id("0abc", {"flip": True, "lr": 0.1})
    assert one.startswith("0abc-")
    assert len(one) == 4 + 1 + 8


def test_values_are_written_for_people() -> None:
    recipe = {"lr": 0.00123456789, "batch_size": 64, "optimizer": "sgd", "flip": True, "gradient_clip": None}
    assert recipe_text(recipe) == "lr 0.001235, batch_size 64, optimizer sgd, flip true, gradient_clip null"
    assert without_prefix({"stages.0.kernel": 3, **with_prefix(recipe)}) == recipe
