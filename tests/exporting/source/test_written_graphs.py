"""Any graph with any names: what is written computes the same, whatever modules the names make of it."""

from __future__ import annotations

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from nas.network import ops
from nas.network.graph import Graph, Node, with_memory
from nas.network.ops import Op
from nas.network.simplify import simplify
from tests.exporting.source.written_networks import check_graph

WIDTH = 4
# Parts of names: of attributes, of places in a row, of neither.
PARTS = ["a", "b", "c", "0", "1", "2", "0-1"]
OPERATIONS: list[Op] = [
    ops.Linear(WIDTH, WIDTH),
    ops.Linear(WIDTH, WIDTH, bias=False),
    ops.BatchNorm(WIDTH, 0),
    ops.Activation("relu"),
    ops.Activation("tanh"),
    ops.Activation("silu"),
    ops.Dropout(0.5),
]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Operations on features of one width, which read any before them, under names of up to four parts."""
    names = st.lists(st.sampled_from(PARTS), min_size=1, max_size=4).map(".".join)
    drawn = draw(st.lists(names, min_size=1, max_size=12, unique=True))
    nodes = [Node("input", ops.Input((WIDTH,)), (), (WIDTH,))]
    for name in drawn:
        # `nas.build` has no module for an operation that is named as a scope.
        if any(f"{name}.".startswith(f"{node.name}.") or node.name.startswith(f"{name}.") for node in nodes):
            continue
        places = st.integers(0, len(nodes) - 1)
        reads = draw(st.lists(places, min_size=1, max_size=3))
        op = ops.Add() if len(reads) > 1 else draw(st.sampled_from(OPERATIONS))
        nodes.append(Node(name, op, tuple(reads), (WIDTH,)))
    outputs = draw(st.lists(st.integers(0, len(nodes) - 1), min_size=1, max_size=3))
    if draw(st.booleans()):
        outputs = [len(nodes) - 1]
    graph = Graph(with_memory(nodes, outputs), tuple(outputs))
    return simplify(graph) if draw(st.booleans()) else graph


@given(graphs())
@settings(max_examples=40, phases=[Phase.explicit, Phase.reuse, Phase.generate])
def test_any_graph(graph: Graph) -> None:
    check_graph(graph)


def test_parts_that_read_of_each_other() -> None:
    """`a` reads what `0` gives and `0` what `a` gives, each of another operation."""
    named = [("a.a", 0), ("0.a", 0), ("a.b", 2), ("0.b", 1), ("a.c", 0)]
    nodes = [Node("input", ops.Input((WIDTH,)), (), (WIDTH,))]
    nodes += [Node(name, ops.Linear(WIDTH, WIDTH), (read,), (WIDTH,)) for name, read in named]
    check_graph(Graph(with_memory(nodes, (3, 4)), (3, 4)))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@given(graphs())
@settings(max_examples=2000)
def test_2000_graphs(graph: Graph) -> None:
    check_graph(graph)
