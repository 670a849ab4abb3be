"""Two networks are the same exactly where their ids are, which are mostly not needed to say so."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

import nas
from nas.network.comparison import same_network
from tests.network.test_equal_networks import OTHER, SAME


@pytest.mark.parametrize("name", [*SAME, *OTHER])
def test_descriptions_of_one_network_and_of_others(name: str) -> None:
    first, second = SAME.get(name) or OTHER[name]
    assert same_network(first, second) == (first.arch_id == second.arch_id) == (name in SAME)


@pytest.mark.parametrize("name", ["nasbench201", "small_images", "mixed", "densenet"])
def test_whatever_the_genotypes(name: str) -> None:
    """Random ones and their mutants, of which some are the same network: against the ids."""
    space, rng = nas.load_space(name), random.Random(5)
    drawn = [space.sample(rng) for _ in range(5)]
    mutants = [space.mutate(genotype, rng) for genotype in drawn for _ in range(5)]
    archs = [space.decode(genotype) for genotype in (*drawn, *mutants)]
    for first, second in combinations(archs, 2):
        assert same_network(first, second) == (first.arch_id == second.arch_id)


def _cell(*edges: str) -> nas.Architecture:
    space = nas.load_space("nasbench201")
    return space.decode(dict(zip(sorted(space.decisions()), edges, strict=True)))


def test_cells_that_differ_in_what_nothing_reads_or_in_the_order_of_their_nodes_are_told_without_ids() -> None:
    first = _cell("conv_3x3", "pool_3x3", "none", "skip", "none", "conv_1x1")
    unread = _cell("conv_1x1", "pool_3x3", "none", "skip", "none", "conv_1x1")
    swapped = _cell("pool_3x3", "conv_3x3", "none", "skip", "conv_1x1", "none")
    turned = _cell("conv_1x1", "pool_3x3", "none", "skip", "none", "conv_3x3")
    assert same_network(first, unread)
    assert same_network(first, swapped)
    assert not same_network(first, turned)
    assert not any("arch_id" in vars(arch) for arch in (first, unread, swapped, turned))
    assert first.arch_id == unread.arch_id == swapped.arch_id != turned.arch_id
