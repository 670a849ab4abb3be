"""Every number of the settings has a range, and what is outside is refused with the rule and the value."""

from __future__ import annotations

import math
import os
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest

import nas
from nas.commands.compare import CompareConfig
from nas.commands.spaces import SpacesConfig
from nas.errors import ConfigError, DataError, NasError, SpaceError
from nas.scaling.study.config import CoefficientSearch, PlanSettings, ScaleConfig
from nas.search.config import Config, InferenceSettings
from nas.search.settings import SamplerSettings, SearchSettings
from nas.settings import Range
from nas.training.data.config import DataConfig
from nas.training.recipe import Recipe

SETTINGS: list[Any] = [
    Recipe,
    DataConfig,
    SearchSettings,
    SamplerSettings,
    InferenceSettings,
    CoefficientSearch,
    PlanSettings,
]
OUTSIDE = [-1.0, 1e300, math.nan, math.inf, -math.inf]


def _numbers() -> list[tuple[Any, str]]:
    """Every field that holds a number."""
    return [
        (kind, one.name)
        for kind in SETTINGS
        for one in fields(kind)
        if {int, float} & set(getattr(get_type_hints(kind)[one.name], "__args__", [get_type_hints(kind)[one.name]]))
    ]


@pytest.mark.parametrize(("kind", "name"), _numbers())
def test_no_number_is_without_bounds(kind: Any, name: str) -> None:
    for value in OUTSIDE:
        with pytest.raises(ConfigError, match=name):
            kind(**{name: value})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Recipe(lr=1e300), r"train.lr must be <= 100, but got 1e\+300"),
        (lambda: Recipe(batch_size=10**9), "train.batch_size must be <= 65,536, but got 1000000000"),
        (lambda: Recipe(epochs=10**400), "train.epochs must be <= 100,000, but got a number of 1329 bits"),
        (lambda: Recipe(lr="1"), "train.lr must be a number, but got '1'"),  # type: ignore[arg-type]
        (lambda: Recipe(epochs=True), "train.epochs must be a whole number, but got True"),
        (
            lambda: DataConfig(val_fraction=0.9, test_fraction=0.9),
            r"`val_fraction \+ test_fraction < 1` must hold.*0.9 \+ 0.9",
        ),
        (lambda: DataConfig(split_seed=2**32), "data.split_seed must be <= 4,294,967,294"),
        (lambda: Config(space="mbconv", workers=10**8), "workers must be .* from 1 to 1,024, but got 100000000"),
        (lambda: ScaleConfig(space="reference/resnet18", workers=10**8), "workers must be .* from 1 to 1,024"),
        (lambda: CompareConfig(space="mbconv", workers=10**8), "workers must be .* from 1 to 1,024"),
        (lambda: CompareConfig(space="mbconv", seeds=10**8), "seeds must be <= 10,000, but got 100000000"),
        (lambda: CompareConfig(space="mbconv", trials=0), "trials must be >= 1, but got 0"),
        (lambda: SpacesConfig(spaces=["mbconv", "resnet"], workers=10**8), "workers must be .* from 1 to 1,024"),
        (lambda: SpacesConfig(spaces=["mbconv", "resnet"], trials=10**8), "trials must be <= 10,000,000"),
        (lambda: ScaleConfig(space="reference/resnet18", resolution=10**9), "resolution must be <= 16,384"),
        (lambda: ScaleConfig(space="reference/resnet18", seeds=0), "seeds must be >= 1"),
        (lambda: ScaleConfig(space="reference/resnet18", tolerance=1.0), "`0 < tolerance < 1` must hold, but got 1.0"),
    ],
)  # fmt: skip
def test_a_number_outside_is_refused_with_the_rule(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_the_ends_are_inside_and_numpy_is_understood() -> None:
    numbers: dict[str, Any] = {"batch_size": np.int64(65_536), "momentum": np.float32(0.5)}
    recipe = Recipe(lr=100, epochs=1, **numbers)
    assert (recipe.lr, recipe.batch_size, recipe.momentum) == (100.0, 65_536, 0.5)
    assert type(recipe.batch_size) is int
    assert type(recipe.momentum) is float
    assert DataConfig(name="fashion_mnist", val_fraction=0.9).val_fraction == 0.9
    assert Range(0, 1, below=True).checked("x", 0) == 0
    with pytest.raises(ConfigError, match="`0 <= x < 1` must hold, but got 1"):
        Range(0, 1, below=True).checked("x", 1)
    with pytest.raises(ConfigError, match="x must be finite, but got inf"):
        Range(0).checked("x", math.inf)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda space: space.sample(seed=None), "seed must be a whole number, or a random.Random .*but got None"),
        (lambda space: space.sample(1.5), "but got 1.5"),
        (lambda space: space.sample("0"), "but got '0'"),
        (lambda space: space.mutate(space.sample(0), None), "seed must be a whole number"),
        (lambda _: nas.build("mbconv"), r"build takes an Architecture, but got 'mbconv'; nas\.load_space"),  # type: ignore[arg-type]
        (nas.build, r"build takes an Architecture, but got SearchSpace.*space\.decode"),
        (nas.cost_of, r"cost_of takes an Architecture, but got SearchSpace"),
        (lambda space: nas.cost_of(space.sample(0)), r"cost_of takes an Architecture, but got \{"),
        (lambda space: space.for_data((1, 28, 28), "10"), "num_classes must be a whole number .*but got '10'"),
        (lambda space: space.for_data((28, 28), 10.0), "num_classes must be a whole number .*but got 10.0"),
        (lambda space: space.for_data("28x28", 10), "input_shape must be .*but got '28x28'"),
        (lambda space: space.for_data((1, 28, "28"), 10), "input_shape must be a whole number .*but got '28'"),
    ],
)  # fmt: skip
def test_what_is_given_for_something_else_is_refused(call: Any, message: str) -> None:
    with pytest.raises(NasError, match=message):
        call(nas.load_space("mbconv"))


def test_seeds_of_numpy_are_seeds() -> None:
    space = nas.load_space("mbconv")
    seed: Any = np.int64(7)
    assert space.sample(seed) == space.sample(7)
    with pytest.raises(SpaceError, match="but got True"):
        space.sample(True)


def test_an_image_that_is_a_pipe_or_a_device_is_not_waited_for(tmp_path: Path) -> None:
    from nas.training.data.image_files import load_image_folder

    for name in ("a", "b"):
        (tmp_path / "train" / name).mkdir(parents=True)
    os.mkfifo(tmp_path / "train" / "a" / "pipe.png")
    (tmp_path / "train" / "b" / "zeros.png").symlink_to("/dev/zero")
    for resolution in (None, 8):
        with pytest.raises(DataError, match=r"2 are pipes, devices or broken links: .*pipe\.png, .*zeros\.png"):
            load_image_folder(DataConfig(name="image_folder", root=str(tmp_path), resolution=resolution))
