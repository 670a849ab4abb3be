"""One suite over every space: random networks have the shapes, parameters and work of their modules, and train."""

from __future__ import annotations

import random

import pytest

import nas
from nas.errors import ShapeError
from nas.network.lower import lower
from tests.pytorch.test_blocks import check_export, check_network
from tests.space.encoding import assert_encoded

SEARCHED = [name for name in nas.space_names() if "/" not in name]


def _check(name: str, count: int, exported: int) -> None:
    space, rng = nas.load_space(name), random.Random(name)
    done = 0
    while done < count:
        genotype = space.sample(rng)
        arch = space.decode(genotype)
        assert_encoded(space, genotype, arch)
        try:
            graph = lower(arch)
        except ShapeError:  # a map too small for this depth
            continue
        check_network(graph, arch.input_shape)
        assert nas.cost_of(arch) == nas.cost.graph_cost(graph)
        if done < exported:
            check_export(graph, arch.input_shape)
        done += 1


@pytest.mark.parametrize("name", SEARCHED)
def test_a_few_networks(name: str) -> None:
    _check(name, 1, 0)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", SEARCHED)
def test_200_networks(name: str) -> None:
    _check(name, 200, 3)
