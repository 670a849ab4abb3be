"""A network made larger: against the published family, and against what scaling means."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import nas
from nas.errors import NasError
from nas.network.rounding import round_to
from nas.scaling.rounding import Rounding, round_repeats
from nas.scaling.rules import RULES
from nas.scaling.scale import channel_counts, scaled

ROWS = list(csv.DictReader((Path(__file__).parents[1] / "data" / "efficientnet_scaling.csv").open()))
SPACES = nas.space_names()


def network(name: str, seed: int = 0) -> nas.Architecture:
    """A random network of a space."""
    space = nas.load_space(name)
    return space.decode(space.sample(seed=seed))


B0 = network("reference/efficientnet_b0")


def multipliers(row: dict[str, str]) -> tuple[float, float]:
    """Depth and width of a row; the table rounds those of its pure families to four digits."""
    phi = float(row["phi"])
    if row["scheme"].startswith("pure"):
        return 1.2**phi, 1.1**phi
    if row["scheme"].startswith("width"):
        return 1.0, 2 ** (phi / 2)
    return float(row["depth"]), float(row["width"])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['scheme']} {row['phi']}")
def test_every_row_of_the_published_families_is_exact(row: dict[str, str]) -> None:
    depth, width = multipliers(row)
    scaled = nas.scale(B0, depth=depth, width=width, resolution=int(row["res"]))
    cost = nas.cost_of(scaled)
    assert (cost.params, cost.macs) == (int(row["params"]), int(row["macs"]))
    assert [len(stage.blocks) for stage in scaled.stages] == [int(n) for n in row["repeats"].split("-")]
    widths = [dict(stage.blocks[-1].settings)["out_channels"] for stage in scaled.stages]
    assert widths == [int(n) for n in row["stage_channels"].split("-")]
    assert dict(scaled.stem.blocks[0].settings)["out_channels"] == int(row["stem"])
    assert dict(scaled.head.blocks[0].settings)["out_channels"] == int(row["head"])


FAMILIES = {"pure 1.2/1.1/1.15": "compound", "depth only 2^phi": "depth", "width only 2^(phi/2)": "width"}
FAMILIES |= {"res only 2^(phi/2)": "resolution"}


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row["scheme"] in FAMILIES], ids=lambda row: f"{row['scheme']} {row['phi']}"
)
def test_rules_by_name_give_the_rows_of_their_families(row: dict[str, str]) -> None:
    scaled = RULES[FAMILIES[row["scheme"]]].apply(B0, float(row["phi"]))
    cost = nas.cost_of(scaled)
    assert (cost.params, cost.macs, scaled.input_shape[1]) == (int(row["params"]), int(row["macs"]), int(row["res"]))


@pytest.mark.parametrize("number", range(8))
def test_the_official_rule_is_the_reference_network(number: int) -> None:
    scaled = RULES["official_efficientnet"].apply(B0, number)
    space = nas.load_space(f"reference/efficientnet_b{number}").for_data(scaled.input_shape, 1000)
    assert scaled == space.decode({})


@pytest.mark.parametrize("name", SPACES)
def test_every_space_can_be_scaled(name: str) -> None:
    base = network(name)
    cost = nas.cost_of(base)
    assert nas.scale(base) == base
    larger = nas.cost_of(nas.scale(base, resolution=2 * max(base.input_shape[1:])))
    assert larger.macs > 1.5 * cost.macs
    if name == "reference/inception_v3":  # its paper's channels are no settings
        with pytest.raises(NasError, match=r"inception_a.*no setting"):
            nas.scale(base, width=2)
    else:
        wider = nas.cost_of(nas.scale(base, width=2))
        assert 1.9 < wider.params / cost.params < 4.5
    if name == "reference/lenet5":
        with pytest.raises(NasError, match="no block of this network can be repeated"):
            nas.scale(base, depth=2)
    else:
        assert nas.cost_of(nas.scale(base, depth=2)).macs > 1.1 * cost.macs


@pytest.mark.parametrize("name", ["mbconv", "conv1d", "vit", "densenet", "squeezenet", "nasbench201", "mixed"])
def test_a_scaled_network_runs_in_torch_with_as_many_parameters_as_counted(name: str) -> None:
    scaled = nas.scale(network(name, seed=1), depth=1.5, width=1.3)
    model = nas.build(scaled).eval()
    assert sum(p.numel() for p in model.parameters()) == nas.cost_of(scaled).params
    assert model(torch.zeros(2, *scaled.input_shape)).shape == (2, scaled.num_classes)
    assert nas.Architecture.from_json(scaled.to_json()) == scaled


@pytest.mark.filterwarnings("ignore:nas.scale")
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    low=st.floats(0.3, 2.5),
    more=st.floats(1.0, 1.6),
    what=st.sampled_from(["depth", "width", "resolution"]),
)
def test_more_is_never_less(seed: int, low: float, more: float, what: str) -> None:
    # Budgets are solved for by halving, which needs cost to grow with every dimension.
    base = network("mbconv", seed)

    def macs(by: float) -> int:
        sizes = {"resolution": round(32 * by)} if what == "resolution" else {what: by}
        return nas.cost_of(nas.scale(base, **sizes)).macs

    assert macs(low) <= macs(low * more)


@given(width=st.floats(0.2, 8), channels=st.integers(8, 512).map(lambda n: n // 8 * 8 or 8))
def test_channels_are_multiples_of_eight_and_not_below_nine_tenths(width: float, channels: int) -> None:
    found = round_to(channels * width, 8)
    assert found % 8 == 0
    assert found >= 0.9 * channels * width


def _narrow(channels: int) -> nas.Architecture:
    """A network whose channels are `channels` and twice as many."""
    block = {"block": "mbconv", "expand_ratio": 3}
    stages = [{**block, "out_channels": channels, "stride": 2, "depth": 2}, {**block, "out_channels": 2 * channels}]
    stem = {"block": "conv", "out_channels": channels}
    space = {"name": "narrow", "stem": stem, "stages": stages, "head": {"block": "classifier"}}
    return nas.SearchSpace.from_dict(space).for_data((1, 16, 16), 10).decode({})


def _channels(arch: nas.Architecture) -> list[int]:
    blocks = [*arch.stem.blocks, *(block for stage in arch.stages for block in stage.blocks)]
    return [
        value for block in blocks for name, value in block.settings if name == "out_channels" and type(value) is int
    ]


@pytest.mark.filterwarnings("ignore:nas.scale")
@given(channels=st.integers(1, 70), width=st.floats(0.02, 4), divisor=st.sampled_from([1, 4, 8, 16, 64]))
def test_no_channels_grow_times_less_than_one_nor_shrink_times_more(channels: int, width: float, divisor: int) -> None:
    base = _narrow(channels)
    before, after = _channels(base), _channels(nas.scale(base, width=width, divisor=divisor))
    for old, new in zip(before, after, strict=True):
        assert new <= old if width <= 1 else new >= old
        assert new == old or new % divisor == 0 or new == 1
        assert new >= min(old, int(0.9 * old * width))
        # Nothing else that is allowed is nearer: a multiple of the divisor, or what there was.
        allowed = [one for one in (old, *range(divisor, 4 * old + 2 * divisor, divisor)) if one >= 0.9 * old * width]
        allowed = [one for one in allowed if (one <= old if width <= 1 else one >= old)]
        assert abs(new - old * width) <= min(abs(one - old * width) for one in allowed)


def test_a_multiplier_that_is_rounded_away_is_said() -> None:
    base = _narrow(10)
    with pytest.warns(UserWarning, match="width=0.9 changes no channels here, at divisor=8") as found:
        assert nas.scale(base, width=0.9) == base
    assert [Path(one.filename).name for one in found] == [Path(__file__).name]
    with pytest.warns(UserWarning, match="depth=0.9 changes no number of blocks"):
        assert nas.scale(base, depth=0.9) == base
    assert nas.cost_of(nas.scale(base, width=0.9, divisor=1)).macs < nas.cost_of(base).macs


@given(counts=st.lists(st.integers(1, 9), min_size=1, max_size=6), depth=st.floats(0.1, 4), more=st.floats(1, 1.5))
def test_blocks_are_shared_out_to_the_nearest(counts: list[int], depth: float, more: float) -> None:
    found, larger = round_repeats(counts, depth, "nearest"), round_repeats(counts, depth * more, "nearest")
    assert sum(found) == max(len(counts), int(depth * sum(counts) + 0.5))
    assert all(one <= other for one, other in zip(found, larger, strict=True))
    # Balinski & Young 1982, "Fair representation": by Webster's method no block is better given to another run, in
    # that what each has is nearest to one multiple of what it had.
    low = (
        max((2 * have - 1) / (2 * had) for have, had in zip(found, counts, strict=True) if have > 1)
        if max(found) > 1
        else 0
    )
    assert low <= min((2 * have + 1) / (2 * had) for have, had in zip(found, counts, strict=True)) + 1e-9


@pytest.mark.parametrize(
    ("counts", "depth", "expected"),
    [([1, 1, 1, 4, 3], 1.2, [1, 1, 1, 5, 4]), ([2, 2, 2], 1.5, [3, 3, 3]), ([1, 1, 1], 4 / 3, [1, 1, 2])],
)
def test_the_nearest_numbers_of_blocks(counts: list[int], depth: float, expected: list[int]) -> None:
    assert round_repeats(counts, depth, "nearest") == expected
    assert round_repeats(counts, 1.0, "nearest") == counts


@pytest.mark.parametrize(
    ("name", "depth", "expected"),
    [
        ("reference/resnet50", 2, [6, 8, 12, 6]),
        ("reference/resnet50", 1.1, [4, 5, 7, 4]),
        ("reference/resnet50", 0.5, [2, 2, 3, 2]),
        ("reference/vit_b_16", 1.5, [18]),
        ("reference/densenet121", 1.5, [9, 1, 18, 1, 36, 1, 24]),
        ("reference/vgg11", 2, [2, 1, 2, 1, 4, 1, 4, 1, 4, 1]),
    ],
)
def test_repeats_are_rounded_up_and_what_cannot_stand_twice_stays(name: str, depth: float, expected: list[int]) -> None:
    scaled = nas.scale(network(name), depth=depth)
    kinds = [block.kind for stage in scaled.stages for block in stage.blocks]
    runs = [len(list(group)) for group in _grouped(scaled)]
    assert runs == expected, kinds


def _grouped(arch: nas.Architecture) -> list[list[str]]:
    """Blocks of one kind one behind the other within a stage, a stage of nothing else being one group."""
    groups: list[list[str]] = []
    for stage in arch.stages:
        for i, block in enumerate(stage.blocks):
            if i and groups[-1][-1] == block.kind:
                groups[-1].append(block.kind)
            else:
                groups.append([block.kind])
    return groups


def test_copies_come_from_the_later_blocks_of_a_stage() -> None:
    space = nas.SearchSpace.from_dict(
        {
            "name": "kernels",
            "assume": {"channels": 3, "resolution": 32, "num_classes": 10},
            "stages": [
                {"block": "mbconv", "out_channels": 16, "kernel": 3, "stride": 2},
                {"blocks": [{"block": "mbconv", "out_channels": 24, "kernel": k, "stride": s} for k, s in _KERNELS]},
            ],
            "head": {"block": "classifier"},
        }
    )
    scaled = nas.scale(space.decode({}), depth=2)
    strides = [[dict(b.settings)["stride"] for b in stage.blocks] for stage in scaled.stages]
    kernels = [[dict(b.settings)["kernel"] for b in stage.blocks] for stage in scaled.stages]
    assert strides == [[2, 1], [2, 1, 1, 1, 1, 1]]
    assert kernels == [[3, 3], [3, 5, 5, 5, 7, 7]]


_KERNELS = ((3, 2), (5, 1), (7, 1))


def test_heads_keep_their_width_and_groups_their_number() -> None:
    wider = nas.scale(network("reference/vit_tiny_16"), width=2)
    assert {dict(block.settings)["heads"] for block in wider.stages[0].blocks} == {6}  # ViT-S has as many
    assert nas.cost_of(wider).params == nas.cost_of(network("reference/vit_small_16")).params


def test_rules_of_stem_and_head() -> None:
    def ends(scaled: nas.Architecture) -> list[object]:
        return [dict(section.blocks[0].settings)["out_channels"] for section in (scaled.stem, scaled.head)]

    assert ends(nas.scale(B0, width=1.21)) == [40, 4 * 384]
    assert ends(nas.scale(B0, width=1.21, head="scale")) == [40, round_to(1.21 * 1280)]
    assert ends(nas.scale(B0, width=1.21, stem="keep", head="keep")) == [32, 1280]


def test_dropout_and_drop_path() -> None:
    scaled = nas.scale(B0, depth=1.1, dropout=0.3, drop_path=0.2)
    assert dict(scaled.head.blocks[-1].settings)["dropout"] == 0.3
    rates = [dict(block.settings)["drop_path"] for stage in scaled.stages for block in stage.blocks]
    assert rates == pytest.approx([0.2 * i / 22 for i in range(23)])


def test_a_longer_series_is_a_larger_resolution() -> None:
    base = network("reference/fcn1d")
    assert nas.scale(base, resolution=300).input_shape == (1, 300)
    oblong = replace(B0, input_shape=(3, 200, 100))
    assert nas.scale(oblong, resolution=300).input_shape == (3, 300, 150)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 0}, "depth must be a multiplier > 0"),
        ({"width": float("nan")}, "width must be"),
        ({"width": True}, "width must be"),
        ({"resolution": 1.5}, "resolution must be a whole number"),
        ({"stem": "kep"}, "Did you mean 'keep'"),
        ({"repeats": "down"}, "unknown rule 'down' for the repeats"),
        ({"divisor": 0}, "divisor must be a whole number"),
        ({"head": "fixed"}, "unknown rule 'fixed' for the head"),
        ({"width": 1024}, "at most 2\\^20"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_what_cannot_be_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(NasError, match=message):
        nas.scale(B0, **arguments)


def test_an_input_that_is_too_small_names_the_place() -> None:
    with pytest.raises(NasError, match=r"input 1x8x8.*(stages|stem)"):
        nas.scale(network("reference/lenet5"), resolution=8)


# The authors' networks (github.com/megvii-model/ShuffleNet-Series, ShuffleNetV1, 3 groups): the widths of their stages
# with the millions of multiply-adds and parameters that they publish; that of 1.5x keeps the stem of 1x.
@pytest.mark.parametrize(
    ("width", "stem", "macs", "params"), [(0.5, "scale", 38, 0.7), (1.5, "keep", 292, 3.4), (2.0, "scale", 524, 5.4)]
)
def test_shufflenets_of_other_widths_are_those_that_were_published(
    width: float, stem: Any, macs: int, params: float
) -> None:
    found = nas.cost_of(nas.scale(network("reference/shufflenet"), width=width, stem=stem))
    assert (round(found.macs / 1e6), int(found.params / 1e5) / 10) == (macs, params)


@given(
    groups=st.integers(2, 12), each=st.integers(2, 12), width=st.floats(0.1, 3), divisor=st.sampled_from([1, 4, 8, 16])
)
@settings(max_examples=60, deadline=None)
@pytest.mark.filterwarnings("ignore:nas.scale")
def test_grouped_convolutions_keep_their_groups(groups: int, each: int, width: float, divisor: int) -> None:
    channels = groups * each
    conv = {"block": "conv", "out_channels": channels, "norm": None, "bias": False}
    space = {"name": "grouped", "stem": {"block": "conv", "out_channels": channels}, "head": {"block": "classifier"}}
    stages = [{**conv, "depth": 3, "groups": groups}]
    base = nas.SearchSpace.from_dict({**space, "stages": stages}).for_data((3, 8, 8), 10).decode({})
    wider = nas.scale(base, width=width, divisor=divisor)
    now = _channels(wider)[0]
    for block in wider.stages[0].blocks:
        assert dict(block.settings)["groups"] == groups
        assert dict(block.settings)["out_channels"] == now
    wanted = channels * width
    assert now % groups == 0
    assert now >= min(channels, 0.9 * wanted)
    assert now <= channels if width <= 1 else now >= channels
    # The work of a grouped convolution: k^2 c / g multiply-adds a position and channel (Krizhevsky et al. 2012).
    own = sum(torch.nn.Conv2d(now, now, 3, groups=groups, bias=False).weight.numel() for _ in range(3))
    parts = nas.cost_of(replace(wider, stem=wider.stages[0], stages=(), input_shape=(now, 8, 8)))
    head = now * 10 + 10
    assert parts.params - head == own
    # As near as a multiple of the groups is to what is asked, or within a tenth of it for the divisor's sake.
    assert abs(now - wanted) <= max(0.1 * wanted, groups, abs(channels - wanted) if divisor > 1 else 0)


@pytest.mark.filterwarnings("ignore:nas.scale")
@pytest.mark.parametrize("width", [0.2, 0.5, 0.9, 1.1, 1.3, 2.5])
@pytest.mark.parametrize(("stem", "out"), [(24, 24), (24, 48), (20, 60)])
def test_depthwise_convolutions_stay_depthwise(width: float, stem: int, out: int) -> None:
    stages = [{"block": "conv", "out_channels": out, "groups": stem}]
    space = {"name": "depthwise", "stem": {"block": "conv", "out_channels": stem}, "stages": stages}
    base = nas.SearchSpace.from_dict({**space, "head": {"block": "classifier"}}).for_data((3, 8, 8), 10).decode({})
    before, now = _channels(base), _channels(nas.scale(base, width=width))
    assert dict(nas.scale(base, width=width).stages[0].blocks[0].settings)["groups"] == now[0]
    assert now[1] % now[0] == 0
    assert all(one <= old if width <= 1 else one >= old for old, one in zip(before, now, strict=True))


def test_channels_that_cannot_stay_multiples_of_the_groups_are_refused() -> None:
    """Branches of 10 and 14 channels make the 24 that 8 groups divide; 9 and 13 do not."""
    branches = [[{"block": "conv", "out_channels": out}] for out in (10, 14)]
    space = {
        "name": "sum",
        "stem": {"block": "conv", "out_channels": 8},
        "stages": [{"blocks": [{"block": "parallel", "branches": branches, "join": "concat"}, _GROUPED]}],
        "head": {"block": "classifier"},
    }
    base = nas.SearchSpace.from_dict(space).for_data((3, 8, 8), 10).decode({})
    with pytest.raises(NasError, match="width: block 'conv' keeps its groups=8"):
        nas.scale(base, width=0.9, divisor=1)
    assert nas.cost_of(nas.scale(base, width=2, divisor=1)).params > nas.cost_of(base).params


_GROUPED = {"block": "conv", "out_channels": 24, "groups": 8}


@pytest.mark.filterwarnings("ignore:nas.scale")
@pytest.mark.parametrize("name", SPACES)
def test_no_multiplier_above_one_never_costs_more(name: str) -> None:
    rng = Random(name)
    base = network(name, rng.randrange(100))
    cost = nas.cost_of(base)
    for _ in range(3):
        divisor = rng.choice([1, 4, 8, 16])
        depth = 1.0 if name == "reference/lenet5" else rng.choice([1.0, rng.uniform(0.3, 1)])
        width = 1.0 if name == "reference/inception_v3" else rng.uniform(0.3, 1)
        less = scaled(base, depth, width, rounding=Rounding(divisor))
        now = nas.cost_of(less)
        assert now.params <= cost.params
        assert now.macs <= cost.macs
        assert max(channel_counts(less, stem=True), default=0) <= max(channel_counts(base, stem=True), default=0)
        if depth == 1:
            pairs = zip(channel_counts(less, stem=True), channel_counts(base, stem=True), strict=True)
            assert all(one <= old for one, old in pairs)
