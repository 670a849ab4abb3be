"""Blocks with their settings against the formulas of the papers, written out in plain torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.network.registry import Block, block_graph
from nas.pytorch import build_graph

Parts = dict[str, Tensor]


def _norm(x: Tensor, p: Parts, name: str) -> Tensor:
    return F.batch_norm(x, None, None, p[f"{name}.weight"], p[f"{name}.bias"], training=True)


def _unit(x: Tensor, p: Parts, name: str, **options: Any) -> Tensor:
    """norm(conv(x)) of the parameters under a name."""
    return _norm(F.conv2d(x, p[f"{name}.conv.weight"], **options), p, f"{name}.norm")


def _blur(x: Tensor, stride: int = 2) -> Tensor:
    """Rows 1 2 1 of Pascal's triangle in both directions, reflected edges (Zhang 2019, section 4.2)."""
    row = torch.tensor([1.0, 2.0, 1.0]) / 4
    kernel = (row[:, None] * row).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(F.pad(x, [1] * 4, mode="reflect"), kernel, stride=stride, groups=x.shape[1])


def _shuffled(x: Tensor, groups: int) -> Tensor:
    """Zhang et al. 2018, section 3.1: reshape to (groups, n), transpose, flatten."""
    each = x.shape[1] // groups
    return x[:, [i + each * j for i in range(each) for j in range(groups)]]


def _shuffle_unit(x: Tensor, p: Parts) -> Tensor:
    y = _shuffled(F.relu(_unit(x, p, "reduce", groups=3)), 3)
    return F.relu(_unit(_unit(y, p, "depthwise", padding=1, groups=6), p, "expand", groups=3) + x)


def _shuffle_unit_that_shrinks(x: Tensor, p: Parts) -> Tensor:
    y = _shuffled(F.relu(_unit(x, p, "reduce")), 3)
    y = _unit(_unit(y, p, "depthwise", stride=2, padding=1, groups=6), p, "expand", groups=3)
    return F.relu(torch.cat([y, F.avg_pool2d(x, 3, 2, 1)], 1))


def _basic_anti_aliased(x: Tensor, p: Parts) -> Tensor:
    y = _unit(_blur(F.relu(_unit(x, p, "conv1", padding=1))), p, "conv2", padding=1)
    return F.relu(y + _unit(_blur(x), p, "shortcut"))


def _bottleneck_anti_aliased(x: Tensor, p: Parts) -> Tensor:
    y = F.relu(_unit(F.relu(_unit(x, p, "reduce")), p, "conv", padding=1))
    return F.relu(_unit(_blur(y), p, "expand") + _unit(_blur(x), p, "shortcut"))


def _bottleneck_anti_aliased_early(x: Tensor, p: Parts) -> Tensor:
    y = F.relu(_unit(_blur(F.relu(_unit(x, p, "reduce"))), p, "conv", padding=1))
    return F.relu(_unit(y, p, "expand") + _unit(_blur(x), p, "shortcut"))


def _basic_padded(x: Tensor, p: Parts) -> Tensor:
    y = _unit(F.relu(_unit(x, p, "conv1", stride=2, padding=1)), p, "conv2", padding=1)
    return F.relu(y + F.pad(x[:, :, ::2, ::2], [0, 0, 0, 0, 0, y.shape[1] - x.shape[1]]))


def _squeezed(x: Tensor, p: Parts, width: int, gate: Callable[[Tensor], Tensor] = torch.sigmoid) -> Tensor:
    s = F.relu(F.conv2d(x.mean((2, 3), keepdim=True), p["se.reduce.weight"], p["se.reduce.bias"]))
    assert s.shape[1] == width
    return x * gate(F.conv2d(s, p["se.expand.weight"], p["se.expand.bias"]))


def _basic_squeezed(x: Tensor, p: Parts) -> Tensor:
    """Hu et al. 2018, figure 3: a share of the output's channels, before the sum."""
    y = _unit(F.relu(_unit(x, p, "conv1", padding=1)), p, "conv2", padding=1)
    return F.relu(_squeezed(y, p, 2) + x)


