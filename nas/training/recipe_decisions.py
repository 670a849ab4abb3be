"""What a search decides of the recipe beside the network: ranges and choices of its settings. Never loads torch."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

from nas.equality import same_value
from nas.errors import ConfigError, nearest
from nas.settings import Range, checked_value, declarations
from nas.training.recipe import Recipe

PREFIX = "recipe."
"""Before the name of a setting, where decisions of a trial stand beside those of its network."""
WHERE = "search.recipe"
"""The setting that states them, for messages."""
_LOGARITHMIC = ("lr", "weight_decay")
"""Rates, which count by factors: their ranges are logarithmic where nothing else is said."""
_DOUBLING = "batch_size"
"""A range of these is the powers of two times its low end."""
_NOT_DECIDED = {
    "epochs": "every trial has the train.epochs of the search, and a pruner (pruner=asha) gives the better ones more",
    "teacher": "all trials learn from the one of train.teacher",
    **dict.fromkeys(("loss", "callbacks", "logger"), "all trials are trained with what train names of your own code"),
    "memory_mib": "it says how training is done, and no score depends on it",
}
_FORMS = "[low, high], [a, b, c], {choices: [a, b]} or {low: a, high: b, log: true}"
_MOST_RECIPES = 100_000
"""More recipes than these are not listed."""
_DRAWS = 200
"""Random recipes of which one must be a recipe."""

Values = Mapping[str, Any]
"""Values of settings by their names."""


@dataclass(frozen=True)
class _Needs:
    """Where alone a setting does anything: under some values of another one."""

    of: str
    holds: Callable[[Any], bool]
    rule: str


def _one_of(of: str, *words: str) -> _Needs:
    return _Needs(of, lambda value: value in words, f"train.{of} is {' or '.join(words)}")


_STAGED = _Needs("progressive_stages", lambda value: value > 1, "train.progressive_stages is above 1")
_TAUGHT = _Needs("teacher", lambda value: value is not None, "there is a train.teacher")
_NEEDS: Mapping[str, _Needs] = {
    "momentum": _one_of("optimizer", "sgd", "rmsprop"),
    "nesterov": _one_of("optimizer", "sgd"),
    "rmsprop_decay": _one_of("optimizer", "rmsprop"),
    "rmsprop_eps": _one_of("optimizer", "rmsprop"),
    "lr_start": _one_of("schedule", "one_cycle", "triangle"),
    "lr_end": _one_of("schedule", "one_cycle", "triangle"),
    "lr_decay": _one_of("schedule", "exponential"),
    "lr_decay_epochs": _one_of("schedule", "exponential"),
    "rand_augment_magnitude": _Needs("rand_augment", lambda value: value > 0, "train.rand_augment is above 0"),
    "crop_ratio": _Needs("crop_scale", lambda value: value < 1, "train.crop_scale is below 1"),
    "progressive_resolution": _STAGED,
    "progressive_regularisation": _STAGED,
    "teacher_weight": _TAUGHT,
    "teacher_temperature": _TAUGHT,
}


@dataclass(frozen=True)
class RecipeDecision:
    """What one setting may be: one of some values, or a number from a range."""

    name: str
    choices: tuple[Any, ...] = ()
    """Empty of a range."""
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    """Whether equal factors count, and not equal steps."""
    whole: bool = False

    def draw(self, rng: random.Random) -> Any:
        """Draw a value, uniform on its scale."""
        if self.choices:
            return rng.choice(self.choices)
        if self.log:
            value = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
            value = round(value) if self.whole else value
            return min(max(value, self.low), self.high)
        return rng.randint(int(self.low), int(self.high)) if self.whole else rng.uniform(self.low, self.high)

    def holds(self, value: object) -> bool:
        """Whether it may be a value."""
        if self.choices:
            return any(same_value(value, choice) for choice in self.choices)
        kinds = (int,) if self.whole else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and self.low <= value <= self.high

    def nearest(self, value: Any) -> Any:
        """Return what it may be that comes nearest to a value; the first choice where none is near."""
        if self.holds(value):
            return value
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not self.choices:
            return min(max(value, self.low), self.high) if number else self.low
        numbers = [one for one in self.choices if isinstance(one, int | float) and not isinstance(one, bool)]
        return min(numbers, key=lambda one: abs(one - value)) if number and numbers else self.choices[0]

    def place(self, value: float) -> float:
        """Return where a number lies in the range, from 0 to 1 on its scale."""
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        return ((math.log(value) if self.log else value) - low) / (high - low)

    def is_near(self, value: Any, other: Any, share: float) -> bool:
        """Whether two values are the same choice, or numbers not further apart than a share of the range."""
        if self.choices:
            return same_value(value, other)
        return abs(self.place(value) - self.place(other)) <= share

    @property
    def ends(self) -> tuple[Any, ...]:
        """Its choices, or the two ends of its range."""
        return self.choices or (self.low, self.high)

    def to_dict(self) -> dict[str, Any]:
        """Return it in its explicit form, as plain values."""
        if self.choices:
            return {"choices": list(self.choices)}
        return {"low": self.low, "high": self.high, "log": self.log}


@dataclass(frozen=True)
class RecipeDecisions:
    """The decisions of a recipe; false where there are none.

    Settings that do nothing under the others, such as the momentum of adamw, are left out of what is decided, so that
    two trials never differ in them alone.
    """

    decisions: Mapping[str, RecipeDecision] = field(default_factory=dict)
    """By setting; those that decide whether others do anything come first."""
    base: Recipe = field(default_factory=Recipe)
    """What all other settings are."""

    def __bool__(self) -> bool:
        return bool(self.decisions)

    def is_active(self, name: str, values: Values) -> bool:
        """Whether a setting does anything under the values of others."""
        needs = _NEEDS.get(name)
        return needs is None or needs.holds(values.get(needs.of, getattr(self.base, needs.of)))

    def chosen(self, pick: Callable[[RecipeDecision], Any]) -> dict[str, Any]:
        """Return what `pick` takes for each decision that is active under those before it."""
        values: dict[str, Any] = {}
        for name, decision in self.decisions.items():
            if self.is_active(name, values):
                values[name] = pick(decision)
        return values

    def draw(self, rng: random.Random) -> dict[str, Any]:
        """Draw every decision."""
        return self.chosen(lambda decision: decision.draw(rng))

    def nearest(self, values: Values | None = None) -> dict[str, Any]:
        """Return the decisions that come nearest to some values, and where they say nothing to those of `base`."""
        given = values or {}
        return self.chosen(lambda one: one.nearest(given.get(one.name, getattr(self.base, one.name))))

    def states(self, values: Values) -> bool:
        """Whether values decide all that is active, and nothing else."""
        return (
            values.keys() <= self.decisions.keys()
            and all(self.decisions[name].holds(value) for name, value in values.items())
            and values.keys() == {name for name in self.decisions if self.is_active(name, values)}
        )

    def are_near(self, values: Values, others: Values, share: float) -> bool:
        """Whether two recipes have the same choices, and no number further apart than a share of its range."""
        return values.keys() == others.keys() and all(
            self.decisions[name].is_near(value, others[name], share) for name, value in values.items()
        )

    def problem(self, values: Values) -> str:
        """Return why values make no recipe together; empty where they do."""
        if not values:
            return ""
        try:
            replace(self.base, **values)
        except ConfigError as error:
            return f"no recipe: {error}"
        return ""

    def possible(self, name: str) -> tuple[Any, ...]:
        """Return what a setting of the recipe may be: choices, the ends of a range, or the one value that it has."""
        return self.decisions[name].ends if name in self.decisions else (getattr(self.base, name),)

    @cached_property
    def recipes(self) -> list[dict[str, Any]] | None:
        """All that can be decided; None where there is a range of real numbers, or more than 100,000 of them."""
        if any(not one.choices and not one.whole for one in self.decisions.values()):
            return None
        options = {name: one.choices or range(int(one.low), int(one.high) + 1) for name, one in self.decisions.items()}
        if math.prod(map(len, options.values())) > _MOST_RECIPES:
            return None
        found: list[dict[str, Any]] = [{}]
        for name, values in options.items():
            more = [{name: value} for value in values]
            found = [{**before, **one} for before in found for one in (more if self.is_active(name, before) else [{}])]
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the decisions in their explicit form, as plain values."""
        return {name: decision.to_dict() for name, decision in self.decisions.items()}


