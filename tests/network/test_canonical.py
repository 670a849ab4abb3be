"""`arch_id` on graphs with equal branches, in any order of their nodes; and on descriptions that round alike."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nas
from nas.network import ops
from nas.network.builder import GraphBuilder, Value
from nas.network.graph import Graph, Node
from nas.network.identity import graph_id


def _graph(rng: random.Random) -> Graph:
    """A random graph of few kinds of operations, so that many branches look alike."""
    builder = GraphBuilder((2, 4))
    values: list[Value] = [builder.input]
    for i in range(rng.randint(2, 9)):
        if rng.random() < 0.5:
            values.append(builder.add(f"n{i}", ops.Activation(rng.choice(["relu", "silu"])), rng.choice(values)))
        else:
            values.append(builder.add(f"n{i}", ops.Add(), rng.choice(values), rng.choice(values)))
    return builder.finish(builder.add("out", ops.Add(), values[-1], rng.choice(values)))


def _shuffled(graph: Graph, rng: random.Random) -> Graph:
    """The same graph with its nodes in another order in which they can run, and sums turned around."""
    order: list[int] = []
    waiting = list(range(len(graph.nodes) - 1))
    while waiting:
        ready = [i for i in waiting if all(source in order for source in graph.nodes[i].inputs)]
        order.append(rng.choice(ready))
        waiting.remove(order[-1])
    order.append(len(graph.nodes) - 1)
    place = {old: new for new, old in enumerate(order)}
    nodes: list[Node] = []
    for old in order:
        node = graph.nodes[old]
        inputs = [place[source] for source in node.inputs]
        if isinstance(node.op, ops.Add) and rng.random() < 0.5:
            inputs.reverse()
        nodes.append(Node(f"renamed{len(nodes)}", node.op, tuple(inputs), node.shape))
    return Graph(tuple(nodes))


@given(st.integers(0, 10**9))
@settings(max_examples=500)
def test_order_of_nodes_and_of_sums_do_not_count(seed: int) -> None:
    rng = random.Random(seed)
    graph = _graph(rng)
    # The input is always first, so that shuffling must keep it there.
    shuffled = _shuffled(graph, rng)
    assert isinstance(shuffled.nodes[0].op, ops.Input)
    assert graph_id(shuffled) == graph_id(graph)


def test_a_shared_branch_beside_two_equal_ones_in_either_order() -> None:
    """(c + c) + (c + d) with c and d alike: an order by what each side computes cannot tell the sides apart."""

    def build(*, shared_first: bool) -> str:
        builder = GraphBuilder((4, 8, 8))
        c = builder.conv(builder.input, 4, 3, name="c")
        d = builder.conv(builder.input, 4, 3, name="d")
        twice, mixed = builder.add("twice", ops.Add(), c, c), builder.add("mixed", ops.Add(), c, d)
        sides = (twice, mixed) if shared_first else (mixed, twice)
        return graph_id(builder.finish(builder.add("out", ops.Add(), *sides)))

    assert build(shared_first=True) == build(shared_first=False)


def test_inputs_that_do_not_commute_count_in_order() -> None:
    """features * factors is not factors * features, even where the shapes (C, 1, 1) allow both."""

    def build(*, turned: bool) -> str:
        builder = GraphBuilder((4, 1, 1))
        features = builder.activation(builder.input, "relu", name="features")
        factors = builder.activation(builder.input, "sigmoid", name="factors")
        pair = (factors, features) if turned else (features, factors)
        return graph_id(builder.finish(builder.add("out", ops.Scale(), *pair)))

    assert build(turned=True) != build(turned=False)


def _arch(channels: int = 16, **stage: Any) -> nas.Architecture:
    values = {
        "assume": {"channels": channels, "resolution": 8, "num_classes": 3},
        "stages": [stage],
        "head": {"block": "classifier"},
    }
    return nas.SearchSpace.from_dict(values).decode({})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # round(16 * 1.02) = 16: no expansion at all.
        ({"expand_ratio": 1}, {"expand_ratio": 1.02}),
        # int(16 * 0.01) = 0, and a squeeze has one channel at least: int(16 * 0.1) = 1.
        ({"se_ratio": 0.01}, {"se_ratio": 0.1}),
        # int(16 * 0.3) = 4 = int(16 * 0.25).
        ({"se_ratio": 0.25}, {"se_ratio": 0.3}),
        ({"depth": 1}, {}),
    ],
)
def test_settings_that_round_alike_state_one_network(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = (_arch(block="mbconv", out_channels=16, **settings) for settings in (one, other))
    assert first.arch_id == second.arch_id


def test_padding_that_is_worked_out_or_given() -> None:
    ids = [_arch(block="conv", out_channels=8, kernel=3, padding=padding).arch_id for padding in (None, 1, 0)]
    assert ids[0] == ids[1] != ids[2]


def test_blocks_count_and_not_the_stage_they_stand_in() -> None:
    """Two equal stages: 2 + 0, 1 + 1 and 0 + 2 blocks are one network."""
    stage = {"block": "mbconv", "out_channels": 8, "depth": {"range": [0, 2]}}
    space = nas.SearchSpace.from_dict({"stages": [stage, stage], "head": {"block": "classifier"}})
    ids: dict[int, set[str]] = {}
    for a in range(3):
        for b in range(3):
            arch = space.decode({"stages.0.depth": a, "stages.1.depth": b})
            ids.setdefault(a + b, set()).add(arch.arch_id)
    assert {total: len(found) for total, found in ids.items()} == dict.fromkeys(range(5), 1)
    assert len(set.union(*ids.values())) == 5


BASE = {"out_channels": 12, "kernel": 3, "stride": 2, "padding": 2, "dilation": 1, "groups": 1, "activation": "relu"}
OTHERS: dict[str, list[Any]] = {
    "out_channels": [8, 16],
    "kernel": [1, 5],
    "stride": [1, 3],
    "padding": [0, 1, 3],
    "dilation": [2],
    "groups": [2, 4],
    "activation": ["relu6", "silu", "hardswish", "gelu", "sigmoid", "hardsigmoid", None],
}


def test_every_setting_of_a_convolution_counts() -> None:
    variants = [BASE, *({**BASE, key: value} for key, values in OTHERS.items() for value in values)]
    ids = [_arch(block="conv", **variant).arch_id for variant in variants]
    assert len(set(ids)) == len(variants) == 20
