"""A space whose widths are multiplied: against `nas.scale`, and by hand for each way to write a number."""

from __future__ import annotations

from typing import Any

import pytest

import nas
from nas.errors import SpaceError
from nas.resources import space_names
from nas.scaling.rounding import Rounding
from nas.scaling.scale import scaled
from nas.space.fit import widened

REFERENCES = [name for name in space_names() if name.startswith("reference/")]
_MULTIPLIED = Rounding(4, stem="scale", head="scale")
_OTHERWISE = {
    "reference/inception_v3",  # channels that no setting gives
    *(f"reference/vit_{name}" for name in ("b_16", "small_16", "tiny_16")),  # heads stay as many, scale has more
}


@pytest.mark.parametrize("name", sorted({*REFERENCES} - _OTHERWISE))
@pytest.mark.parametrize("multiplier", [0.5, 2])
def test_a_published_network_is_what_scale_makes_of_it(name: str, multiplier: float) -> None:
    space = nas.load_space(name)
    assert widened(space, multiplier).decode({}) == scaled(space.decode({}), width=multiplier, rounding=_MULTIPLIED)


@pytest.mark.parametrize("name", [name for name in space_names() if name not in REFERENCES])
def test_times_1_a_space_stays_what_it_is(name: str) -> None:
    space = nas.load_space(name)
    same = widened(space, 1)
    assert same.size() == space.size()
    for seed in range(5):
        genotype = space.sample(seed)
        assert same.decode(genotype) == space.decode(genotype)


def _space(**words: Any) -> nas.SearchSpace:
    stage = {"block": "conv", "out_channels": 32, "stride": 2}
    values = {"stem": {"block": "conv", "out_channels": 16}, "stages": [stage], "head": {"block": "classifier"}}
    return nas.SearchSpace.from_dict({**values, **words})


def _options(space: nas.SearchSpace, path: str) -> list[object]:
    return [*space.decisions()[path].values]


@pytest.mark.parametrize(
    ("written", "multiplier", "options"),
    [
        ({"choose": [16, 24, 40]}, 0.5, [8, 12, 20]),
        ({"choose": [16, 20, 64]}, 0.25, [4, 8, 16]),  # 5 is nearest to 4, which is below 90 % of it
        ({"choose": [16, 17, 64]}, 0.25, [4, 16]),  # 4.25 is 4, which is there
        ({"range": [8, 24], "step": 8}, 2, [16, 32, 48]),
        ({"range": [8, 32], "factor": 2}, 0.5, [4, 8, 16]),
        ({"choose": [16, 24], "per": "block"}, 2, [32, 48]),
    ],
)
def test_each_way_to_write_a_choice(written: dict[str, Any], multiplier: float, options: list[int]) -> None:
    space = _space(stages=[{"block": "conv", "out_channels": written, "stride": 2}])
    assert _options(widened(space, multiplier), "stages.0.out_channels") == options


def test_names_keep_their_options_and_formulas_are_multiplied() -> None:
    let = {"width": {"choose": [16, 32]}, "out_channels": {"choose": [8, 24]}}
    stages = [
        {"block": "conv", "out_channels": "= width + 8"},
        {"block": "conv", "out_channels": "=out_channels"},
        {"block": "conv", "out_channels": {"if": "= width > 16", "then": 40, "else": {"choose": [24, 48]}}},
    ]
    space = widened(_space(let=let, stages=stages), 0.5)
    assert _options(space, "let.width") == [16, 32]
    assert _options(space, "let.out_channels") == [8, 24]
    assert _options(space, "stages.2.out_channels.else") == [12, 24]
    arch = space.decode({"let.width": 32, "let.out_channels": 24})
    widths = [dict(block.settings)["out_channels"] for stage in arch.stages for block in stage.blocks]
    assert widths == [20, 12, 20]  # (32 + 8) / 2, 24 / 2, 40 / 2


def test_what_counts_no_channels_stays() -> None:
    branch = {"conv1": 64, "reduce3": 96, "conv3": 128, "reduce5": 16, "conv5": 32, "pool": 32}
    chosen = {"choose": {"inception": branch, "mbconv": {"out_channels": 24, "expand_ratio": 4}}}
    space = _space(
        stem={"block": "conv", "out_channels": 16, "kernel": 5},
        stages=[{"block": chosen}],
        head={"block": "classifier", "pool": {"choose": ["avg", "max"]}, "hidden": 64},
    )
    half = widened(space, 0.5)
    assert _options(half, "head.0.pool") == ["avg", "max"]
    arch = half.decode({"stages.0.block": "inception", "head.0.pool": "max"})
    stem, inception, head = (dict(block.settings) for block in arch.blocks())
    assert (stem["out_channels"], stem["kernel"]) == (8, 5)
    assert {name: inception[name] for name in branch} == {name: width // 2 for name, width in branch.items()}
    assert (head["pool"], head["hidden"]) == ("max", 32)
    mbconv = dict(half.decode({"stages.0.block": "mbconv", "head.0.pool": "max"}).stages[0].blocks[0].settings)
    assert (mbconv["out_channels"], mbconv["expand_ratio"]) == (12, 4)


def test_it_is_a_space_that_can_be_written_and_read() -> None:
    space = widened(nas.load_space("mbconv").for_data((1, 28, 28), 10), 0.3)
    again = nas.SearchSpace.from_dict(space.to_dict()).for_data((1, 28, 28), 10)
    assert again.name == "mbconv"
    genotype = space.sample(3)
    assert again.decode(genotype) == space.decode(genotype)
    assert space.encode(space.decode(genotype)) == genotype


def test_groups_that_no_longer_divide_are_said() -> None:
    space = _space(stages=[{"block": "conv", "out_channels": 32, "groups": 8, "stride": 2}])
    with pytest.raises(SpaceError, match=r"stages\.0.*groups"):
        widened(space, 0.25)