NOTHING_DECIDED = RecipeDecisions()
"""Of a search whose trials all have one recipe."""


def recipe_decisions(values: Mapping[str, Any], base: Recipe | None = None, where: str = WHERE) -> RecipeDecisions:
    """Read the decisions of a recipe.

    A list of two numbers is a range, and any other list is choices; `{choices: [...]}` are always choices, and
    `{low: ..., high: ...}` is always a range. Ranges of `lr` and `weight_decay` are logarithmic and others linear,
    unless `log` says otherwise. A range of batch sizes is its low end, doubled until the high one.

    Args:
        values: by setting of the recipe.
        base: what all other settings are; by default those of `Recipe()`.
        where: the values were stated, for messages.

    Raises:
        ConfigError: there is no such setting (the nearest is named), it cannot be decided, a value is none that it may
            have, or no decision at all makes a recipe.
    """
    base = base if base is not None else Recipe()
    known = [member.name for member in fields(Recipe)]
    given = {}
    for name, value in values.items():
        if name not in known:
            raise ConfigError(f"{where}: the recipe has no setting {name!r}. {nearest(name, known)}")
        if name in _NOT_DECIDED:
            raise ConfigError(f"{where}.{name} cannot be decided: {_NOT_DECIDED[name]}")
        if value is not None:
            given[name] = _decision(name, value, f"{where}.{name}")
    found = RecipeDecisions({name: given[name] for name in sorted(given, key=lambda name: name in _NEEDS)}, base)
    for name in found.decisions.keys() & _NEEDS.keys():
        needs = _NEEDS[name]
        if not any(map(needs.holds, found.possible(needs.of))):
            raise ConfigError(
                f"{where}.{name} does nothing unless {needs.rule}, but that is {getattr(base, needs.of)!r}; "
                f"set it, or decide {where}.{needs.of} too"
            )
    rng = random.Random(0)
    problems = [found.problem(found.draw(rng)) for _ in range(_DRAWS if found else 0)]
    if problems and all(problems):
        raise ConfigError(f"{where} leaves {problems[0]}")
    return found


