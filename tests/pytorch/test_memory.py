"""What training keeps, against what autograd really saves."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import nas
from nas.cost import graph_cost
from nas.network import ops
from nas.network.builder import GraphBuilder, Value
from nas.network.graph import Graph
from nas.network.ops import Shape
from nas.network.registry import block_names
from nas.pytorch import build_graph
from tests.pytorch.test_blocks import random_blocks
from tests.pytorch.test_reference import Meter


def saved_bytes(graph: Graph, shape: tuple[int, ...]) -> int:
    """Bytes of the storages that one training step of one example keeps, parameters and buffers not counted."""
    module = build_graph(graph).train()
    known = {t.untyped_storage().data_ptr() for t in (*module.parameters(), *module.buffers())}
    kept: dict[int, tuple[Tensor, int]] = {}

    def pack(tensor: Tensor) -> Tensor:
        pointer = tensor.untyped_storage().data_ptr()
        if pointer not in known:
            kept[pointer] = (tensor, tensor.untyped_storage().nbytes())
        return tensor

    x: Any = torch.randn(1, *shape, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        module(x)
    return sum(size for _, size in kept.values())


@pytest.mark.parametrize(
    "name",
    [
        *("resnet18", "mobilenet_v2", "efficientnet_b0", "densenet121", "squeezenet1_1", "vgg11", "resnetv2_18"),
        *("unet", "alexnet_paper", "googlenet_paper"),
    ],
)
def test_training_memory_of_reference_networks(name: str) -> None:
    space = nas.load_space(f"reference/{name}")
    shape = (space.input_shape[0], 64, 64)
    graph = nas.lower(space.for_data(shape, 10).decode({}))
    assert graph_cost(graph).training_memory_bytes == pytest.approx(saved_bytes(graph, shape), rel=1e-3)


@pytest.mark.parametrize("name", block_names())
def test_training_memory_of_blocks(name: str) -> None:
    measured = 0
    for graph, shape in random_blocks(name, 10):
        try:
            kept = saved_bytes(graph, shape)
        except ValueError as error:
            assert "more than 1 value per channel" in str(error)  # noqa: PT017  # torch does not normalise one value
            continue
        measured += 1
        assert graph_cost(graph).training_memory_bytes == kept, graph
    assert measured >= 5


def _turned(name: str, shape: Shape, wanted: Shape) -> tuple[GraphBuilder, Value]:
    """A value of a shape that does not lie in memory in order, made of an input."""
    g = GraphBuilder(shape)
    match name:
        case "zero":
            return g, g.zero(g.input, wanted)
        case "crop":
            return g, g.add("crop", ops.Crop(), g.conv(g.input, wanted[0], 1), g.zero(g.input, wanted, "small"))
        case "tokens":
            return g, g.add("tokens", ops.ToTokens(), g.input)
        case _:
            return g, g.norm(g.input, "layer")


SOURCES: list[tuple[str, Shape, Shape]] = [
    *(("zero", shape, shape) for shape in [(8, 6), (8, 6, 6), (8, 4, 4, 4), ops.Tokens((5, 24))]),
    *(("crop", (8, *(n + 2 for n in shape[1:])), shape) for shape in [(8, 6), (8, 6, 6), (8, 4, 4, 4)]),
    ("tokens", (24, 9), ops.Tokens((9, 24))),
    *(("normalised", shape, shape) for shape in [(8, 6), (8, 6, 6), (8, 4, 4, 4)]),
]


def _readers(shape: Shape) -> list[ops.Op]:
    if isinstance(shape, ops.Tokens):
        return [ops.SelfAttention(2), ops.LayerNorm(shape[1], of_map=False), ops.Linear(shape[1], 4)]
    dims = len(shape) - 1
    conv = ops.Conv(8, 4, (3,) * dims, (1,) * dims, (1,) * dims, (1,) * dims, 1, False)
    pool = ops.MaxPool((2,) * dims, (1,) * dims, (0,) * dims)
    return [
        *(ops.GroupNorm(8, 2), ops.BatchNorm(8, dims), ops.LayerNorm(8, of_map=True), conv, pool),
        *(ops.LocalResponseNorm(5, 1e-4, 0.75, 2.0), ops.GlobalMaxPool(), ops.Flatten(), ops.ToTokens()),
    ]


@pytest.mark.parametrize(
    ("source", "reader"),
    [pytest.param(one, op, id=f"{one[0]}-{one[2]}-{type(op).__name__}") for one in SOURCES for op in _readers(one[2])],
)
@pytest.mark.parametrize("between", [None, "gelu", "sigmoid"])
def test_what_torch_copies_since_it_lies_apart_is_kept(
    source: tuple[str, Shape, Shape], reader: ops.Op, between: str | None
) -> None:
    g, x = _turned(*source)
    x = g.add("reader", reader, g.activation(x, between))
    if reader in (ops.Flatten(), ops.ToTokens()):  # which keep nothing themselves
        x = g.linear(x, 4)
    graph = g.finish(x)
    assert graph_cost(graph).training_memory_bytes == saved_bytes(graph, graph.in_shape)


HEAD = {"block": "classifier"}
GROUP = {"block": "norm_act", "norm": "group"}
LAYER = {"block": "norm_act", "norm": "layer", "activation": "gelu"}


@pytest.mark.parametrize(
    ("blocks", "shape"),
    [
        ([{"block": "zero"}, GROUP, HEAD], (8, 6, 6)),
        ([LAYER, {"block": "max_pool"}, GROUP, HEAD], (8, 12)),
        ([LAYER, {"block": "identity"}, GROUP, HEAD], (8, 6, 6)),
        ([LAYER, {"block": "conv", "out_channels": 4}, {**HEAD, "pool": None}], (8, 6, 6)),
    ],
)
def test_how_the_output_of_a_block_lies_is_seen_by_the_next(blocks: list[Any], shape: Shape) -> None:
    sections = {"stem": [], "stages": [[one] for one in blocks[:-1]], "head": blocks[-1:]}
    arch = nas.Architecture.from_dict(
        {"format": "nas.architecture/1", "input_shape": list(shape), "num_classes": 5, **sections}
    )
    assert nas.cost_of(arch).training_memory_bytes == saved_bytes(nas.lower(arch), shape)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize(("channels", "stride"), [((16, 1), 1), ((16, 2), 2), ((4, 8), 2)])
def test_a_transposed_convolution_that_narrows_holds_what_torch_holds(
    dims: int, channels: tuple[int, int], stride: int
) -> None:
    shape = (channels[0], *(4, 3, 2)[:dims])
    g = GraphBuilder(shape)
    x = g.add("up", ops.ConvTranspose(*channels, (2,) * dims, (stride,) * dims, (0,) * dims, True), g.input)
    graph = g.finish(g.conv(x, 4, 1))
    assert graph_cost(graph).training_memory_bytes == saved_bytes(graph, shape)
    given = torch.randn(1, *shape)
    module = build_graph(graph).eval()
    with torch.no_grad(), Meter([given, *module.parameters(), *module.buffers()]) as meter:
        module(given)
    assert graph_cost(graph).peak_memory_bytes == meter.peak