def _resnext(x: Tensor, p: Parts) -> Tensor:
    y = F.relu(_unit(x, p, "reduce"))
    y = F.relu(_unit(y, p, "conv", padding=1, stride=2, groups=4))
    return F.relu(_unit(y, p, "expand") + _unit(x, p, "shortcut", stride=2))


def _mobilenet_v3(x: Tensor, p: Parts) -> Tensor:
    """Howard et al. 2019, section 5.3: a quarter of the hidden channels in multiples of 8, relu and hard sigmoid."""
    y = F.hardswish(_unit(x, p, "expand"))
    y = F.hardswish(_unit(y, p, "depthwise", padding=2, groups=48))
    return _unit(_squeezed(y, p, 16, F.hardsigmoid), p, "project") + x  # 48 / 4 = 12, half way to 16


def _fused(x: Tensor, p: Parts) -> Tensor:
    return _unit(F.silu(_unit(x, p, "fused", stride=2, padding=1)), p, "project")


def _fused_alone(x: Tensor, p: Parts) -> Tensor:
    return F.silu(_unit(x, p, "fused", padding=1)) + x


def _separable(x: Tensor, p: Parts) -> Tensor:
    y = F.relu(_unit(x, p, "depthwise", padding=2, dilation=2, groups=8))
    return F.relu(_unit(y, p, "pointwise"))


def _preact(x: Tensor, p: Parts) -> Tensor:
    """He et al. 2016b, figure 4e; the projection reads what the first convolution reads."""
    ready = F.relu(_norm(x, p, "preact.norm"))
    y = F.relu(_norm(F.conv2d(ready, p["conv1.weight"], stride=2, padding=1), p, "middle.norm"))
    return F.conv2d(y, p["conv2.weight"], padding=1) + F.conv2d(ready, p["shortcut.weight"], stride=2)


def _dense(x: Tensor, p: Parts) -> Tensor:
    y = F.conv2d(F.relu(_norm(x, p, "reduce.norm")), p["reduce.conv.weight"])
    return torch.cat([x, F.conv2d(F.relu(_norm(y, p, "conv.norm")), p["conv.conv.weight"], padding=1)], 1)


def _transition(x: Tensor, p: Parts) -> Tensor:
    y = F.conv2d(F.relu(_norm(x, p, "reduce.norm")), p["reduce.conv.weight"])
    assert y.shape[1] == 4
    return F.avg_pool2d(y, 2)


def _fire(x: Tensor, p: Parts) -> Tensor:
    def conv(y: Tensor, name: str, padding: int = 0) -> Tensor:
        return F.relu(F.conv2d(y, p[f"{name}.conv.weight"], p[f"{name}.conv.bias"], padding=padding))

    s = conv(x, "squeeze")
    return torch.cat([conv(s, "expand1"), conv(s, "expand3", 1)], 1) + x


def _layer_norm(x: Tensor, p: Parts, name: str) -> Tensor:
    moved = x.movedim(1, -1)
    return F.layer_norm(moved, moved.shape[-1:], p[f"{name}.weight"], p[f"{name}.bias"], 1e-6).movedim(-1, 1)


def _convnext(x: Tensor, p: Parts) -> Tensor:
    def conv(y: Tensor, name: str, **options: Any) -> Tensor:
        return F.conv2d(y, p[f"{name}.weight"], p[f"{name}.bias"], **options)

    x = conv(_layer_norm(x, p, "downsample.norm"), "downsample.conv", stride=2)
    y = _layer_norm(conv(x, "depthwise", padding=3, groups=x.shape[1]), p, "norm")
    y = conv(F.gelu(conv(y, "expand")), "reduce")
    return x + p["scale.weight"].view(-1, 1, 1) * y


