"""Recipes and data sets by the names of their files in `conf/`. Never loads torch."""

from __future__ import annotations

from typing import TypeVar

import yaml

from nas.errors import ConfigError, nearest
from nas.resources import resource_dir
from nas.settings import settings_from
from nas.training.data.config import DataConfig
from nas.training.recipe import Recipe

T = TypeVar("T")


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
