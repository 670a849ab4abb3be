"""One suite over every space that comes with nas."""

from __future__ import annotations

import random

import optuna
import pytest

import nas
from nas.resources import resource_dir


@pytest.mark.parametrize("name", nas.space_names())
def test_random_networks_round_trip(name: str) -> None:
    space, rng = nas.load_space(name), random.Random(1)
    for _ in range(200 if space.size() > 1 else 1):
        genotype = space.sample(rng)
        arch = space.decode(genotype)
        assert space.encode(arch) == genotype
        again = nas.Architecture.from_json(arch.to_json())
        assert again == arch
        assert again.to_json() == arch.to_json()
        assert again.arch_id == arch.arch_id
        assert nas.cost_of(again) == nas.cost_of(arch)


def test_2000_networks_of_mbconv_round_trip() -> None:
    space, rng = nas.load_space("mbconv"), random.Random(2)
    for _ in range(2000):
        genotype = space.sample(rng)
        arch = space.decode(genotype)
        assert space.encode(arch) == genotype
        assert nas.Architecture.from_json(arch.to_json()) == arch


@pytest.mark.parametrize("name", nas.space_names())
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 224, 224)])
def test_every_space_takes_any_image(name: str, shape: tuple[int, ...]) -> None:
    space = nas.load_space(name).for_data(shape, 7)
    arch = space.decode(space.sample(0))
    assert arch.input_shape == shape
    assert nas.lower(arch).out_shape == (7,)


@pytest.mark.parametrize("name", nas.space_names())
def test_the_header_names_the_command(name: str) -> None:
    text = (resource_dir("search_spaces") / f"{name}.yaml").read_text()
    header = text[: text.index("name:")]
    assert all(line.startswith("#") for line in header.splitlines())
    assert f"python -m nas.search +space={name}" in header


@pytest.mark.parametrize("name", nas.space_names())
def test_a_genotype_is_the_params_of_an_optuna_trial(name: str) -> None:
    space = nas.load_space(name)
    study = optuna.create_study(sampler=nas.sampler("random", seed=0))
    for _ in range(20):
        trial = study.ask()
        genotype = space.suggest(trial)
        assert trial.params == genotype
        assert space.encode(space.decode(genotype)) == genotype
        study.tell(trial, 0.0)
