"""Operations that a user adds and that do not state what they do: nothing of them is counted too low."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nas.cost import graph_cost
from nas.network import ops
from nas.network.builder import GraphBuilder, Value
from nas.network.graph import Graph
from nas.network.ops import Op, Shape
from nas.pytorch import build_graph
from nas.pytorch.modules import call_of, module_of
from tests.pytorch.test_memory import saved_bytes
from tests.pytorch.test_reference import Meter

SHAPE = (4, 6, 6)


@dataclass(frozen=True, slots=True)
class Silent(Op):
    """A user's operation that says nothing but its name."""


@dataclass(frozen=True, slots=True)
class Mixed(Op):
    """A user's operation with weights, state and products that says nothing of them."""

    channels: int


@dataclass(frozen=True, slots=True)
class Viewed(Op):
    """A user's operation that gives back a view of what it reads."""


@dataclass(frozen=True, slots=True)
class NoCode(Op):
    """A user's operation without torch code."""


@dataclass(frozen=True, slots=True)
class Patches(Op):
    """A user's operation that makes tokens of a map."""

    def out_shape(self, *shapes: Shape) -> Shape:
        channels, high, wide = shapes[0]
        return (high * wide, channels)


class MixedModule(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.conv(x))
        flat = y.flatten(2)
        weights = torch.softmax(flat.transpose(1, 2) @ flat, -1)
        return (flat @ weights).view_as(x) + x.exp().sin()


def _steps(x: Tensor) -> Tensor:
    for _ in range(20):
        x = torch.sin(x) * torch.exp(-x)
    return x


@pytest.fixture(autouse=True, scope="module")
def _code() -> None:
    @call_of.register
    def _(op: Silent, x: Any, *others: Any, inplace: bool, call: Callable[..., Any]) -> Any:
        return call(_steps, (x,))

    @call_of.register
    def _(op: Viewed, x: Any, *others: Any, inplace: bool, call: Callable[..., Any]) -> Any:
        return call("view_as", (x, x))

    @module_of.register
    def _(op: Mixed, spatial_dims: int, inplace: bool) -> nn.Module:
        return MixedModule(op.channels)


def _graph(*steps: Op | str) -> Graph:
    """Operations one behind the other, a convolution before them."""
    g = GraphBuilder(SHAPE)
    x: Value = g.conv(g.input, 4, 3, bias=True)
    for i, step in enumerate(steps):
        x = g.activation(x, step, f"act{i}") if isinstance(step, str) else g.add(f"own{i}", step, x)
    return g.finish(x)


@pytest.mark.parametrize(
    "steps",
    [
        (Silent(),),
        (Silent(), "relu"),
        ("relu", Silent(), Silent()),
        (Mixed(4),),
        (Mixed(4), "silu", Mixed(4)),
        (Viewed(), "relu"),
    ],
    ids=str,
)
def test_what_is_kept_for_the_backward_pass_is_counted(steps: tuple[Op | str, ...]) -> None:
    graph = _graph(*steps)
    kept = saved_bytes(graph, SHAPE)
    counted = graph_cost(graph).training_memory_bytes
    assert kept <= counted <= 1.2 * kept


def test_weights_state_work_and_peak_are_those_of_the_code() -> None:
    graph = _graph(Mixed(4))
    cost, module = graph_cost(graph), build_graph(graph).eval()
    assert cost.params == sum(p.numel() for p in module.parameters()) == (4 * 4 * 9 + 4) + 4 * 4 * 9 + 2 * 4
    assert cost.param_tensors == 5
    assert cost.size_bytes == sum(v.numel() * v.element_size() for v in module.state_dict().values())
    x = torch.randn(1, *SHAPE)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(x)
    # Two convolutions, and two products of 4 x 36 with 36 x 36 numbers.
    assert cost.macs == counter.get_total_flops() // 2 == 2 * 36 * 4 * 4 * 9 + 2 * 4 * 36 * 36
    with torch.no_grad(), Meter([x, *module.parameters(), *module.buffers()]) as meter:
        module(x)
    assert cost.peak_memory_bytes >= meter.peak


def test_what_an_operation_states_is_taken() -> None:
    @dataclass(frozen=True, slots=True)
    class Stated(Silent):
        saved = ("input",)

        def saved_extra(self, in_shape: Shape, out_shape: Shape) -> int:
            return 12

    bare, stated = graph_cost(_graph()), graph_cost(_graph(Stated()))
    output = 4 * 4 * 36
    assert stated.training_memory_bytes == bare.training_memory_bytes + output + 12


def test_without_code_all_that_it_reads_and_writes_is_kept() -> None:
    bare, blind = graph_cost(_graph()), graph_cost(_graph(NoCode()))
    assert blind.training_memory_bytes == bare.training_memory_bytes + 2 * (4 * 4 * 36)


def test_nothing_overwrites_what_may_be_a_view_or_read_again() -> None:
    """Otherwise torch would stop in the backward pass, or x itself would change."""
    g = GraphBuilder(SHAPE)
    x = g.conv(g.input, 4, 1)
    y = g.activation(g.add("own", Viewed(), x), "relu")
    graph = g.finish(g.add("sum", ops.Add(), y, x))
    module = build_graph(graph).train()
    given = torch.randn(2, *SHAPE)
    inner = torch.conv2d(given, module.get_parameter("conv.weight"))
    torch.testing.assert_close(module(given), torch.relu(inner) + inner)
    build_graph(_graph(Silent(), "relu")).train()(given).sum().backward()


def test_what_writes_new_memory_and_reads_it_no_more_is_overwritten() -> None:
    """It has to say both; else nothing says that it gives no view, or does not read what it gave."""

    @dataclass(frozen=True, slots=True)
    class New(Silent):
        memory = "new"

    @dataclass(frozen=True, slots=True)
    class Read(Silent):
        saved = ("input",)

    @dataclass(frozen=True, slots=True)
    class NewAndRead(Silent):
        memory = "new"
        saved = ("input",)

    over = {op: _graph(op, "relu").nodes[-1].in_place for op in (Silent(), New(), Read(), NewAndRead())}
    assert over == {Silent(): False, New(): False, Read(): False, NewAndRead(): True}


def test_two_with_weights_on_one_input_are_two() -> None:
    g = GraphBuilder(SHAPE)
    graph = g.finish(g.add("sum", ops.Add(), *(g.add(name, Mixed(4), g.input) for name in ("a", "b"))))
    assert graph_cost(graph).params == 2 * (4 * 4 * 9 + 2 * 4)


def test_measuring_leaves_chance_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    graph_cost(_graph(Mixed(4), Silent()))
    assert torch.equal(torch.rand(3), expected)


def test_what_an_own_operation_makes_of_a_map_can_be_tokens() -> None:
    g = GraphBuilder(SHAPE)
    x = g.add("patches", Patches(), g.input)
    assert (x.kind, x.channels, x.map_size) == ("tokens", 4, ())
    assert g.add("same", NoCode(), x).kind == "tokens"
