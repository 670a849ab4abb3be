"""Uniform networks of a space: what they are, that they hold the limits, and that they are as large as these allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import pytest

import nas
from nas.cost import Constraint
from nas.resources import space_names
from nas.space.designs import Design, uniform_designs
from nas.space.feasible import examine
from nas.space.fit import fit_to_limits, widened
from nas.space.tree.genotype import Names
from nas.space.tree.nodes import Choice, Pick

PARAMS, MACS = 200_000, 8_000_000
_FITS = {"small_images": 1.0, "mbconv": 2**-0.75, "mixed": 2**-0.75}
"""What `fit_to_limits` multiplies the widths of a space by."""
LIMITS = (Constraint("params", high=PARAMS), Constraint("macs", high=MACS))


def _designs(space: nas.SearchSpace, limits: Sequence[Constraint], most: int = 6) -> list[Design]:
    return uniform_designs(space, lambda genotype: examine(space, genotype, limits), limits, most)


@cache
def _fitted(name: str) -> nas.SearchSpace:
    space = nas.load_space(name).for_data((1, 28, 28), 10, task="classification")
    return widened(space, _FITS[name])


@cache
def _of(name: str) -> list[Design]:
    return _designs(_fitted(name), LIMITS)


def _kinds(design: Design) -> set[str]:
    return {block.kind for stage in design.candidate.architecture.stages for block in stage.blocks}


@pytest.mark.parametrize("name", ["small_images", "mbconv"])
def test_they_hold_the_limits_and_use_them(name: str) -> None:
    designs = _of(name)
    assert len({design.candidate.architecture.arch_id for design in designs}) == 6
    for design in designs:
        space, genotype = _fitted(name), design.candidate.genotype
        cost = nas.cost_of(space.decode(genotype))
        assert cost.params <= PARAMS
        assert cost.macs <= MACS
        assert max(cost.params / PARAMS, cost.macs / MACS) >= 0.5
        assert space.encode(space.decode(genotype)) == genotype


def test_the_kinds_of_blocks_come_first() -> None:
    kinds = ["conv", "residual_basic", "residual_bottleneck", "mbconv", "fused_mbconv", "convnext"]
    assert [design.name for design in _of("small_images")] == [f"{kind} blocks" for kind in kinds]
    assert [_kinds(design) for design in _of("small_images")] == [{kind} for kind in kinds]
    assert [design.name for design in _of("mbconv")] == [
        f"{kind} blocks{growth}" for growth in ("", ", deeper", ", wider") for kind in ("mbconv", "fused_mbconv")
    ]
    assert [_kinds(design) for design in _of("mbconv")] == [{"mbconv"}, {"mbconv", "fused_mbconv"}] * 3


def test_deeper_ones_have_more_blocks_and_wider_ones_more_channels() -> None:
    plain, deeper, wider = (_of("mbconv")[place].candidate.architecture for place in (0, 2, 4))

    def depth(arch: nas.Architecture) -> int:
        return sum(len(stage.blocks) for stage in arch.stages)

    def width(arch: nas.Architecture) -> int:
        widths = [dict(block.settings)["out_channels"] for stage in arch.stages for block in stage.blocks]
        return max(width for width in widths if isinstance(width, int))

    assert depth(deeper) > depth(plain) > depth(wider)
    assert width(deeper) < width(plain) < width(wider)


def test_one_is_near_the_network_that_a_person_wrote_for_these_limits() -> None:
    # Stem without stride, inverted residuals with widths 16, 24, 48, 64 and expansion 4: 109,354 parameters, 7.68 M
    # multiply-adds. It is not in the space, whose last width is 1, 1.5 or 2 times the one before.
    (design,) = (design for design in _of("small_images") if design.name == "mbconv blocks")
    cost, arch = design.candidate.cost, design.candidate.architecture
    assert cost is not None
    assert abs(cost.params / 109_354 - 1) < 0.1
    assert abs(cost.macs / 7_680_000 - 1) < 0.05
    assert dict(arch.stem.blocks[0].settings)["stride"] == 1
    widths = [dict(stage.blocks[0].settings)["out_channels"] for stage in arch.stages]
    assert widths == [12, 24, 48, 72]


def _pick(genotype: Mapping[str, Any]) -> Pick:
    """Take the decisions of a genotype, and the middle option of those that it does not have."""

    def pick(choice: Choice, path: str, copies: int, names: Names) -> int:
        return choice.values.index(genotype[path]) if path in genotype else (len(choice.options) - 1) // 2

    return pick


@pytest.mark.parametrize("place", range(6))
def test_nothing_that_sizes_them_can_be_raised_by_itself(place: int) -> None:
    space, genotype = _fitted("mbconv"), _of("mbconv")[place].candidate.genotype
    raised = 0
    for path, choice in space.decisions().items():
        index = choice.index_of(genotype[path]) if path in genotype else None
        if not path.endswith(("depth", "out_channels")) or index is None or index + 1 == len(choice.values):
            continue
        changed = {**genotype, path: choice.values[index + 1]}
        larger = space.resolve(_pick(changed))
        cost = nas.cost_of(space.decode(larger))
        assert cost.params > PARAMS or cost.macs > MACS, path
        raised += 1
    assert raised > 3


def test_fewer_are_the_first_of_more() -> None:
    fewer = _designs(_fitted("mbconv"), LIMITS, 3)
    assert [design.candidate.genotype for design in fewer] == [one.candidate.genotype for one in _of("mbconv")[:3]]
    assert _designs(_fitted("mbconv"), LIMITS, 1)[0].candidate.genotype == fewer[0].candidate.genotype


def _space(*stages: Mapping[str, Any], **words: Any) -> nas.SearchSpace:
    values = {"assume": {"channels": 1, "resolution": 32, "num_classes": 10}, "stages": list(stages), **words}
    return nas.SearchSpace.from_dict({**values, "head": {"block": "classifier"}}, "own")


_WIDE = {"block": "conv", "out_channels": {"choose": [8, 16, 32, 64]}, "norm": None, "bias": False}


@pytest.mark.parametrize(("limit", "width"), [(8 * 9 + 90, 8), (600, 16), (16 * 9 + 170, 16), (64 * 9 + 650, 64)])
def test_the_width_is_the_largest_that_holds(limit: int, width: int) -> None:
    # 9 weights a channel in the convolution, 10 and 10 biases behind it: 19 width + 10.
    (design,) = _designs(_space(_WIDE), [Constraint("params", high=limit)], 1)
    assert design.name == "own"
    assert design.candidate.genotype == {"stages.0.out_channels": width}
    assert 19 * width + 10 <= limit
    assert width == 64 or 19 * 2 * width + 10 > limit


def test_nothing_holds_limits_below_the_smallest() -> None:
    assert _designs(_space(_WIDE), [Constraint("params", high=19 * 8 + 9)]) == []


def test_a_lower_limit_holds_too() -> None:
    assert _designs(_space(_WIDE), [Constraint("params", low=700, high=1200)], 1) == []  # 618 and 1,226 are nearest
    (design,) = _designs(_space(_WIDE), [Constraint("params", low=600, high=1200)], 1)
    assert design.candidate.genotype == {"stages.0.out_channels": 32}


def test_without_a_limit_everything_is_in_the_middle() -> None:
    stage = {**_WIDE, "depth": {"range": [1, 5]}, "kernel": {"choose": [3, 5, 7]}}
    (design,) = _designs(_space(stage), [Constraint("receptive_field", low=1)])
    assert design.candidate.genotype == {"stages.0.depth": 3, "stages.0.out_channels": 16, "stages.0.kernel": 5}


_STRIDED = [{**_WIDE, "out_channels": 8, "stride": {"choose": [1, 2]}} for _ in range(4)]


@pytest.mark.parametrize(
    ("size", "strides"),
    [(8, [1, 1, 1, 1]), (16, [1, 1, 1, 2]), (32, [1, 1, 2, 2]), (64, [1, 2, 2, 2]), (224, [2, 2, 2, 2])],
)
def test_maps_end_near_7_positions_with_the_latest_strides(size: int, strides: list[int]) -> None:
    space = _space(*_STRIDED).for_data((1, size, size), 10)
    (design,) = _designs(space, [Constraint("params", high=1e6)], 1)
    assert [design.candidate.genotype[f"stages.{i}.stride"] for i in range(4)] == strides


def test_earlier_strides_come_where_nothing_else_holds_the_limits() -> None:
    space = _space(*_STRIDED).for_data((1, 8, 8), 10)
    least = nas.cost_of(space.decode({f"stages.{i}.stride": 2 for i in range(4)})).macs
    (design,) = _designs(space, [Constraint("macs", high=least)], 1)
    assert set(design.candidate.genotype.values()) == {2}


def test_a_kind_that_is_no_option_somewhere_is_the_first_one_there() -> None:
    kinds = {"choose": ["conv", "separable_conv"]}
    space = _space(
        {"block": kinds, "out_channels": 8}, {"block": {"choose": ["residual_basic", "conv"]}, "out_channels": 8}
    )
    found = {design.name: design.candidate.genotype for design in _designs(space, [Constraint("params", high=1e5)])}
    assert found["separable_conv blocks"] == {"stages.0.block": "separable_conv", "stages.1.block": "residual_basic"}
    assert found["conv blocks"] == {"stages.0.block": "conv", "stages.1.block": "conv"}


def test_families_take_turns() -> None:
    names = [design.name.partition(",")[0] for design in _of("mixed")]
    assert names == ["mbconv", "mobilenet_v3", "resnet", "densenet", "inception", "vgg"]


def test_a_cell_of_nothing_is_no_design() -> None:
    space = nas.load_space("nasbench201")
    designs = _designs(space, [Constraint("params", high=2e6)])
    assert [design.name for design in designs] == ["conv_3x3 blocks"]  # 1x1 and pooling use less than half as much


@pytest.mark.slow
@pytest.mark.parametrize("name", ["small_images", "mbconv"])
def test_the_spaces_are_as_a_search_takes_them(name: str) -> None:
    space = nas.load_space(name).for_data((1, 28, 28), 10, task="classification")
    assert fit_to_limits(space, LIMITS).multiplier == pytest.approx(_FITS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in space_names() if not name.startswith("reference/")])
def test_every_space_has_one(name: str) -> None:
    space = nas.load_space(name)
    params = sorted(nas.cost_of(space.decode(space.sample(seed))).params for seed in range(30))
    limits = [Constraint("params", high=params[15])]
    designs = _designs(space, limits)
    assert designs
    for design in designs:
        assert nas.cost_of(space.decode(design.candidate.genotype)).params <= params[15]
