"""One suite over every registered block, and the formulas of the papers against hand-written modules."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nas.cost import graph_cost
from nas.errors import NasError, ShapeError
from nas.network import ops
from nas.network.graph import Graph
from nas.network.registry import Block, block_graph, block_kind, block_names
from nas.network.section import Section
from nas.network.settings import Setting
from nas.pytorch import build_graph

# What random settings are drawn from, by name where the bounds alone would not do; most shapes then fit.
DRAWN: dict[str, list[Any]] = {
    "out_channels": [8, 12, 16],
    "features": [8, 12],
    "heads": [1, 2, 4],
    "groups": [1, 2, 4],
    "stride": [1, 1, 2],
    "patch": [1, 2, 3],
    "reduction": [1.0, 2.0, 4.0],
    "kernel": [1, 3, 5, 2],
    "pool_size": [1, 2],
    "size": [1, 2, 3],
    "hidden": [None, 16],
    "compression": [0.5, 1.0],
    "mlp_ratio": [1.0, 2.0],
    "padding": [None, 0, 1],
    "growth": [4, 8],
    "squeeze": [2, 4],
    "nodes": [2, 3],
}
SHAPES = [(8, 8, 8), (8, 9, 7), (8, 16), (12, 12, 12), (5, 8), ops.Tokens((5, 8)), ops.Tokens((12, 12))]
PARTS = [
    Section(()),
    Section((Block.of("conv", {"out_channels": 8}),)),
    Section((Block.of("conv", {"out_channels": None, "order": "act_conv_norm"}), Block.of("identity", {}))),
    Section((Block.of("zero", {}),)),
    Section((Block.of("avg_pool", {"kernel": 3, "stride": 1, "padding": 1}),)),
]
SMALLER = [
    Section((Block.of("conv", {"out_channels": 6, "stride": 2}),)),
    Section((Block.of("max_pool", {"ceil": True}), Block.of("conv", {"out_channels": 4, "stride": 2}))),
    Section((Block.of("global_pool", {}), Block.of("conv", {"out_channels": 8, "kernel": 1}))),
]
CLASSIFIER = Section((Block.of("classifier", {}),))


def _draw(setting: Setting, rng: random.Random) -> Any:
    if setting.kind is Section:
        return CLASSIFIER if setting.name == "body" else rng.choice(PARTS)
    if setting.kind is tuple:
        return tuple(rng.choice(PARTS) for _ in range(rng.choice([1, 1, 2, 3])))
    plain: dict[type, list[Any]] = {bool: [True, False], int: [1, 2, 3, 8], float: [0.0, 0.25, 1.0, 2.0]}
    values: list[Any] = DRAWN.get(setting.name) or list(setting.options) or plain[setting.kind]
    fits: list[Any] = []
    for value in values:
        try:
            fits.append(setting.check(value))
        except NasError:
            continue
    return rng.choice([*fits, None] if setting.optional else fits)


def random_blocks(name: str, count: int) -> Iterator[tuple[Graph, tuple[int, ...]]]:
    """Yield graphs of a block with random settings on random shapes, those that fit each other."""
    rng = random.Random(name)
    settings = block_kind(name).settings
    for _ in range(200 * count):
        shape = rng.choice(SHAPES)
        drawn = {
            key: _draw(setting, rng) for key, setting in settings.items() if rng.random() < 0.7 or setting.required
        }
        if name == "upsampled":  # whose body ends in a map
            drawn["body"] = rng.choice([*PARTS, *SMALLER])
        try:
            graph = block_graph(Block.of(name, drawn), shape, 10)
        except ShapeError:
            continue
        yield graph, shape
        count -= 1
        if not count:
            return
    raise AssertionError(f"{name}: too few random settings fit")


def check_network(graph: Graph, shape: tuple[int, ...]) -> None:
    """What holds of every graph: its shapes, parameters, bytes and work are those of its module, which trains."""
    module, cost = build_graph(graph), graph_cost(graph)
    # On the meta device, since the counter does not know the fused attention of CPUs.
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        output = build_graph(graph).eval()(torch.randn(1, *shape))
    outputs = output if isinstance(output, tuple) else (output,)
    assert [tuple(one.shape[1:]) for one in outputs] == list(graph.out_shapes)
    assert counter.get_total_flops() == 2 * cost.macs
    assert sum(p.numel() for p in module.parameters()) == cost.params
    assert len(list(module.parameters())) == cost.param_tensors
    assert sum(v.numel() * v.element_size() for v in module.state_dict().values()) == cost.size_bytes
    trained = module.train()(torch.randn(3, *shape))
    trained = trained if isinstance(trained, tuple) else (trained,)
    assert len(trained) == len(graph.outputs) + len(graph.auxiliary)
    loss = sum((one.square().sum() for one in trained), start=torch.zeros(()))
    if loss.requires_grad:
        loss.backward()
    assert all(parameter.grad is not None for parameter in module.parameters())
    again = build_graph(graph).eval()
    again.load_state_dict(module.state_dict())
    x = torch.randn(2, *shape)
    with torch.no_grad():
        torch.testing.assert_close(again(x), module.eval()(x))


def check_export(graph: Graph, shape: tuple[int, ...]) -> None:
    """torch.export gives a program with the same outputs."""
    module, x = build_graph(graph).eval(), torch.randn(2, *shape)
    with torch.no_grad():
        torch.testing.assert_close(torch.export.export(module, (x,)).module()(x), module(x))


@pytest.mark.parametrize("name", block_names())
def test_block(name: str) -> None:
    for graph, shape in random_blocks(name, 10):
        check_network(graph, shape)


@pytest.mark.parametrize("name", block_names())
def test_block_exports(name: str) -> None:
    check_export(*next(random_blocks(name, 1)))


@pytest.mark.slow
@pytest.mark.parametrize("name", block_names())
def test_block_with_200_random_settings(name: str) -> None:
    for index, (graph, shape) in enumerate(random_blocks(name, 200)):
        check_network(graph, shape)
        if index % 40 == 0:
            check_export(graph, shape)


@pytest.mark.parametrize("name", block_names())
def test_block_states_formula_and_paper(name: str) -> None:
    doc = block_kind(name).function.__doc__ or ""
    assert "->" in doc or "Keeps the shape" in doc, "a block states its shapes"


def _norm(x: Tensor, parts: dict[str, Tensor], name: str) -> Tensor:
    return F.batch_norm(x, None, None, parts[f"{name}.norm.weight"], parts[f"{name}.norm.bias"], training=True)


def _values(name: str, settings: dict[str, Any], shape: tuple[int, ...]) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Input, output and parameters of a block with random weights."""
    torch.manual_seed(0)
    module = build_graph(block_graph(Block.of(name, settings), shape, 10))
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    x = torch.randn(4, *shape)
    return x, module(x), dict(module.named_parameters())


