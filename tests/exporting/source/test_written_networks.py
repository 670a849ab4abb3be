"""model.py computes what the module of `nas.build` does: operations, blocks, published and random networks."""

from __future__ import annotations

import random

import pytest

import nas
from nas.errors import NasError, ShapeError
from nas.network import ops
from nas.network.graph import Graph, Node
from nas.network.registry import block_names
from tests.exporting.source.written_networks import check_architecture, check_graph
from tests.pytorch.test_blocks import random_blocks
from tests.pytorch.test_ops import CASES

SPACES = [name for name in nas.space_names() if "/" not in name]
REFERENCES = [name for name in nas.space_names() if "/" in name]
_MOST_PARAMS = 3e6
"""Of a published network that the quick suite builds."""


def _graph(op: ops.Op, shapes: list[tuple[int, ...]]) -> Graph:
    """The operation on the graph's input, and on as many other values as it reads, made of that input."""
    nodes = [Node("input", ops.Input(shapes[0]), (), shapes[0])]
    reads = [0]
    for i, shape in enumerate(shapes[1:]):
        if shape == shapes[0]:
            nodes.append(Node(f"act{i}", ops.Activation("tanh"), (0,), shape))
        else:
            nodes.append(Node(f"zero{i}", ops.Zero(shape), (0,), shape))
        reads.append(len(nodes) - 1)
    nodes.append(Node("op", op, tuple(reads), op.out_shape(*shapes)))
    return Graph(tuple(nodes))


@pytest.mark.parametrize(("op", "shapes"), CASES, ids=[repr(op) for op, _ in CASES])
def test_operation(op: ops.Op, shapes: list[tuple[int, ...]]) -> None:
    check_graph(_graph(op, shapes))


@pytest.mark.parametrize("name", block_names())
def test_block(name: str) -> None:
    for graph, _ in random_blocks(name, 4):
        check_graph(graph)


@pytest.mark.slow
@pytest.mark.parametrize("name", block_names())
def test_block_with_100_random_settings(name: str) -> None:
    for graph, _ in random_blocks(name, 100):
        check_graph(graph)


def _smaller(name: str) -> nas.Architecture:
    """A published network, on the smallest input that it takes of 32, 64, ... positions a side."""
    space = nas.load_space(name)
    own = space.decode({})
    channels, *sizes = own.input_shape
    for size in (32, 64, 96, 128, 160):
        if size >= min(sizes):
            break
        try:
            arch = space.for_data((channels, *(size for _ in sizes)), own.num_classes).decode({})
            nas.lower(arch)
        except NasError:
            continue
        return arch
    return own


def _marked(name: str) -> object:
    large = nas.cost_of(nas.load_space(name).decode({})).params > _MOST_PARAMS
    return pytest.param(name, marks=pytest.mark.slow if large else ())


@pytest.mark.parametrize("name", [_marked(name) for name in REFERENCES])
def test_published_network(name: str) -> None:
    check_architecture(_smaller(name))


def _random_networks(name: str, count: int) -> None:
    space, rng = nas.load_space(name), random.Random(f"source {name}")
    done = 0
    while done < count:
        arch = space.decode(space.sample(rng))
        try:
            nas.lower(arch)
        except ShapeError:  # a map too small for this depth
            continue
        if nas.cost_of(arch).macs < 2e9:  # a second or less
            check_architecture(arch)
            done += 1


@pytest.mark.parametrize("name", SPACES)
def test_a_random_network(name: str) -> None:
    _random_networks(name, 1 if name not in ("mbconv", "mixed", "nasbench201", "inception", "vit") else 2)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", SPACES)
def test_20_random_networks(name: str) -> None:
    _random_networks(name, 20)
