"""Operations of a user that derive from those of nas and have other code: nothing of their base is taken for theirs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import log, prod
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import nas
from nas.cost import graph_cost
from nas.errors import NasError
from nas.exporting.onnx.graph import to_onnx
from nas.latency.features import graph_features
from nas.network import ops
from nas.network.builder import GraphBuilder
from nas.network.graph import Graph
from nas.network.identity import graph_id
from nas.pytorch import build_graph
from nas.pytorch.initial_weights import last_norms
from nas.pytorch.modules import call_of, module_of
from tests.pytorch.test_memory import saved_bytes
from tests.pytorch.test_ops import CASES
from tests.pytorch.test_reference import Meter

Shape = tuple[int, ...]
MAP = (4, 6, 6)
# What gives back its input, where it is the operation of nas.
IDLE: list[tuple[ops.Op, list[Shape]]] = [
    (ops.Dropout(0.0), [MAP]),
    (ops.DropPath(0.0), [MAP]),
    (ops.MaxPool((1, 1), (1, 1), (0, 0)), [MAP]),
    (ops.AvgPool((1, 1), (1, 1), (0, 0), count_padding=False), [MAP]),
    (ops.Blur(4, (1, 1), (1, 1)), [MAP]),
    (ops.ChannelShuffle(1), [MAP]),
    (ops.AdaptiveAvgPool((6, 6)), [MAP]),
    (ops.Pad((0, 0), (0, 0)), [MAP]),
    (ops.ChannelPad(4, 1), [MAP]),
    (ops.Upsample((6, 6)), [MAP]),
    (ops.UpsampleBilinear((6, 6)), [MAP]),
    (ops.Crop(), [MAP, MAP]),
    (ops.Concat(), [MAP]),
    (ops.Add(), [MAP]),
    (ops.GlobalAvgPool(), [(4, 1, 1)]),
    (ops.GlobalMaxPool(), [(4, 1, 1)]),
    (ops.Flatten(), [(4,)]),
]
EVERY = [*CASES, *IDLE]
NAMES = [f"{i}-{type(op).__name__}" for i, (op, _) in enumerate(EVERY)]


def _minus(x: Tensor, shape: Shape) -> Tensor:
    """-exp of the mean, everywhere: -1 where zero goes in."""
    mean = x.mean(tuple(range(1, x.dim()))).exp()
    return -mean.view(-1, *(1,) * len(shape)) * torch.ones(x.shape[0], *shape)


def _kind(base: type[ops.Op]) -> type[ops.Op]:
    """A class that derives from an operation of nas, with other torch code."""
    if base in _KINDS:
        return _KINDS[base]
    kind: type[ops.Op] = dataclass(frozen=True, slots=True)(type(f"Own{base.__name__}", (base,), {}))

    @call_of.register(kind)
    def _(op: Any, x: Any, *others: Any, inplace: bool, call: Callable[..., Any]) -> Any:
        return call(_minus, (x, op.out_shape(*_SHAPES[op])))

    return _KINDS.setdefault(base, kind)


_KINDS: dict[type[ops.Op], type[ops.Op]] = {}
_SHAPES: dict[ops.Op, list[Shape]] = {}


def _derived(op: ops.Op, shapes: list[Shape]) -> ops.Op:
    held = object.__getstate__(op)
    assert isinstance(held, tuple) or held is None
    own = _kind(type(op))(**(held[1] if held else {}))
    _SHAPES[own] = shapes
    return own


def _graph(op: ops.Op, shapes: list[Shape], *, first: str, then: str | None = None) -> Graph:
    """The operation on what a non-linearity, or `zero`, makes of the input; a non-linearity behind it."""
    g = GraphBuilder(shapes[0])
    x = g.zero(g.input) if first == "zero" else g.activation(g.input, first, "before")
    others = [g.zero(g.input, shape, f"other{i}") for i, shape in enumerate(shapes[1:])]
    return g.finish(g.activation(g.add("own", op, x, *others), then))


@pytest.mark.parametrize(("op", "shapes"), EVERY, ids=NAMES)
def test_it_computes_what_its_code_says(op: ops.Op, shapes: list[Shape]) -> None:
    own = _derived(op, shapes)
    out = op.out_shape(*shapes)
    x = torch.rand(2, *shapes[0])
    # Zero in gives -1; what is behind it is negative, so that relu has an effect; what was not negative before is.
    assert torch.equal(build_graph(_graph(own, shapes, first="zero")).eval()(x), -torch.ones(2, *out))
    assert torch.equal(build_graph(_graph(own, shapes, first="relu", then="relu")).eval()(x), torch.zeros(2, *out))
    expected = -x.flatten(1).mean(1).exp().view(-1, *(1,) * len(out)).expand(-1, *out)
    torch.testing.assert_close(build_graph(_graph(own, shapes, first="relu")).eval()(x), expected)


@pytest.mark.parametrize(("op", "shapes"), EVERY, ids=NAMES)
def test_it_costs_what_its_code_does(op: ops.Op, shapes: list[Shape]) -> None:
    graph = _graph(_derived(op, shapes), shapes, first="sigmoid")
    cost, module, x = graph_cost(graph), build_graph(graph), torch.rand(1, *shapes[0])
    assert (cost.params, cost.macs, cost.attention_macs, cost.size_bytes) == (0, 0, 0, 0)
    kept = saved_bytes(graph, shapes[0])
    assert kept <= cost.training_memory_bytes <= 1.2 * kept + 16
    zeros = len(graph.nodes) - 3  # a number each
    assert cost.activations == prod(shapes[0]) + zeros + prod(op.out_shape(*shapes))
    with torch.no_grad(), Meter([x]) as meter:
        module.eval()(x)
    assert cost.peak_memory_bytes >= meter.peak


def test_its_inputs_keep_their_order() -> None:
    def id_of(kind: type[ops.Op], reader: ops.Op, *, turned: bool) -> str:
        g = GraphBuilder(MAP)
        parts = [g.conv(g.input, 4, size, name=f"conv{size}") for size in (1, 3)]
        joined = g.add("join", kind(), *(reversed(parts) if turned else parts))
        return graph_id(g.finish(g.add("reader", reader, joined) if kind is ops.Concat else joined))

    conv = ops.Conv(8, 4, (1, 1), (1, 1), (0, 0), (1, 1), 1, False)
    own = _derived(conv, [(8, 6, 6)])
    assert id_of(ops.Concat, conv, turned=False) == id_of(ops.Concat, conv, turned=True)
    assert id_of(ops.Concat, own, turned=False) != id_of(ops.Concat, own, turned=True)
    assert id_of(ops.Add, conv, turned=False) == id_of(ops.Add, conv, turned=True)
    assert id_of(_kind(ops.Add), conv, turned=False) != id_of(_kind(ops.Add), conv, turned=True)


@dataclass(frozen=True, slots=True)
class Gated(ops.Conv):
    """A convolution times three functions of others."""


class GatedModule(nn.Module):
    def __init__(self, op: Gated) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Conv2d(op.in_channels, op.out_channels, 3, padding=1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        a, b, c, d = (part(x) for part in self.parts)
        found: Tensor = a * torch.sigmoid(b) * torch.tanh(c) * torch.exp(-(d**2))
        return found


@module_of.register
def _(op: Gated, spatial_dims: int, inplace: bool) -> nn.Module:
    return GatedModule(op)


def test_weights_and_work_are_those_of_its_code() -> None:
    g = GraphBuilder((3, 8, 8))
    graph = g.finish(g.add("own", Gated(3, 16, (3, 3), (1, 1), (1, 1), (1, 1), 1, True), g.input))
    cost, module = graph_cost(graph), build_graph(graph)
    assert cost.params == sum(p.numel() for p in module.parameters()) == 4 * (16 * 3 * 9 + 16)
    assert cost.param_tensors == 8
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(torch.randn(1, 3, 8, 8))
    assert cost.macs == counter.get_total_flops() // 2 == 4 * 16 * 64 * 3 * 9
    assert cost.training_memory_bytes == saved_bytes(graph, (3, 8, 8))
    # The window goes with the output shape, which it inherits.
    assert cost.receptive_field == 3


def test_the_predictor_of_latency_sees_its_work() -> None:
    g = GraphBuilder((3, 8, 8))
    x = g.add("own", Gated(3, 16, (3, 3), (1, 1), (1, 1), (1, 1), 1, True), g.input)
    x = g.add("random", _derived(ops.Dropout(0.1), [(16, 8, 8)]), x)
    first, second = graph_features(g.finish(x))
    assert first.kind == f"{__name__}.Gated"
    assert first.numbers.log_macs == log(1 + 4 * 16 * 64 * 3 * 9)
    assert second.kind.endswith("OwnDropout")


def test_a_branch_that_ends_in_one_does_not_start_at_zero() -> None:
    g = GraphBuilder(MAP)
    x = g.conv(g.input, 4, 3)
    own = _derived(ops.BatchNorm(4, 2), [MAP])
    assert last_norms(g.finish(g.add("sum", ops.Add(), g.add("own", own, x), g.input))) == []


def test_onnx_refuses_what_nobody_says_how_to_write() -> None:
    graph = _graph(_derived(ops.Activation("relu"), [MAP]), [MAP], first="tanh")
    with pytest.raises(NasError, match=r"own: ONNX has no .*OwnActivation yet; register .*write\.register"):
        to_onnx(graph, {})
    graph = _graph(_twist("plug_onnx")(), [MAP], first="tanh")  # derived from nothing but Op
    with pytest.raises(NasError, match=r"own: ONNX has no plug_onnx\.Twist yet; register .*write\.register"):
        to_onnx(graph, {})


# --- what tells two operations apart


def _id(op: ops.Op) -> str:
    g = GraphBuilder(MAP)
    return graph_id(g.finish(g.add("own", op, g.input)))


def _twist(module: str) -> Any:
    """The class `Twist` as a file of a user has it."""
    held = {"__module__": module, "__annotations__": {"turns": int}, "turns": 1}
    return dataclass(frozen=True, slots=True)(type("Twist", (ops.Op,), held))


@dataclass(frozen=True)
class Quiet(ops.Op):
    """Equal to others, and silent of what it holds."""

    shown: int = 0
    hidden: Any = field(default=0, repr=False)
    apart: Any = field(default=0, compare=False)

    def __repr__(self) -> str:
        return "Quiet()"


class Plain(ops.Activation):
    """Not a dataclass of its own."""

    def __init__(self, slope: float) -> None:
        super().__init__("relu")
        object.__setattr__(self, "slope", slope)


def test_two_classes_of_one_name_have_two_ids() -> None:
    one, other = _twist("plug_one"), _twist("plug_other")
    assert repr(one()) == repr(other())
    assert _id(one()) != _id(other())
    assert _id(one()) == _id(one()) != _id(one(2))


def test_two_classes_of_one_full_name_are_refused() -> None:
    """A script is another module to its worker processes, with the same names."""
    script, worker = _twist("__main__"), _twist("__mp_main__")
    assert _id(script()) == _id(script())
    with pytest.raises(NasError, match=r"two classes are named __main__\.Twist"):
        _id(worker())


def _long(last: float) -> np.ndarray[Any, Any]:
    return np.array([0.0] * 5000 + [last] + [0.0] * 5000)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Quiet(hidden=1), Quiet(hidden=2)),
        (Quiet(apart=1), Quiet(apart=2)),
        (Quiet(apart=_long(1)), Quiet(apart=_long(2))),
        (Quiet(apart=torch.from_numpy(_long(1))), Quiet(apart=torch.from_numpy(_long(2)))),
        (Quiet(apart=_long(1)), Quiet(apart=_long(1).astype(np.float32))),
        (Quiet(apart=[Quiet(hidden=1)]), Quiet(apart=[Quiet(hidden=2)])),
        (Quiet(apart={"a": 1}), Quiet(apart={"a": 2})),
        (Quiet(apart=_minus), Quiet(apart=_long)),
        (Plain(0.1), Plain(0.2)),
    ],
    ids=str,
)
def test_all_that_an_operation_holds_tells_it_apart(one: ops.Op, other: ops.Op) -> None:
    assert _id(one) != _id(other)


def test_order_without_a_meaning_does_not_tell_apart() -> None:
    assert _id(Quiet(apart={"a": 1, "b": 2})) == _id(Quiet(apart={"b": 2, "a": 1}))


@pytest.mark.parametrize("value", [lambda x: x, object(), nn.ReLU()], ids=["lambda", "object", "module"])
def test_what_cannot_be_written_in_full_is_refused(value: Any) -> None:
    with pytest.raises(NasError, match=r"holds at apart\[0\] .*, which cannot be told from others of its kind"):
        _id(Quiet(apart=[value]))


def test_networks_of_nas_keep_their_ids() -> None:
    """As they were before operations of users had names in full."""
    names = ("resnet18", "vit_b_16", "googlenet_paper")
    ids = [nas.load_space(f"reference/{name}").decode({}).arch_id for name in names]
    assert ids == ["f0d8223cfa88ba1b", "c2583fcd1551d046", "6c7119532d85f3f3"]