def _response(x: Tensor, p: Parts) -> Tensor:
    """Krizhevsky et al. 2012, section 3.3, with alpha over the size."""
    squares = F.pad(x**2, [0, 0, 0, 0, 2, 2])
    total = torch.stack([squares[:, i : i + 5].sum(1) for i in range(x.shape[1])], 1)
    found: Tensor = x / (2 + 0.5 / 5 * total) ** 0.75
    return found


def _act_conv_norm(x: Tensor, p: Parts) -> Tensor:
    return _norm(F.conv2d(F.relu(x), p["conv.weight"], padding=1), p, "norm")


MOBILENET_V3 = {"out_channels": 8, "kernel": 5, "hidden_channels": 48, "activation": "hardswish"}
MOBILENET_V3 |= {
    "se_ratio": 0.25,
    "se_of": "hidden",
    "se_divisor": 8,
    "se_activation": "relu",
    "se_gate": "hardsigmoid",
}
CASES: dict[str, tuple[str, dict[str, Any], Callable[[Tensor, Parts], Tensor]]] = {
    "shuffle": ("shuffle_unit", {"out_channels": 24, "groups": 3}, _shuffle_unit),
    "shuffle, first of stage 2": (
        "shuffle_unit",
        {"out_channels": 26, "groups": 3, "reduce_groups": 1, "stride": 2},
        _shuffle_unit_that_shrinks,
    ),
    "basic, anti-aliased": (
        "residual_basic",
        {"out_channels": 16, "stride": 2, "anti_alias": True},
        _basic_anti_aliased,
    ),
    "bottleneck, anti-aliased": (
        "residual_bottleneck",
        {"out_channels": 16, "stride": 2, "anti_alias": True},
        _bottleneck_anti_aliased,
    ),
    "bottleneck, anti-aliased, stride in reduce": (
        "residual_bottleneck",
        {"out_channels": 16, "stride": 2, "anti_alias": True, "stride_in": "reduce"},
        _bottleneck_anti_aliased_early,
    ),
    "basic, option A": ("residual_basic", {"out_channels": 16, "stride": 2, "shortcut": "zero_pad"}, _basic_padded),
    "basic, squeeze and excitation": ("residual_basic", {"out_channels": 8, "se_ratio": 0.25}, _basic_squeezed),
    "ResNeXt": ("residual_bottleneck", {"out_channels": 16, "stride": 2, "groups": 4, "reduction": 2}, _resnext),
    "MobileNetV3": (
        "mbconv",
        MOBILENET_V3,
        _mobilenet_v3,
    ),
    "fused": ("fused_mbconv", {"out_channels": 12, "stride": 2}, _fused),
    "fused, alone": ("fused_mbconv", {"out_channels": 8, "expand_ratio": 1}, _fused_alone),
    "separable": ("separable_conv", {"out_channels": 12, "dilation": 2}, _separable),
    "pre-activation": ("preact_basic", {"out_channels": 12, "stride": 2}, _preact),
    "dense": ("dense_layer", {"growth": 4}, _dense),
    "transition": ("transition", {}, _transition),
    "fire with bypass": ("fire", {"squeeze": 2, "expand1": 4, "expand3": 4, "bypass": True}, _fire),
    "ConvNeXt": ("convnext", {"out_channels": 12, "stride": 2}, _convnext),
    "local response": ("local_response_norm", {"alpha": 0.5}, _response),
    "activation first": ("conv", {"out_channels": 8, "order": "act_conv_norm"}, _act_conv_norm),
}


@pytest.mark.parametrize("name", CASES)
def test_block_is_the_papers_formula(name: str) -> None:
    kind, settings, formula = CASES[name]
    torch.manual_seed(0)
    x = torch.randn(4, 24 if name == "shuffle" else 8, 6, 6)
    module = build_graph(block_graph(Block.of(kind, settings), tuple(x.shape[1:]), 10))
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    torch.testing.assert_close(module(x), formula(x, dict(module.named_parameters())), rtol=1e-4, atol=1e-4)
