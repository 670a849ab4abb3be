"""Graphs that are joined, inserted and rewired: one result by every way."""

from __future__ import annotations

import pytest

import nas
from nas.network import ops
from nas.network.builder import GraphBuilder
from nas.network.graph import Graph, Node, ValueRange, chain, flattened, renumbered, splice
from nas.network.registry import Block, add_section, block_graph
from nas.network.section import Section

SHAPE = (4, 8, 8)
BLOCKS = (
    Block.of("residual_basic", {"out_channels": 8, "stride": 2}),
    Block.of("auxiliary", {"body": Section((Block.of("classifier", {}),))}),
    Block.of("mbconv", {"out_channels": 8, "se_ratio": 0.25}),
    Block.of("classifier", {}),
)


def _states(nodes: tuple[Node, ...]) -> list[tuple[str, ops.Op, tuple[int, ...], tuple[int, ...]]]:
    return [(node.name, node.op, node.inputs, node.shape) for node in nodes]


def test_a_chain_is_what_inserting_block_after_block_gives() -> None:
    parts = list[tuple[str, Graph]]()
    shape: tuple[int, ...] = SHAPE
    for i, block in enumerate(BLOCKS):
        graph = block_graph(block, shape, 10, False)
        parts.append((f"body.{i}", graph))
        shape = graph.out_shape
    chained = chain(SHAPE, parts)
    g = GraphBuilder(SHAPE, 10)
    inserted = g.finish(add_section(g, g.input, Section(BLOCKS), "body"), simplified=False)
    assert _states(chained.nodes) == _states(inserted.nodes)
    assert (chained.outputs, chained.auxiliary) == (inserted.outputs, inserted.auxiliary)
    assert chained.auxiliary != ()


def test_a_splice_reads_its_source_in_the_place_of_its_input() -> None:
    g = GraphBuilder(SHAPE, 10)
    branch = g.conv(g.input, 4, 3)
    graph = g.finish([g.add("add", ops.Add(), branch, g.input), g.input], simplified=False)
    part = splice(graph, source=2, length=7, prefix="here.")
    assert [(node.name, node.inputs) for node in part.nodes] == [("here.conv", (2,)), ("here.add", (7, 2))]
    assert part.outputs == (8, 2)


@pytest.mark.parametrize("kind", [ops.Add, ops.Concat])
def test_only_what_nobody_else_reads_is_joined_at_once(kind: type[ops.Op]) -> None:
    g = GraphBuilder(SHAPE, 10)
    a, b = (g.conv(g.input, 4, 1, name=name) for name in "ab")
    inner = g.add("inner", kind(), a, b)
    other = g.add("other", kind(), inner, inner)
    graph = g.finish(g.add("outer", kind(), other, inner) if kind is ops.Concat else other, simplified=False)
    assert _states(flattened(graph, kind).nodes)[:5] == _states(graph.nodes)[:5], "the inner one is read twice"
    g = GraphBuilder(SHAPE, 10)
    a, b, c = (g.conv(g.input, 4, 1, name=name) for name in "abc")
    nested = g.finish(g.add("outer", kind(), c, g.add("inner", kind(), b, a)), simplified=False)
    joined = flattened(nested, kind)
    assert set(joined.nodes[-1].inputs) == {a.index, b.index, c.index}
    assert joined.uses()[4] == 0, "nothing reads the inner one any more"


def test_renumbered_outputs() -> None:
    input_node = Node("input", ops.Input(SHAPE), (), SHAPE)
    copies = [Node(name, ops.Activation("relu"), (0,), SHAPE) for name in "ab"]
    graph = Graph((input_node, *copies), (2,), (1,), ValueRange.NOT_NEGATIVE)
    shared = renumbered(graph, [input_node, copies[0]], {0: 0, 1: 1, 2: 1})
    assert (shared.outputs, shared.auxiliary, shared.out_range) == ((1,), (1,), ValueRange.NOT_NEGATIVE)
    assert len(shared.nodes) == 2


def test_ancestors_and_uses() -> None:
    g = GraphBuilder(SHAPE, 10)
    used, dead = g.conv(g.input, 4, 1, name="used"), g.conv(g.input, 4, 1, name="dead")
    graph = g.finish(g.add("add", ops.Add(), used, used), simplified=False)
    assert graph.live() == [0, used.index, 3]
    assert graph.ancestors([dead.index]) == [0, dead.index]
    assert (graph.uses()[0], graph.uses()[used.index], graph.uses()[dead.index], graph.uses()[3]) == (2, 2, 0, 1)


def test_blocks_have_the_names_of_their_parameters() -> None:
    arch = nas.load_space("reference/mobilenet_v2").decode({})
    named = list(arch.named_blocks())
    assert [block for _, block in named] == list(arch.blocks())
    prefixes = {name for name, _ in named}
    nodes = nas.lower(arch).nodes[1:]
    assert {next(p for p in prefixes if node.name.startswith(f"{p}.")) for node in nodes} == prefixes
