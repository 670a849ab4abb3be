"""Decisions between true and 1: two options, wherever they are compared."""

from __future__ import annotations

from typing import Any

import pytest

import nas
from nas.errors import SpaceError

SPACE = nas.SearchSpace.from_dict(
    {
        "assume": {"channels": 1, "resolution": 8, "num_classes": 2},
        "let": {"wide": {"choose": [1, True]}},
        "stages": [{"block": "conv", "out_channels": "= 8 if wide == 1 else 16", "kernel": {"choose": [1, 3]}}],
        "head": {"block": "classifier"},
    }
)


def _typed(genotype: dict[str, Any]) -> set[tuple[str, type, Any]]:
    return {(path, type(value), value) for path, value in genotype.items()}


def test_they_are_two_genotypes() -> None:
    assert SPACE.size() == 4
    assert len({frozenset(_typed(genotype)) for genotype in SPACE.enumerate()}) == 4


def test_each_is_decoded_and_kept_by_repair() -> None:
    for genotype in SPACE.enumerate():
        SPACE.decode(genotype)
        assert _typed(SPACE.crossover(genotype, genotype, 0)) == _typed(genotype)
    with pytest.raises(SpaceError, match="got True"):
        SPACE.decode({"let.wide": 1, "stages.0.kernel": True})


def test_each_is_a_neighbour_of_the_other() -> None:
    (first,) = [g for g in SPACE.neighbours({"let.wide": 1, "stages.0.kernel": 3}) if g["stages.0.kernel"] == 3]
    assert first["let.wide"] is True
    changed = [SPACE.mutate(first, seed) for seed in range(20)]
    assert {type(g["let.wide"]) for g in changed if g["stages.0.kernel"] == 3} == {int}
