"""Every primitive operation against torch's own module: shape, parameters, stored bytes, multiply-adds, values."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from nas.errors import ShapeError
from nas.network import ops
from nas.network.builder import GraphBuilder
from nas.pytorch import build_graph
from nas.pytorch.modules import FUNCTIONS, module_of

CASES: list[tuple[ops.Op, tuple[int, ...]]] = [
    (ops.Conv(6, 8, (3, 5), (1, 2), (1, 0), (2, 1), 2, True), (6, 11, 12)),
    (ops.Conv(4, 4, (3,), (2,), (1,), (1,), 4, False), (4, 9)),
    (ops.Linear(7, 3), (7,)),
    (ops.Linear(7, 3, bias=False), (7,)),
    (ops.BatchNorm(5, 2), (5, 4, 4)),
    (ops.BatchNorm(5, 1), (5, 4)),
    (ops.MaxPool((3, 3), (2, 2), (1, 1)), (4, 9, 8)),
    (ops.MaxPool((2,), (2,), (0,)), (4, 9)),
    (ops.GlobalAvgPool(), (4, 5, 6)),
    (ops.Flatten(), (4, 5, 6)),
    (ops.Dropout(0.3), (4, 5, 6)),
    *[(ops.Activation(kind), (4, 5, 6)) for kind in ops.ACTIVATIONS],
]


def test_the_cases_cover_every_operation() -> None:
    known = {kind for kind in vars(ops).values() if isinstance(kind, type) and issubclass(kind, ops.Op)}
    assert {type(op) for op, _ in CASES} | set(FUNCTIONS) == known - {ops.Op, ops.Input}


@pytest.mark.parametrize(("op", "shape"), CASES, ids=[repr(op) for op, _ in CASES])
def test_operation_equals_its_module(op: ops.Op, shape: tuple[int, ...]) -> None:
    module = module_of(op, len(shape) - 1, False).eval()
    with FlopCounterMode(display=False) as counter:
        output = module(torch.randn(1, *shape))
    assert tuple(output.shape[1:]) == op.out_shape(shape)
    assert sum(p.numel() for p in module.parameters()) == op.params
    assert sum(b.numel() * b.element_size() for b in module.buffers()) == op.buffer_bytes
    assert counter.get_total_flops() == 2 * op.macs(op.out_shape(shape))


# Each activation by its definition, not by the module that implements it.
FORMULAS: dict[str, Any] = {
    "relu": lambda x: x.clamp(min=0),
    "relu6": lambda x: x.clamp(0, 6),
    "silu": lambda x: x / (1 + torch.exp(-x)),
    "hardswish": lambda x: x * (x + 3).clamp(0, 6) / 6,
    "gelu": lambda x: x * 0.5 * (1 + torch.erf(x / 2**0.5)),
    "sigmoid": lambda x: 1 / (1 + torch.exp(-x)),
    "hardsigmoid": lambda x: (x + 3).clamp(0, 6) / 6,
}


@pytest.mark.parametrize("kind", ops.ACTIVATIONS)
def test_activation_is_its_formula(kind: str) -> None:
    x = torch.linspace(-8, 8, 101)
    torch.testing.assert_close(module_of(ops.Activation(kind), 1, False)(x), FORMULAS[kind](x))


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
