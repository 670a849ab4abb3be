"""Every primitive operation against torch's own module: shape, parameters, stored bytes, multiply-adds, values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nas.errors import ShapeError
from nas.network import ops
from nas.network.builder import GraphBuilder
from nas.network.graph import Graph, Node
from nas.network.simplify import _NEVER_SHARED
from nas.pytorch import build_graph
from nas.pytorch.modules import module_of

CASES: list[tuple[ops.Op, list[tuple[int, ...]]]] = [
    (ops.Conv(6, 8, (3, 5), (1, 2), (1, 0), (2, 1), 2, True), [(6, 11, 12)]),
    (ops.Conv(4, 4, (3,), (2,), (1,), (1,), 4, False), [(4, 9)]),
    (ops.ConvTranspose(4, 6, (3, 2), (2, 2), (1, 0), True), [(4, 5, 6)]),
    (ops.ConvTranspose(4, 6, (4,), (2,), (1,), False), [(4, 5)]),
    (ops.Blur(3, (3, 3), (2, 2)), [(3, 7, 8)]),
    (ops.Blur(3, (5,), (2,)), [(3, 9)]),
    (ops.Linear(7, 3), [(7,)]),
    (ops.Linear(7, 3, bias=False), [ops.Tokens((4, 7))]),
    (ops.BatchNorm(5, 2), [(5, 4, 4)]),
    (ops.BatchNorm(5, 1, affine=False), [(5, 4)]),
    (ops.GroupNorm(6, 3), [(6, 4, 4)]),
    (ops.LayerNorm(5, of_map=True), [(5, 4, 3)]),
    (ops.LayerNorm(5, of_map=False), [ops.Tokens((4, 5))]),
    (ops.LayerScale(5, 0.1, of_map=True), [(5, 4, 3)]),
    (ops.LayerScale(5, 0.1, of_map=False), [ops.Tokens((4, 5))]),
    (ops.LocalResponseNorm(5, 1e-4, 0.75, 2.0), [(8, 4, 4)]),
    (ops.MaxPool((3, 3), (2, 2), (1, 1)), [(4, 9, 8)]),
    (ops.MaxPool((3,), (2,), (0,), ceil=True), [(4, 10)]),
    (ops.AvgPool((3, 3), (2, 2), (1, 1), count_padding=False), [(4, 9, 8)]),
    (ops.AvgPool((2,), (2,), (0,), ceil=True), [(4, 9)]),
    (ops.AdaptiveAvgPool((3, 2)), [(4, 7, 5)]),
    (ops.GlobalAvgPool(), [(4, 5, 6)]),
    (ops.GlobalMaxPool(), [(4, 5, 6)]),
    (ops.Flatten(), [(4, 5, 6)]),
    (ops.Concat(), [(4, 5, 6), (3, 5, 6), (1, 5, 6)]),
    (ops.Pad((0, 1), (1, 2)), [(2, 3, 4)]),
    (ops.Crop(), [(2, 8, 7), (3, 4, 5)]),
    (ops.ChannelPad(7, 2), [(4, 5, 6)]),
    (ops.ChannelShuffle(3), [(6, 4)]),
    (ops.Upsample((6, 9)), [(2, 3, 3)]),
    (ops.UpsampleBilinear((6, 9)), [(2, 3, 3)]),
    (ops.ToTokens(), [(4, 3, 2)]),
    (ops.ClassToken(5), [ops.Tokens((6, 5))]),
    (ops.PositionEmbedding(6, 5), [ops.Tokens((6, 5))]),
    (ops.SelfAttention(2), [ops.Tokens((6, 24))]),
    (ops.TakeToken(), [ops.Tokens((6, 5))]),
    (ops.MeanToken(), [ops.Tokens((6, 5))]),
    (ops.Add(), [(2, 3, 4), (2, 3, 4), (2, 3, 4)]),
    (ops.Scale(), [(2, 3, 4), (2, 1, 1)]),
    (ops.Zero((3, 2, 2)), [(2, 4, 4)]),
    (ops.Dropout(0.3), [(4, 5, 6)]),
    (ops.DropPath(0.3), [(4, 5, 6)]),
]
CASES += [(ops.Activation(kind), [(4, 5, 6)]) for kind in ops.ACTIVATIONS]


def test_the_cases_cover_every_operation() -> None:
    known = {kind for kind in vars(ops).values() if isinstance(kind, type) and issubclass(kind, ops.Op)}
    assert {type(op) for op, _ in CASES} == known - {ops.Op, ops.Input}


def _graph(op: ops.Op, shapes: list[tuple[int, ...]]) -> Graph:
    """The operation on inputs of these shapes, which are slices of one flat input."""
    nodes = [Node("input", ops.Input(shapes[0]), (), shapes[0])]
    for i, shape in enumerate(shapes[1:]):
        nodes.append(Node(f"zero{i}", ops.Zero(shape), (0,), shape))
    nodes.append(Node("op", op, tuple(range(len(shapes))), op.out_shape(*shapes)))
    return Graph(tuple(nodes), (len(nodes) - 1,))


@pytest.mark.parametrize(("op", "shapes"), CASES, ids=[repr(op) for op, _ in CASES])
def test_operation_equals_its_module(op: ops.Op, shapes: list[tuple[int, ...]]) -> None:
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        module = build_graph(_graph(op, shapes)).eval()
        output = module(torch.randn(1, *shapes[0]))
    assert tuple(output.shape[1:]) == op.out_shape(*shapes)
    assert [tuple(p.shape) for p in module.parameters()] == list(op.param_shapes)
    assert sum(p.numel() for p in module.parameters()) == op.params
    assert sum(b.numel() * b.element_size() for b in module.buffers()) == op.buffer_bytes
    out_shape = op.out_shape(*shapes)
    assert counter.get_total_flops() == 2 * (op.macs(out_shape) + op.attention_macs(out_shape))


def _attention(op: Any, x: Tensor) -> Tensor:
    heads = []
    for h in range(2):
        q, k, v = (x[..., 8 * i + 4 * h : 8 * i + 4 * h + 4] for i in range(3))
        heads.append(torch.softmax(q @ k.transpose(1, 2) / 2, -1) @ v)
    return torch.cat(heads, -1)


def _bilinear(op: Any, x: Tensor) -> Tensor:
    """By hand: places from centre to centre, clamped at the edges, first down and then across."""
    for axis in (2, 3):
        old, new = x.shape[axis], op.size[axis - 2]
        places = ((torch.arange(new) + 0.5) * old / new - 0.5).clamp(0, old - 1)
        low = places.floor().long()
        share = (places - low).view((-1, 1) if axis == 2 else (-1,))
        high = (low + 1).clamp(max=old - 1)
        x = x.index_select(axis, low) * (1 - share) + x.index_select(axis, high) * share
    return x


def _max_pool(op: Any, x: Tensor) -> Tensor:
    function = F.max_pool1d if x.dim() == 3 else F.max_pool2d
    return function(x, op.kernel, op.stride, op.padding, ceil_mode=op.ceil)


def _avg_pool(op: Any, x: Tensor) -> Tensor:
    function = F.avg_pool1d if x.dim() == 3 else F.avg_pool2d
    return function(x, op.kernel, op.stride, op.padding, op.ceil, op.count_padding)


# The operations by torch's own functions, for the shapes of CASES.
VALUES: dict[type[ops.Op], Callable[[Any, Tensor], Tensor]] = {
    ops.LocalResponseNorm: lambda op, x: F.local_response_norm(x, op.size, op.alpha, op.beta, op.k),
    ops.MaxPool: _max_pool,
    ops.AvgPool: _avg_pool,
    ops.AdaptiveAvgPool: lambda op, x: F.adaptive_avg_pool2d(x, op.size),
    ops.GlobalAvgPool: lambda op, x: x.mean((2, 3), keepdim=True),
    ops.GlobalMaxPool: lambda op, x: x.amax((2, 3), keepdim=True),
    ops.Flatten: lambda op, x: x.reshape(len(x), -1),
    ops.Concat: lambda op, x: x,
    ops.Pad: lambda op, x: F.pad(x, (1, 2, 0, 1)),
    ops.Crop: lambda op, x: x[:, :, 2:6, 1:6],
    ops.ChannelPad: lambda op, x: torch.cat([x[:, :, ::2, ::2], x.new_zeros(len(x), 3, 3, 3)], 1),
    ops.ChannelShuffle: lambda op, x: x[:, [0, 2, 4, 1, 3, 5]],
    ops.Upsample: lambda op, x: x.repeat_interleave(2, 2).repeat_interleave(3, 3),
    ops.UpsampleBilinear: _bilinear,
    ops.ToTokens: lambda op, x: torch.stack([x[:, :, i, j] for i in range(3) for j in range(2)], 1),
    ops.SelfAttention: _attention,
    ops.TakeToken: lambda op, x: x[:, 0],
    ops.MeanToken: lambda op, x: x.mean(1),
    ops.Zero: lambda op, x: x.new_zeros(len(x), *op.shape),
    ops.Dropout: lambda op, x: x,
    ops.DropPath: lambda op, x: x,
    ops.Activation: lambda op, x: cast(Tensor, FORMULAS[op.kind](x)),
}


@pytest.mark.parametrize(
    ("op", "shapes"),
    [(op, s) for op, s in CASES if not op.param_shapes and len(s) == 1 and type(op) not in (ops.Blur, ops.BatchNorm)]
    + [(ops.Crop(), [(2, 8, 7), (3, 4, 5)])],
    ids=repr,
)
def test_values_of_operations_without_weights(op: ops.Op, shapes: list[tuple[int, ...]]) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, *shapes[0])
    torch.testing.assert_close(build_graph(_graph(op, shapes)).eval()(x), VALUES[type(op)](op, x))


def test_values_of_operations_with_weights() -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 4, 7, 6)

    def both(op: ops.Op, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        shape = tuple(x.shape[1:])
        module = build_graph(_graph(op, [ops.Tokens(shape) if len(shape) == 2 else shape])).eval()
        for parameter in module.parameters():
            nn.init.normal_(parameter)
        return module(x), dict(module.named_parameters())

    y, p = both(ops.ConvTranspose(4, 5, (3, 3), (2, 2), (1, 1), True), x)
    torch.testing.assert_close(y, F.conv_transpose2d(x, p["op.weight"], p["op.bias"], 2, 1))
    y, p = both(ops.GroupNorm(4, 2), x)
    torch.testing.assert_close(y, F.group_norm(x, 2, p["op.weight"], p["op.bias"]))
    y, p = both(ops.LayerNorm(4, of_map=True), x)
    centred = x - x.mean(1, keepdim=True)
    expected = centred / (centred.square().mean(1, keepdim=True) + 1e-6).sqrt()
    torch.testing.assert_close(y, expected * p["op.weight"].view(4, 1, 1) + p["op.bias"].view(4, 1, 1))
    y, p = both(ops.LayerScale(4, 1e-6, of_map=True), x)
    torch.testing.assert_close(y, x * p["op.weight"].view(4, 1, 1))
    tokens = torch.randn(3, 5, 6)
    y, p = both(ops.ClassToken(6), tokens)
    torch.testing.assert_close(y, torch.cat([p["op.token"].expand(3, 1, 6), tokens], 1))
    y, p = both(ops.PositionEmbedding(5, 6), tokens)
    torch.testing.assert_close(y, tokens + p["op.weight"])


def test_blur_is_the_binomial_filter() -> None:
    x = torch.zeros(1, 1, 7, 7)
    x[0, 0, 3, 3] = 16
    y = build_graph(_graph(ops.Blur(1, (3, 3), (1, 1)), [(1, 7, 7)]))(x)
    assert y[0, 0, 2:5, 2:5].tolist() == [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
    constant = build_graph(_graph(ops.Blur(2, (5, 5), (2, 2)), [(2, 9, 9)]))(torch.ones(1, 2, 9, 9))
    torch.testing.assert_close(constant, torch.ones(1, 2, 5, 5))


def test_zero_has_a_gradient_that_is_zero() -> None:
    x = torch.randn(2, 3, 4, 4, requires_grad=True)
    y = build_graph(_graph(ops.Zero((5, 2)), [(3, 4, 4)]))(x)
    assert y.shape == (2, 5, 2)
    y.sum().backward()
    assert x.grad is not None
    assert not y.any()
    assert not x.grad.any()


# Each activation by its definition, not by the module that implements it.
FORMULAS: dict[str, Any] = {
    "relu": lambda x: x.clamp(min=0),
    "relu6": lambda x: x.clamp(0, 6),
    "silu": lambda x: x / (1 + torch.exp(-x)),
    "hardswish": lambda x: x * (x + 3).clamp(0, 6) / 6,
    "gelu": lambda x: x * 0.5 * (1 + torch.erf(x / 2**0.5)),
    "sigmoid": lambda x: 1 / (1 + torch.exp(-x)),
    "hardsigmoid": lambda x: (x + 3).clamp(0, 6) / 6,
    "tanh": lambda x: (torch.exp(x) - torch.exp(-x)) / (torch.exp(x) + torch.exp(-x)),
}


@pytest.mark.parametrize("kind", ops.ACTIVATIONS)
def test_activation_is_its_formula(kind: str) -> None:
    x = torch.linspace(-8, 8, 101)
    module = module_of(ops.Activation(kind), 1, False)
    assert module is not None
    torch.testing.assert_close(module(x), FORMULAS[kind](x))


@given(st.data())
def test_conv_follows_torch_for_any_setting(data: st.DataObject) -> None:
    dims = data.draw(st.integers(1, 2))

    def sizes(low: int, high: int) -> tuple[int, ...]:
        return tuple(data.draw(st.lists(st.integers(low, high), min_size=dims, max_size=dims)))

    groups = data.draw(st.integers(1, 3))
    channels = groups * data.draw(st.integers(1, 3)), groups * data.draw(st.integers(1, 3))
    op = ops.Conv(*channels, sizes(1, 5), sizes(1, 3), sizes(0, 3), sizes(1, 3), groups, data.draw(st.booleans()))
    size = sizes(1, 12)
    conv = F.conv1d if dims == 1 else F.conv2d
    x, weight = torch.randn(1, channels[0], *size), torch.randn(channels[1], channels[0] // groups, *op.kernel)
    try:
        expected = tuple(conv(x, weight, None, op.stride, op.padding, op.dilation, groups).shape[1:])
    except RuntimeError:  # torch: the kernel is larger than the padded input
        with pytest.raises(ShapeError, match="shrinks to nothing"):
            op.out_shape((channels[0], *size))
    else:
        assert op.out_shape((channels[0], *size)) == expected


def test_functions_of_two_values() -> None:
    builder = GraphBuilder((3, 4, 4))
    pooled = builder.add("pool", ops.GlobalAvgPool(), builder.input)
    scaled = builder.add("scale", ops.Scale(), builder.input, pooled)
    graph = builder.finish(builder.add("add", ops.Add(), scaled, builder.input))
    x = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(build_graph(graph)(x), x * x.mean((2, 3), keepdim=True) + x)


@pytest.mark.parametrize(
    ("op", "shapes", "message"),
    [
        (ops.Add(), [(3, 4), (3, 5)], "equal shapes"),
        (ops.Scale(), [(3, 4, 4), (3, 4, 4)], "one factor a channel"),
        (ops.Linear(4, 2), [(5,)], "expects 4 features"),
        (ops.Conv(3, 4, (3, 3), (1, 1), (0, 0), (1, 1), 1, False), [(4, 8, 8)], "expects 3 channels"),
        (ops.GlobalAvgPool(), [(4,)], "needs a map"),
        (ops.MaxPool((2, 2), (2, 2), (2, 2)), [(3, 8, 8)], "over half of the kernel"),
        (ops.MaxPool((2, 2), (2, 2), (0, 0)), [(3, 1, 1)], "shrinks to nothing"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(op: ops.Op, shapes: list[tuple[int, ...]], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        op.out_shape(*shapes)


def test_groups_must_divide_the_channels() -> None:
    with pytest.raises(ShapeError, match=r"groups must divide the channels.*groups=2, in_channels=3"):
        ops.Conv(3, 4, (1,), (1,), (0,), (1,), 2, False)


def test_what_has_weights_or_chance_is_never_taken_for_the_same() -> None:
    for op, _ in CASES:
        random = isinstance(op, ops.Dropout | ops.DropPath)
        stateful = op.param_shapes or isinstance(op, ops.BatchNorm)
        assert (type(op) in _NEVER_SHARED) == bool(stateful or random), op
