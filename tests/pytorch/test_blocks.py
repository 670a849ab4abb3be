"""One suite over every registered block, and the formulas of the papers against hand-written modules."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nas.cost import graph_cost
from nas.network.registry import Block, block_graph, block_kind, block_names
from nas.pytorch import build_graph

# Settings beyond the defaults that each block is tried with; a new block is covered by its defaults.
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "conv": [{"groups": 2, "dilation": 2}, {"padding": 0, "kernel": 4, "activation": None}],
    "mbconv": [{"expand_ratio": 1}, {"se_ratio": 0.25, "kernel": 5, "stride": 2}, {"se_ratio": 0.01}],
    "fused_mbconv": [{"expand_ratio": 1, "se_ratio": 0.25}, {"stride": 2}],
    "residual_basic": [{"se_ratio": 0.25}, {"stride": 2}],
    "residual_bottleneck": [{"se_ratio": 0.25}, {"stride": 2, "reduction": 2}],
}
SHAPES = [(8, 6, 6), (8, 7, 5), (8, 16)]

CASES = [
    (name, {**({"out_channels": out} if "out_channels" in block_kind(name).settings else {}), **variant}, shape)
    for name in block_names()
    for variant in [{}, *VARIANTS.get(name, [])]
    for out in (8, 12)
    for shape in SHAPES
]


@pytest.mark.parametrize(("name", "settings", "shape"), CASES)
def test_block(name: str, settings: dict[str, Any], shape: tuple[int, ...]) -> None:
    graph = block_graph(Block.of(name, settings), shape, 10)
    module = build_graph(graph)
    cost = graph_cost(graph)
    with FlopCounterMode(display=False) as counter:
        output = module(torch.randn(3, *shape))
    assert tuple(output.shape) == (3, *graph.out_shape)
    assert counter.get_total_flops() == 3 * 2 * cost.macs
    assert sum(p.numel() for p in module.parameters()) == cost.params
    assert sum(v.numel() * v.element_size() for v in module.state_dict().values()) == cost.size_bytes
    if output.requires_grad:
        output.square().sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())


@pytest.mark.parametrize("name", block_names())
def test_block_states_formula_and_paper(name: str) -> None:
    doc = block_kind(name).function.__doc__ or ""
    assert "->" in doc, "a block states its shapes"


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
