"""One suite over every space that comes with nas."""

from __future__ import annotations

import random
import re

import optuna
import pytest

import nas
from nas.resources import resource_dir
from tests.space.encoding import assert_encoded

pytestmark = pytest.mark.usefixtures("as_written")


@pytest.mark.parametrize("name", nas.space_names())
def test_random_networks_round_trip(name: str) -> None:
    space, rng = nas.load_space(name), random.Random(1)
    for _ in range(60 if space.size() > 1 else 1):
        genotype = space.sample(rng)
        arch = space.decode(genotype)
        assert_encoded(space, genotype, arch)
        again = nas.Architecture.from_json(arch.to_json())
        assert again == arch
        assert again.to_json() == arch.to_json()
        assert again.arch_id == arch.arch_id
        assert nas.cost_of(again) == nas.cost_of(arch)


@pytest.mark.slow
def test_2000_networks_of_mbconv_round_trip() -> None:
    space, rng = nas.load_space("mbconv"), random.Random(2)
    for _ in range(2000):
        genotype = space.sample(rng)
        arch = space.decode(genotype)
        assert space.encode(arch) == genotype
        assert nas.Architecture.from_json(arch.to_json()) == arch


def _dims(name: str) -> int:
    return len(nas.load_space(name).input_shape) - 1


SEARCHED = [name for name in nas.space_names() if "/" not in name]
SEGMENT = {"deeplab", "fpn", "unet"}
DENSE = {"reference/resnet50_fpn", "reference/unet", "reference/unet_paper"} | SEGMENT
CLASSIFY = [name for name in nas.space_names() if name not in DENSE]


@pytest.mark.parametrize("name", [name for name in SEARCHED if _dims(name) == 2])
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 224, 224)])
def test_every_space_takes_any_image(name: str, shape: tuple[int, ...]) -> None:
    space = nas.load_space(name).for_data(shape, 7)
    arch = space.decode(space.sample(0))
    assert space.chooses_resolution or arch.input_shape == shape
    assert nas.lower(arch).out_shape == ((7, *arch.input_shape[1:]) if name in SEGMENT else (7,))


@pytest.mark.parametrize("name", CLASSIFY)
def test_every_classifier_takes_any_number_of_classes(name: str) -> None:
    space = nas.load_space(name)
    arch = space.for_data(space.input_shape, 7).decode(space.sample(0))
    assert nas.lower(arch).out_shape == (7,)


@pytest.mark.parametrize("name", nas.space_names())
def test_the_header_names_paper_and_command(name: str) -> None:
    text = (resource_dir("search_spaces") / f"{name}.yaml").read_text()
    header = [line for line in text.splitlines() if line.startswith("#")]
    assert header == text.splitlines()[: len(header)]
    assert any(f"+space={name}" in line or f"load_space('{name}')" in line for line in header)
    assert re.search(r"\b(19|20)\d\d\b", text) or name == "mixed", "the paper's year"


@pytest.mark.parametrize("name", nas.space_names())
def test_a_genotype_is_the_params_of_an_optuna_trial(name: str) -> None:
    space = nas.load_space(name)
    study = optuna.create_study(sampler=nas.sampler("random", seed=0))
    for _ in range(20):
        trial = study.ask()
        genotype = space.suggest(trial)
        assert trial.params == genotype
        assert_encoded(space, genotype, space.decode(genotype))
        study.tell(trial, 0.0)
