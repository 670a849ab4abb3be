"""The commands that repeat a search, from the settings in its record."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from typing import Any

from nas.errors import NasError
from nas.search.config import Config
from nas.search.trial import Trial
from nas.settings import as_recorded
from nas.to_type import to_type
from nas.training.recipe_files import read_data_config, read_recipe
from nas.training.tasks.registry import AUTO

_RECIPES = ("adamw", "sgd", "short", "standard", "airbench", "efficientnet", "fine_tune", "resnet_rs", "vit")
_NOT_REPEATED = frozenset({"name", "resume", "space"})
"""Settings of one run folder, and the space, which has a word of its own."""
_BY_NAME = ("sampler", "pruner", "evaluator", "executor", "data")
"""Groups of which one file of settings is chosen."""


def search_command(config: Mapping[str, Any]) -> str:
    """Return the command that makes a search with the same settings; those that have their default are left out.

    Args:
        config: the settings in the record of a search.
    """
    recorded = as_recorded(Config, config)
    words = [f"+space={recorded.get('space')}"]
    usual = _defaults()
    for group in _BY_NAME:
        name = recorded.get(group, {}).get("name")
        if name is not None and (name != usual.get(group, {}).get("name") or group == "data"):
            words.append(f"{group}={name}")
    recipe, train = _nearest_recipe(recorded.get("train", {}))
    words += [f"recipe={recipe}"] * (recipe != _RECIPES[0])
    usual = {**usual, "train": train, "data": _data_defaults(recorded.get("data", {}))}
    usual["search"] = {**usual["search"], "objective": _usual_objective(recorded)}
    words += [word for word in _differences(recorded, usual) if word.split("=")[0] not in _NOT_REPEATED]
    return to_type("search", *words)


def train_command(folder: object, config: Mapping[str, Any], trial: Trial) -> str:
    """Return the command that trains the best network of a search as that did, with what it has decided of the recipe.

    Args:
        folder: of the search.
        config: the settings in its record.
        trial: of the best network.
    """
    train = {**as_recorded(Config, config).get("train", {}), **trial.recipe}
    recipe, usual = _nearest_recipe(train)
    return to_type("train", folder, f"recipe={recipe}", *_differences(train, usual, "train."), f"seed={trial.seed}")


def _defaults() -> dict[str, Any]:
    """Return the settings as they are where nothing is said."""
    usual: dict[str, Any] = {}
    for member in fields(Config):
        made = member.default_factory() if member.default_factory is not MISSING else member.default
        usual[member.name] = asdict(made) if is_dataclass(made) and not isinstance(made, type) else made
    return usual


def _usual_objective(recorded: Mapping[str, Any]) -> Any:
    """Return what `search.objective=auto` means for the evaluator and the data of a search, where they are known."""
    try:
        settings = {name: recorded[name] for name in ("space", "data", "evaluator") if name in recorded}
        return Config.from_values(settings).search.objective
    except NasError:
        return AUTO


def _data_defaults(data: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return asdict(read_data_config(str(data.get("name"))))
    except NasError:
        return {}


def _nearest_recipe(train: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the recipe that has the fewest other settings than the recorded ones, and its settings."""
    recipes = {name: asdict(read_recipe(name)) for name in _RECIPES}
    name = min(recipes, key=lambda name: sum(recipes[name].get(key) != value for key, value in train.items()))
    return name, recipes[name]


def _differences(values: Mapping[str, Any], usual: Mapping[str, Any], where: str = "") -> Iterator[str]:
    for name, value in values.items():
        path, default = f"{where}{name}", usual.get(name)
        if path.endswith(".name"):
            continue
        if isinstance(value, Mapping) and path != "search.fix" and not path.startswith("search.recipe."):
            yield from _differences(value, default if isinstance(default, Mapping) else {}, f"{path}.")
        elif value != default and not (value is None and name not in usual):
            yield f"{path}={_value(value)}"


def _value(value: Any) -> str:
    """Return a value as the command line of Hydra takes it."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{name}: {_value(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_value, value))}]"
    if isinstance(value, float) and value == round(value) and abs(value) < 1e15:
        return f"{value:.0f}"
    return value if isinstance(value, str) else json.dumps(value)
