"""A network that a space states by another description is found: `arch_id` says whether it is the same one."""

from __future__ import annotations

from typing import Any

import pytest

import nas
from nas.errors import SpaceError

CONV = {"block": "conv", "out_channels": 8}
HEAD = {"block": "classifier"}
KERNELS = {"choose": [1, 3, 5, 7], "per": "block"}
LARGE = {**CONV, "kernel": KERNELS, "bias": {"choose": [True, False], "per": "block"}, "depth": {"range": [0, 6]}}


def _space(*stages: Any, **words: Any) -> nas.SearchSpace:
    assumed = {"resolution": 16, "num_classes": 4}
    return nas.SearchSpace.from_dict({"assume": assumed, "stages": list(stages), "head": HEAD, **words})


@pytest.mark.parametrize(
    ("space", "other"),
    [
        # An identity for no block, and no block for an identity, in small spaces and in one of 10^5 genotypes.
        (_space({**CONV, "depth": {"range": [0, 1]}}), _space({"block": "identity"})),
        (_space(LARGE, {**LARGE, "depth": 3}), _space({"block": "identity", "depth": 3}, {**CONV, "depth": 3})),
        (
            _space({"block": {"choose": {"conv": {**CONV}, "identity": {}}, "per": "block"}, "depth": 5}, LARGE),
            _space({**CONV, "depth": 2}, {**CONV, "kernel": 5}),
        ),
        # In another stage, and in another number of stages.
        (_space({**CONV, "depth": {"range": [0, 2]}}, LARGE), _space({"blocks": [CONV] * 3}, {**CONV, "kernel": 1})),
        (_space(CONV, LARGE), _space({"blocks": [CONV, {**CONV, "kernel": 7}]})),
        # Another block of the same graph: a branch alone.
        (_space({"block": "parallel", "branches": [LARGE]}, {**LARGE, "depth": 1}), _space(CONV, CONV)),
        # Decided by names: a value, a depth, the resolution, a block.
        (
            _space(
                {**LARGE, "out_channels": "= w", "depth": "= d"},
                {"block": "= u", "depth": {"range": [0, 3]}},
                let={
                    "w": {"choose": [4, 8]},
                    "d": {"choose": [1, 2]},
                    "u": {
                        "block": {"choose": {"conv": {"kernel": {"choose": [3, 5]}}, "separable_conv": {}}},
                        "out_channels": 8,
                    },
                },
                resolution={"choose": [16, 24]},
            ),
            _space(
                {**CONV, "kernel": 5},
                {"block": "identity"},
                {**CONV, "kernel": 3, "depth": 2},
                assume={"resolution": 24, "num_classes": 4},
            ),
        ),
    ],
)
def test_an_equal_network_is_found(space: nas.SearchSpace, other: nas.SearchSpace) -> None:
    arch = other.decode(other.sample(0))
    found = space.decode(space.encode(arch))
    assert found.arch_id == arch.arch_id
    assert nas.cost_of(found) == nas.cost_of(arch)


def test_a_network_that_is_not_equal_is_not_found() -> None:
    space = _space(LARGE, {**LARGE, "depth": 3})
    for change in ({"out_channels": 9}, {"depth": 10}, {"depth": 2}, {"kernel": 9}):
        with pytest.raises(SpaceError, match="not in space"):
            space.encode(_space({**CONV, **change}).decode({}))


def test_every_genotype_of_a_large_space_is_found_with_identities_between_its_blocks() -> None:
    space = nas.load_space("mbconv")
    for seed in range(6):
        arch = space.decode(space.sample(seed))
        values = arch.to_dict()
        for stage in values["stages"]:
            stage.insert(seed % (len(stage) + 1), {"block": "identity"})
        equal = nas.Architecture.from_dict(values)
        assert equal != arch
        assert space.decode(space.encode(equal)) == arch


@pytest.mark.parametrize("size", [8, 12, 20])
def test_the_same_blocks_for_another_input_are_not_the_network(size: int) -> None:
    space = _space({**CONV, "depth": {"range": [0, 1]}})
    other = _space({"block": "identity"}, assume={"resolution": size, "num_classes": 4}).decode({})
    with pytest.raises(SpaceError, match="not in space"):
        space.encode(other)


def test_without_a_word_on_it_a_space_is_for_imagenets_input() -> None:
    """Colour images of 224x224 in 1,000 classes."""
    space = nas.SearchSpace.from_dict({"stages": [CONV], "head": HEAD})
    assert (space.input_shape, space.num_classes) == ((3, 224, 224), 1000)
    series = nas.SearchSpace.from_dict({"assume": {"dims": 1}, "stages": [CONV], "head": HEAD})
    assert series.input_shape == (3, 224)
