"""A base and the coefficients that scale it, searched together: what the language says is what `nas.scale` does."""

import random

import pytest

import nas
from nas.cost import constraints_from, cost_of
from nas.errors import ShapeError
from nas.space.feasible import feasible

COEFFICIENTS = ("let.alpha", "let.beta", "let.gamma")


@pytest.mark.parametrize("size", [8, 28, 224])
def test_its_networks_are_its_bases_scaled(size: int) -> None:
    space, rng = nas.load_space("mbconv_compound").for_data((1, size, size), 10), random.Random(size)
    known = 0
    while known < 30:
        genotype = space.sample(rng)
        alpha, beta, gamma = (float(str(genotype[name])) for name in COEFFICIENTS)
        base = space.decode({**genotype, **dict.fromkeys(COEFFICIENTS, 1.0)})
        try:
            expected = nas.scale(base, alpha, beta, round(size * gamma), head="scale")
            cost_of(base)
        except ShapeError:
            continue
        assert expected.input_shape == (1, round(size * gamma), round(size * gamma))
        assert space.decode(genotype) == expected, genotype
        known += 1


def test_limits_hold_for_the_scaled_network() -> None:
    space = nas.load_space("mbconv_compound")
    candidate, _ = feasible(space, constraints_from({"macs": [3e6, 4e6]}), random.Random(1))
    assert candidate.accepted
    assert 3e6 <= cost_of(space.decode(candidate.genotype)).macs <= 4e6