def _decision(name: str, value: Any, path: str) -> RecipeDecision:
    if isinstance(value, Mapping):
        return _explicit(name, value, path)
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ConfigError(f"{path} must be {_FORMS}, but got {value!r:.80}; train.{name}={value} sets one value")
    if len(value) == 2 and _is_number(name) and all(_number(one) for one in value):
        return _range(name, *value, log=None, path=path)
    return _choices(name, value, path)


def _explicit(name: str, value: Mapping[str, Any], path: str) -> RecipeDecision:
    keys = set(value)
    if keys == {"choices"} and isinstance(value["choices"], Sequence) and not isinstance(value["choices"], str):
        return _choices(name, value["choices"], path)
    if {"low", "high"} <= keys <= {"low", "high", "log"}:
        if not _is_number(name):
            raise ConfigError(f"{path}: train.{name} is no number, so that it has no range; give {{choices: [a, b]}}")
        log = value.get("log")
        if log is not None and not isinstance(log, bool):
            raise ConfigError(f"{path}.log must be true or false, but got {log!r:.80}")
        return _range(name, value["low"], value["high"], log=log, path=path)
    unknown = sorted(map(str, keys - {"choices", "low", "high", "log"}))
    hint = f" {nearest(unknown[0], ['choices', 'low', 'high', 'log'])}" if unknown else ""
    raise ConfigError(f"{path} must be {_FORMS}, but got {dict(value)!r:.80}.{hint}")


def _range(name: str, low: Any, high: Any, *, log: bool | None, path: str) -> RecipeDecision:
    low, high = (checked_value(Recipe, name, end, path) for end in (low, high))
    if low is None or high is None or not low < high:
        raise ConfigError(f"{path}: `low < high` must hold, but got low {low} and high {high}")
    if name == _DOUBLING:
        return _doubling(name, low, high, log, path)
    log = name in _LOGARITHMIC if log is None else log
    if log and low <= 0:
        raise ConfigError(
            f"{path}: a logarithmic range must begin above 0, but got {low:g}; begin a little above it, or take "
            f"{{low: {low:g}, high: {high:g}, log: false}}"
        )
    return RecipeDecision(name, low=low, high=high, log=log, whole=isinstance(low, int) and isinstance(high, int))


def _doubling(name: str, low: int, high: int, log: bool | None, path: str) -> RecipeDecision:
    sizes = [low]
    while sizes[-1] < high:
        sizes.append(2 * sizes[-1])
    if sizes[-1] != high or log is False:
        raise ConfigError(
            f"{path}: a range of batch sizes doubles from its low end to the high one, as [32, 128] is 32, 64 and 128, "
            f"but got low {low} and high {high}{' without log' * (log is False)}; {{choices: [{low}, {high}]}} takes "
            "what is listed"
        )
    return RecipeDecision(name, tuple(sizes))


def _choices(name: str, values: Sequence[Any], path: str) -> RecipeDecision:
    checked = [checked_value(Recipe, name, value, path) for value in values]
    different = [one for place, one in enumerate(checked) if not any(same_value(one, two) for two in checked[:place])]
    if len(different) < 2 or len(different) < len(checked):
        raise ConfigError(f"{path} must be of two or more different values, but got {list(values)!r:.80}")
    return RecipeDecision(name, tuple(checked))


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_number(name: str) -> bool:
    return any(member.name == name and isinstance(said.allowed, Range) for member, said in declarations(Recipe))


def with_prefix(recipe: Values) -> dict[str, Any]:
    """Return decisions of a recipe by their names beside those of a network."""
    return {f"{PREFIX}{name}": value for name, value in recipe.items()}


def without_prefix(decisions: Values) -> dict[str, Any]:
    """Return those of some decisions that are of the recipe, by their settings."""
    return {name.removeprefix(PREFIX): value for name, value in decisions.items() if name.startswith(PREFIX)}


def recipe_text(recipe: Values) -> str:
    """Return decisions of a recipe for people, such as `lr 0.00123, batch_size 64`."""
    return ", ".join(f"{name} {value_text(value)}" for name, value in recipe.items())


def value_text(value: Any) -> str:
    """Return a value of a recipe for people, as settings have it: true, null, and numbers with four digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)
