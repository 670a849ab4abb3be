"""Descriptions of one network have one id, cost the same and compute the same; others do not share an id."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import nn

import nas
from nas.errors import ShapeError
from nas.network import ops
from nas.network.builder import GraphBuilder
from nas.network.identity import earlier_id, graph_id

CONV = {"block": "conv", "out_channels": 8}
POINT = {**CONV, "kernel": 1}
LINEAR = {"block": "linear", "out_channels": 12}
HEAD = {"block": "classifier"}
RELU = {"block": "norm_act", "norm": None}
MAX_OF_ONE = {"block": "max_pool", "kernel": 1, "stride": 1}
MEAN_OF_ONE = {"block": "avg_pool", "kernel": 1, "stride": 1, "count_padding": False}


def _arch(*blocks: Any, head: Any = HEAD, shape: tuple[int, ...] = (8, 12, 12)) -> nas.Architecture:
    return nas.Architecture.from_dict(
        {
            "format": "nas.architecture/1",
            "input_shape": list(shape),
            "num_classes": 5,
            "stem": [],
            "stages": [[block] for block in blocks],
            "head": head if isinstance(head, list) else [head],
        }
    )


def _join(*branches: Any, **more: Any) -> dict[str, Any]:
    return {"block": "parallel", "branches": [one if isinstance(one, list) else [one] for one in branches], **more}


def _cut(kernel: int, **more: Any) -> dict[str, Any]:
    return {"block": "max_pool", "kernel": kernel, "stride": 2, **more}


def _relu6(block: dict[str, Any]) -> dict[str, Any]:
    return {**block, "activation": "relu6"}


# Pairs of one network; those behind write more than is needed, or in another order.
SAME: dict[str, tuple[nas.Architecture, nas.Architecture]] = {
    "relu of relu": (_arch(CONV), _arch(CONV, RELU)),
    "relu of relu in one block": (_arch(CONV), _arch(_join(CONV, activation="relu"))),
    "relu of relu6": (_arch(_relu6(CONV)), _arch(_relu6(CONV), RELU)),
    "relu6 of relu6": (_arch(_relu6(CONV)), _arch(_relu6(CONV), _relu6(RELU))),
    "relu of a maximum of relus": (_arch(CONV, _cut(2)), _arch(CONV, _cut(2), RELU)),
    "relu of joined relus": (_arch(_join(CONV, POINT)), _arch(_join(CONV, POINT, activation="relu"))),
    "relu of a sum of relus": (
        _arch(_join(CONV, POINT, join="add")),
        _arch(_join(CONV, POINT, join="add", activation="relu")),
    ),
    "relu of a sigmoid": (
        _arch({**CONV, "activation": "sigmoid"}),
        _arch({**CONV, "activation": "sigmoid"}, RELU),
    ),
    "act before a convolution of what is not negative": (
        _arch(CONV, {**CONV, "order": "act_conv_norm", "activation": None}),
        _arch(CONV, {**CONV, "order": "act_conv_norm"}),
    ),
    "maximum of one": (_arch(CONV), _arch(CONV, MAX_OF_ONE)),
    "mean of one": (_arch(CONV), _arch(MEAN_OF_ONE, CONV)),
    "blur of one": (_arch(CONV), _arch(CONV, {"block": "blur_pool", "kernel": 1, "stride": 1})),
    "transition that does not shrink": (
        _arch({**POINT, "out_channels": 4, "order": "norm_act_conv", "bias": False}),
        _arch({"block": "transition", "stride": 1}),
    ),
    "pooling to the size there is": (_arch(CONV), _arch(CONV, {"block": "adaptive_pool", "size": 12})),
    "holes in a window of one": (_arch(POINT), _arch({**POINT, "dilation": 3})),
    "global pooling twice": (_arch(CONV), _arch(CONV, head=[{"block": "global_pool"}, HEAD])),
    "the maximum before a mean of one": (
        _arch(CONV, head={**HEAD, "pool": "max"}),
        _arch(CONV, head=[{"block": "global_pool", "kind": "max"}, HEAD]),
    ),
    "a mean without padding": (
        _arch(CONV, {"block": "avg_pool"}),
        _arch(CONV, {"block": "avg_pool", "count_padding": False}),
    ),
    "rounding up where nothing is left over": (_arch(_cut(2)), _arch(_cut(2, ceil=True))),
    "flat features": (_arch(LINEAR, head=LINEAR), _arch(LINEAR, {"block": "linear", "out_channels": 12}, head=[])),
    "nested joins": (
        _arch(_join(CONV, POINT, {**CONV, "kernel": 5})),
        _arch(_join(_join(CONV, POINT), {**CONV, "kernel": 5})),
    ),
    "nested joins on the right": (
        _arch(_join(CONV, POINT, {**CONV, "kernel": 5})),
        _arch(_join(CONV, _join(POINT, {**CONV, "kernel": 5}))),
    ),
    "a join of one": (_arch(CONV), _arch(_join(_join(CONV)))),
    "order of a join before a convolution": (_arch(_join(CONV, POINT), POINT), _arch(_join(POINT, CONV), POINT)),
    "order of a join before a wide convolution": (_arch(_join([], CONV), CONV), _arch(_join(CONV, []), CONV)),
    "order of a join before a classifier": (_arch(_join(CONV, POINT)), _arch(_join(POINT, CONV))),
    "order of a join before pooling and a depthwise convolution": (
        _arch(_join(CONV, POINT), _cut(2), {"block": "separable_conv", "out_channels": 8}),
        _arch(_join(POINT, CONV), _cut(2), {"block": "separable_conv", "out_channels": 8}),
    ),
    "order of a sum": (_arch(_join(CONV, POINT, join="add")), _arch(_join(POINT, CONV, join="add"))),
    "order of a sum with the input": (
        _arch(CONV, _join([], CONV, join="add")),
        _arch(CONV, _join(CONV, [], join="add")),
    ),
}


def _copied(source: nn.Module, target: nn.Module) -> None:
    """Copy weights by shape in order; those that a join permutes have the same distribution, not the same place."""
    for mine, theirs in zip(source.parameters(), target.parameters(), strict=True):
        theirs.data.copy_(mine.data)


@pytest.mark.parametrize("name", SAME)
def test_descriptions_of_one_network(name: str) -> None:
    plain, other = SAME[name]
    assert plain.arch_id == other.arch_id
    assert nas.cost_of(plain) == nas.cost_of(other)
    if not name.startswith("order"):
        modules = [nas.build(one).eval() for one in (plain, other)]
        _copied(*modules)
        x = torch.randn(2, *plain.input_shape)
        with torch.no_grad():
            assert torch.equal(modules[0](x), modules[1](x))


def test_weights_behind_a_join_change_places_with_its_branches() -> None:
    """With the columns of the next convolution exchanged, the network of the other order computes the same."""
    wide, narrow = {**CONV, "out_channels": 8}, {**POINT, "out_channels": 4}
    one = _arch(_join(wide, narrow), {**POINT, "norm": None})
    other = _arch(_join(narrow, wide), {**POINT, "norm": None})
    assert one.arch_id == other.arch_id
    first, second = nas.build(one).eval(), nas.build(other).eval()
    state = first.state_dict()
    moved = {
        key.replace("branches.0", "#").replace("branches.1", "branches.0").replace("#", "branches.1") for key in state
    }
    assert moved == set(second.state_dict())
    swapped = {}
    for key, value in state.items():
        place = key.replace("branches.0", "#").replace("branches.1", "branches.0").replace("#", "branches.1")
        swapped[place] = value
    weight = state["stages.1.blocks.0.conv.weight"]
    swapped["stages.1.blocks.0.conv.weight"] = torch.cat([weight[:, 8:], weight[:, :8]], 1)
    second.load_state_dict(swapped)
    x = torch.randn(2, 8, 12, 12)
    with torch.no_grad():
        torch.testing.assert_close(first(x), second(x))


# Pairs that look alike and are two networks.
OTHER: dict[str, tuple[nas.Architecture, nas.Architecture]] = {
    "relu6 of relu": (_arch(CONV), _arch(CONV, _relu6(RELU))),
    "relu of silu": (_arch({**CONV, "activation": "silu"}), _arch({**CONV, "activation": "silu"}, RELU)),
    "sigmoid of sigmoid": (
        _arch({**CONV, "activation": "sigmoid"}),
        _arch({**CONV, "activation": "sigmoid"}, {**RELU, "activation": "sigmoid"}),
    ),
    "relu of a sum with what may be negative": (
        _arch(CONV, _join([], {**CONV, "activation": None}, join="add")),
        _arch(CONV, _join([], {**CONV, "activation": None}, join="add", activation="relu")),
    ),
    "a window of one that skips": (_arch(CONV), _arch(CONV, {**MAX_OF_ONE, "stride": 2})),
    "holes in a wider window": (_arch(CONV), _arch({**CONV, "dilation": 2})),
    "order of a join before a grouped convolution": (
        _arch(_join(CONV, POINT), {**CONV, "groups": 2}),
        _arch(_join(POINT, CONV), {**CONV, "groups": 2}),
    ),
    "order of a join before a sum": (
        _arch(_join(CONV, POINT), _join([], {**CONV, "out_channels": 16}, join="add")),
        _arch(_join(POINT, CONV), _join([], {**CONV, "out_channels": 16}, join="add")),
    ),
    "order of a join that is the output": (_arch(_join(CONV, POINT), head=[]), _arch(_join(POINT, CONV), head=[])),
    "order of a join before neighbours": (
        _arch(_join(CONV, POINT), {"block": "local_response_norm"}),
        _arch(_join(POINT, CONV), {"block": "local_response_norm"}),
    ),
    "a join and a sum": (_arch(_join(CONV, POINT), CONV), _arch(_join(CONV, POINT, join="add"), CONV)),
    "two maxima before a mean": (
        _arch(CONV, head=HEAD),
        _arch(CONV, head=[{"block": "global_pool", "kind": "max"}, HEAD]),
    ),
}


@pytest.mark.parametrize("name", OTHER)
def test_networks_that_are_not_the_same(name: str) -> None:
    one, other = OTHER[name]
    assert one.arch_id != other.arch_id


@pytest.mark.parametrize("seed", range(12))
def test_what_does_nothing_may_stand_anywhere(seed: int) -> None:
    """Random networks with blocks that give their input back thrown in: the same id, costs and outputs."""
    rng = random.Random(seed)
    blocks = [rng.choice([CONV, POINT, _cut(2), _join(CONV, POINT), _join([], CONV)]) for _ in range(5)]
    nothing: list[dict[str, Any]] = [MAX_OF_ONE, MEAN_OF_ONE, {"block": "identity"}, {**RELU, "activation": None}]
    nothing += [{"block": "blur_pool", "kernel": 1, "stride": 1}, _join([]), _join([], join="add")]
    wordy = [part for block in blocks for part in (*rng.sample(nothing, rng.randint(0, 2)), block)]
    try:
        plain, other = _arch(CONV, *blocks), _arch(CONV, *wordy)
        cost = nas.cost_of(plain)
    except ShapeError:
        pytest.skip("the map shrinks to nothing")
    assert (plain.arch_id, cost) == (other.arch_id, nas.cost_of(other))


def test_operations_of_own_blocks_that_do_nothing() -> None:
    def one(*steps: ops.Op) -> str:
        g = GraphBuilder((6, 4, 4))
        x = g.conv(g.input, 6, 3)
        for i, step in enumerate(steps):
            x = g.add(f"step{i}", step, x)
        return graph_id(g.finish(g.conv(x, 4, 1, name="last")))

    plain = one()
    idle: list[ops.Op] = [ops.ChannelShuffle(1), ops.ChannelShuffle(6), ops.Pad((0, 0), (0, 0)), ops.Upsample((4, 4))]
    idle += [
        ops.UpsampleBilinear((4, 4)),
        ops.Dropout(0.0),
        ops.DropPath(0.0),
        ops.ChannelPad(6, 1),
        ops.AdaptiveAvgPool((4, 4)),
    ]
    for op in idle:
        assert one(op) == plain, op
    for op in (ops.ChannelShuffle(2), ops.Pad((1, 0), (0, 0)), ops.Dropout(0.1), ops.ChannelPad(8, 1)):
        if not isinstance(op, ops.ChannelPad):
            assert one(op) != plain, op


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        ("reference/resnet18", "same"),
        ("reference/efficientnet_b0", "same"),
        ("reference/vit_b_16", "same"),
        ("reference/densenet121", "renewed"),
        ("reference/squeezenet1_0", "renewed"),
    ],
)
def test_ids_change_only_where_networks_got_simpler_or_joins_lost_their_order(space: str, expected: str) -> None:
    arch = nas.load_space(space).decode({})
    assert (arch.arch_id == earlier_id(arch)) == (expected == "same")


@pytest.mark.parametrize(
    ("arch", "expected"),
    [
        (_arch(_join([CONV, RELU], [CONV, MAX_OF_ONE])), "dd78ad17a7a49dfa"),
        (_arch(_join([_join(CONV, POINT)], CONV)), "86049256e3a1d587"),
        (_arch({**POINT, "dilation": 2}), "ffdf333dcdc36c1b"),
        (_arch(_join(CONV, POINT, join="add")), "2537da018be6af9f"),
    ],
    ids=["nothing in a branch", "nested joins", "dilation of one", "sum"],
)
def test_earlier_ids_are_those_of_then(arch: nas.Architecture, expected: str) -> None:
    """Printed by commit 6f18cdb, before ids had a scheme."""
    assert earlier_id(arch) == expected
    assert (arch.arch_id == expected) == (expected == "2537da018be6af9f")
