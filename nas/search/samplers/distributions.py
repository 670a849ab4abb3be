"""Values of Optuna's distributions: of a choice, at random, and near another value."""

from __future__ import annotations

import math
import random
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from nas.space.tree.nodes import Choice
from nas.training.recipe_decisions import PREFIX, RecipeDecision, RecipeDecisions

_MUTATION_SDS = (0.2, 0.07, 0.02, 0.006)
"""Standard deviations of the mutation of a number, as shares of its range: one of those that are no smaller than the
step of the range is drawn each time."""


def distribution_of(choice: Choice) -> BaseDistribution:
    """Return the distribution that `SearchSpace.suggest` asks Optuna for."""
    span = choice.int_range
    if span is not None:
        return IntDistribution(span.low, span.high, step=span.step)
    return CategoricalDistribution(choice.values)


def recipe_distribution(decision: RecipeDecision) -> BaseDistribution:
    """Return the distribution that a decision of the recipe is asked from."""
    if decision.choices:
        return CategoricalDistribution(decision.choices)
    if decision.whole:
        return IntDistribution(int(decision.low), int(decision.high), log=decision.log)
    return FloatDistribution(decision.low, decision.high, log=decision.log)


def recipe_distributions(recipe: RecipeDecisions) -> dict[str, BaseDistribution]:
    """Return the distributions of all decisions of a recipe, by their names in a trial of Optuna's."""
    return {f"{PREFIX}{name}": recipe_distribution(decision) for name, decision in recipe.decisions.items()}


def suggest_recipe(recipe: RecipeDecisions, trial: optuna.Trial) -> dict[str, Any]:
    """Ask a trial of Optuna's for the decisions of a recipe, and return them by their settings."""
    return recipe.chosen(lambda decision: _suggested(decision, trial))


def _suggested(decision: RecipeDecision, trial: optuna.Trial) -> Any:
    name = f"{PREFIX}{decision.name}"
    if decision.choices:
        return trial.suggest_categorical(name, decision.choices)
    if decision.whole:
        return trial.suggest_int(name, int(decision.low), int(decision.high), log=decision.log)
    return trial.suggest_float(name, decision.low, decision.high, log=decision.log)


def random_value(distribution: BaseDistribution, rng: random.Random) -> Any:
    """Draw a value, uniform on the distribution's scale."""
    if isinstance(distribution, CategoricalDistribution):
        return rng.choice(distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    return _value_at(distribution, rng.random())


def nearby_value(distribution: BaseDistribution, value: Any, rng: random.Random) -> Any:
    """Draw a value other than `value`, if there is one: any other category, or a number near it on the scale."""
    if isinstance(distribution, CategoricalDistribution):
        others = [choice for choice in distribution.choices if choice != value]
        return rng.choice(others) if others else value
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    low, high, centre = float(distribution.low), float(distribution.high), float(value)
    if not high > low:
        return value
    if distribution.log:
        low, high, centre = math.log(low), math.log(high), math.log(max(centre, low))
    smallest = (distribution.step or 0) / (distribution.high - distribution.low)
    sd = rng.choice([sd for sd in _MUTATION_SDS if sd >= smallest] or _MUTATION_SDS[:1])
    share = min(max((centre - low) / (high - low) + rng.gauss(0, sd), 0.0), 1.0)
    nearby = _value_at(distribution, share)
    return nearby if nearby != value else random_value(distribution, rng)


def _value_at(distribution: IntDistribution | FloatDistribution, share: float) -> float | int:
    """Return the value at a share of a range, from 0 to 1 on its scale."""
    low, high = float(distribution.low), float(distribution.high)
    if distribution.log:
        value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
        value = round(value) if isinstance(distribution, IntDistribution) else value
    elif distribution.step:
        steps = round((high - low) / distribution.step)
        value = low + distribution.step * min(int(share * (steps + 1)), steps)
    else:
        value = low + share * (high - low)
    value = min(max(value, low), high)
    return int(value) if isinstance(distribution, IntDistribution) else float(value)
