"""`arch_id`: one name for one network."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

import nas
from nas.network import ops
from nas.network.builder import GraphBuilder, Value
from nas.network.graph import Graph, Node
from nas.network.identity import graph_id


def _stage(**settings: Any) -> nas.Architecture:
    space = nas.SearchSpace.from_dict(
        {
            "assume": {"channels": 8, "resolution": 16, "num_classes": 3},
            "stages": [{"block": "mbconv", "out_channels": 8, **settings}],
            "head": {"block": "classifier"},
        }
    )
    return space.decode({})


def test_descriptions_of_one_network_share_their_id() -> None:
    # int(8 * 0.25) and int(8 * 0.3) squeeze to two channels both.
    assert _stage(se_ratio=0.25) != _stage(se_ratio=0.3)
    assert _stage(se_ratio=0.25).arch_id == _stage(se_ratio=0.3).arch_id
    # A stage of depth 0 is not there, whatever it would have been.
    assert _stage(depth=0, kernel=3).arch_id == _stage(depth=0, kernel=5).arch_id


def test_networks_that_differ_have_other_ids() -> None:
    variants: list[dict[str, Any]] = [
        {},
        {"kernel": 5},
        {"stride": 2},
        {"expand_ratio": 4},
        {"se_ratio": 0.25},
        {"activation": "relu"},
        {"depth": 2},
        {"depth": 0},
        {"out_channels": 16},
    ]
    ids = [_stage(**variant).arch_id for variant in variants]
    assert len(set(ids)) == len(ids)


def test_the_input_is_part_of_the_network() -> None:
    space = nas.load_space("reference/resnet18")
    ids = {space.for_data(shape, n).decode({}).arch_id for shape in [(3, 32, 32), (3, 64, 64)] for n in (10, 20)}
    assert len(ids) == 4


def _sum_of(order: tuple[int, int], *, dead: bool = False, name: str = "a") -> str:
    builder = GraphBuilder((4, 8, 8))
    branches = [builder.conv(builder.input, 4, kernel, name=f"{name}{kernel}") for kernel in (1, 3)]
    if dead:
        builder.conv(builder.input, 7, 3, name="dead")
    total = builder.add("sum", ops.Add(), branches[order[0]], branches[order[1]])
    return graph_id(builder.finish(builder.activation(total, "relu")))


def test_names_dead_ends_and_the_order_of_a_sum_do_not_count() -> None:
    assert _sum_of((0, 1)) == _sum_of((1, 0)) == _sum_of((0, 1), dead=True) == _sum_of((0, 1), name="other")


def test_sharing_counts() -> None:
    """Twice one convolution is not the sum of two convolutions, though both look alike from above."""

    def build(shared: bool) -> str:
        builder = GraphBuilder((4, 8, 8))
        first = builder.conv(builder.input, 4, 3, name="first")
        second = first if shared else builder.conv(builder.input, 4, 3, name="second")
        return graph_id(builder.finish(builder.add("sum", ops.Add(), first, second)))

    assert build(shared=True) != build(shared=False)


def _random_graph(rng: random.Random) -> Graph:
    builder = GraphBuilder((3, 6, 6))
    values: list[Value] = [builder.input]
    for i in range(rng.randint(2, 8)):
        if rng.random() < 0.5:
            values.append(builder.conv(rng.choice(values), 3, rng.choice([1, 3]), name=f"conv{i}"))
        else:
            values.append(builder.add(f"sum{i}", ops.Add(), rng.choice(values), rng.choice(values)))
    last = builder.add("last", ops.Add(), values[-1], rng.choice(values))
    return builder.finish(last)


@given(st.integers(0, 10**9))
def test_swapping_the_inputs_of_any_sum_keeps_the_id(seed: int) -> None:
    rng = random.Random(seed)
    graph = _random_graph(rng)
    swapped = Graph(
        tuple(
            Node(
                n.name, n.op, n.inputs[::-1] if isinstance(n.op, ops.Add) and rng.random() < 0.5 else n.inputs, n.shape
            )
            for n in graph.nodes
        )
    )
    assert graph_id(swapped) == graph_id(graph)