def test_mbconv_is_the_papers_formula() -> None:
    settings = {"out_channels": 8, "expand_ratio": 4, "kernel": 5, "se_ratio": 0.25, "activation": "silu"}
    x, y, p = _values("mbconv", settings, (8, 6, 6))
    h = F.silu(_norm(F.conv2d(x, p["expand.conv.weight"]), p, "expand"))
    h = F.silu(_norm(F.conv2d(h, p["depthwise.conv.weight"], padding=2, groups=32), p, "depthwise"))
    s = F.silu(F.conv2d(h.mean((2, 3), keepdim=True), p["se.reduce.weight"], p["se.reduce.bias"]))
    assert s.shape[1] == 2  # a quarter of the block's input, not of the expanded width
    h = h * torch.sigmoid(F.conv2d(s, p["se.expand.weight"], p["se.expand.bias"]))
    torch.testing.assert_close(y, _norm(F.conv2d(h, p["project.conv.weight"]), p, "project") + x)


def test_bottleneck_is_the_papers_formula() -> None:
    x, y, p = _values("residual_bottleneck", {"out_channels": 16, "stride": 2}, (8, 6, 6))
    h = F.relu(_norm(F.conv2d(x, p["reduce.conv.weight"]), p, "reduce"))
    h = F.relu(_norm(F.conv2d(h, p["conv.conv.weight"], stride=2, padding=1), p, "conv"))
    h = _norm(F.conv2d(h, p["expand.conv.weight"]), p, "expand")
    shortcut = _norm(F.conv2d(x, p["shortcut.conv.weight"], stride=2), p, "shortcut")
    torch.testing.assert_close(y, F.relu(h + shortcut))


def test_basic_block_without_projection() -> None:
    x, y, p = _values("residual_basic", {"out_channels": 8}, (8, 6, 6))
    h = F.relu(_norm(F.conv2d(x, p["conv1.conv.weight"], padding=1), p, "conv1"))
    h = _norm(F.conv2d(h, p["conv2.conv.weight"], padding=1), p, "conv2")
    torch.testing.assert_close(y, F.relu(h + x))


def test_classifier_takes_the_mean_of_any_map() -> None:
    x, y, p = _values("classifier", {}, (8, 3, 5))
    torch.testing.assert_close(y, x.mean((2, 3)) @ p["linear.weight"].T + p["linear.bias"])
