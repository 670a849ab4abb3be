"""Recipes and data sets by the names of their files in `conf/`. Never loads torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import yaml

from nas.errors import ConfigError, nearest
from nas.resources import resource_dir
from nas.settings import settings_from
from nas.training.data.config import DataConfig
from nas.training.recipe import Recipe

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RecipeHead:
    """What the head of a file in `conf/recipe` says of its recipe."""

    name: str
    """Of the recipe."""
    use: str
    """When to use it, as a phrase."""
    source: str
    """Where its values come from."""


def recipe_heads() -> tuple[RecipeHead, ...]:
    """Return what the files of `conf/recipe` say of their recipes, by name; raises `ConfigError` where one does not."""
    return tuple(
        RecipeHead(path.stem, *(_said(path.read_text(), word, path.stem) for word in ("Use", "Source")))
        for path in sorted((resource_dir("conf") / "recipe").glob("*.yaml"))
    )


def _said(text: str, word: str, name: str) -> str:
    """Return what a line of a head says behind a word."""
    start = f"# {word}: "
    found = [line.removeprefix(start).removesuffix(".") for line in text.splitlines() if line.startswith(start)]
    if len(found) != 1:
        raise ConfigError(f"conf/recipe/{name}.yaml must have a line that begins with {start!r}")
    return found[0]


def read_recipe(name: str) -> Recipe:
    """Return a recipe of `conf/recipe`; raises `ConfigError` where there is none of that name."""
    return _read(Recipe, "recipe", name)


def read_data_config(name: str) -> DataConfig:
    """Return the settings of a data set of `conf/data`; raises `ConfigError` where there is none of that name."""
    return _read(DataConfig, "data", name)


def _read(kind: type[T], group: str, name: str) -> T:
    files = {path.stem: path for path in (resource_dir("conf") / group).glob("*.yaml")}
    if name not in files:
        raise ConfigError(f"unknown {group} {name!r}. {nearest(name, files)}")
    return settings_from(kind, yaml.safe_load(files[name].read_text()), group)
