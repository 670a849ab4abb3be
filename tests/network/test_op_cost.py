"""Each operation by hand: shape, parameters and multiply-adds from the formulas of the texts."""

from __future__ import annotations

import itertools
from math import prod
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nas
from nas.cost import graph_cost
from nas.errors import ShapeError
from nas.network import ops
from nas.network.blocks.squeeze_excite import squeeze_excite
from nas.network.builder import GraphBuilder
from nas.network.graph import Graph, chain
from nas.network.registry import Block, block_graph
from nas.network.section import Section


def _block(kind: str, shape: tuple[int, ...], **settings: Any) -> Graph:
    return block_graph(Block.of(kind, settings), shape, 10)


def _conv(shape: tuple[int, ...], out_channels: int, kernel: int, **settings: Any) -> Graph:
    builder = GraphBuilder(shape)
    return builder.finish(builder.conv(builder.input, out_channels, kernel, **settings))


# in shape, out channels, kernel, settings; then params, macs and out shape, worked out on paper.
ConvCase = tuple[tuple[int, ...], int, int, dict[str, Any], int, int, tuple[int, ...]]
CONVS: list[ConvCase] = [
    # 8*3*9 = 216; 216 * 100.
    ((3, 10, 10), 8, 3, {}, 216, 21_600, (8, 10, 10)),
    # A bias adds 8 parameters and no multiply-adds.
    ((3, 10, 10), 8, 3, {"bias": True}, 224, 21_600, (8, 10, 10)),
    # Stride 2: 10 -> 5, a quarter of the positions.
    ((3, 10, 10), 8, 3, {"stride": 2}, 216, 5_400, (8, 5, 5)),
    # Four groups: each output reads 8/4 = 2 channels; 16*2*9 = 288 weights, 288 * 36.
    ((8, 6, 6), 16, 3, {"groups": 4}, 288, 10_368, (16, 6, 6)),
    # Depthwise: one filter a channel.
    ((8, 6, 6), 8, 5, {"groups": 8}, 200, 7_200, (8, 6, 6)),
    # Dilation 2 without padding: the window spans 5, 9 -> 5; as many weights.
    ((2, 9, 9), 4, 3, {"dilation": 2, "padding": 0}, 72, 1_800, (4, 5, 5)),
    # Dilation with its own padding keeps the map.
    ((2, 9, 9), 4, 3, {"dilation": 2}, 72, 5_832, (4, 9, 9)),
    # 1-D: 16*4*7 = 448 weights, 20 positions at stride 5 of 100.
    ((4, 100), 16, 7, {"stride": 5}, 448, 8_960, (16, 20)),
    # 3-D: 27 values a window.
    ((2, 4, 4, 4), 3, 3, {}, 162, 10_368, (3, 4, 4, 4)),
    # Not square: (12 - 3)//2 + 1 = 5 and (7 - 3)//2 + 1 = 3.
    ((1, 12, 7), 2, 3, {"stride": 2, "padding": 0}, 18, 270, (2, 5, 3)),
]


@pytest.mark.parametrize("case", CONVS, ids=str)
def test_convolution(case: ConvCase) -> None:
    shape, out, kernel, settings, params, macs, out_shape = case
    graph = _conv(shape, out, kernel, **settings)
    assert graph.out_shape == out_shape
    cost = graph_cost(graph)
    assert (cost.params, cost.macs, cost.activations, cost.size_bytes) == (params, macs, prod(out_shape), 4 * params)
    # The output alone is held, since the input belongs to the caller; training keeps the input.
    assert (cost.peak_memory_bytes, cost.training_memory_bytes) == (4 * prod(out_shape), 4 * prod(shape))


def test_linear_with_and_without_bias() -> None:
    assert (ops.Linear(7, 5).params, ops.Linear(7, 5, bias=False).params) == (40, 35)
    assert ops.Linear(7, 5).macs((5,)) == ops.Linear(7, 5, bias=False).macs((5,)) == 35
    # On 6 tokens it is applied 6 times.
    assert ops.Linear(7, 5).out_shape(ops.Tokens((6, 7))) == (6, 5)
    assert ops.Linear(7, 5).macs((6, 5)) == 6 * 35


def test_normalisation_stores_two_statistics_and_a_counter() -> None:
    """Scale and shift are learned; mean and variance in fp32 and an int64 count of batches are kept."""
    norm = ops.BatchNorm(12, 2)
    assert (norm.params, norm.buffer_bytes, norm.macs((12, 5, 5))) == (24, 2 * 12 * 4 + 8, 0)


@pytest.mark.parametrize(
    "op", [ops.Activation("silu"), ops.Add(), ops.GlobalAvgPool(), ops.Flatten(), ops.Dropout(0.3)]
)
def test_operations_without_weights_cost_no_multiply_adds(op: ops.Op) -> None:
    assert (op.params, op.buffer_bytes, op.macs((8, 4, 4))) == (0, 0, 0)


@pytest.mark.parametrize("size", [(9, 9), (20,), (5, 6, 7)])
def test_squeeze_and_excitation(size: tuple[int, ...]) -> None:
    """C -> S -> C with biases on one position, whatever the map: 2CS + C + S parameters, 2CS multiply-adds."""
    channels, squeeze = 24, 6
    builder = GraphBuilder((channels, *size))
    cost = graph_cost(builder.finish(squeeze_excite(builder, builder.input, squeeze)))
    assert cost.params == 2 * channels * squeeze + channels + squeeze == 318
    assert cost.macs == 2 * channels * squeeze == 288
    # Written: mean, both convolutions, the gate and the scaled map.
    assert cost.activations == channels + squeeze + 2 * channels + channels * prod(size)


def test_output_size_is_torchs_over_a_grid() -> None:
    import torch
    from torch.nn.functional import conv2d

    image, compared = torch.empty(1, 1, 11, 6, device="meta"), 0
    for kernel, stride, padding, dilation in itertools.product(range(1, 6), (1, 2, 3), range(4), (1, 2, 3)):
        weight = torch.empty(2, 1, kernel, kernel, device="meta")
        try:
            expected: tuple[int, ...] | None = tuple(
                conv2d(image, weight, stride=stride, padding=padding, dilation=dilation).shape[1:]
            )
        except RuntimeError:
            expected = None
        settings = {"stride": stride, "padding": padding, "dilation": dilation}
        if expected is None:
            with pytest.raises(ShapeError, match="shrinks to nothing"):
                _conv((1, 11, 6), 2, kernel, **settings)
        else:
            assert _conv((1, 11, 6), 2, kernel, **settings).out_shape == expected
        compared += expected is not None
    assert 0 < compared < 180


def _unit(c_in: int, c_out: int, k: int, size: int, groups: int = 1) -> tuple[int, int]:
    """Parameters and multiply-adds of a convolution with normalisation whose output map has this size."""
    weights = c_out * (c_in // groups) * k * k
    return weights + 2 * c_out, weights * size * size


def _sum(*parts: tuple[int, int]) -> tuple[int, int]:
    return sum(p for p, _ in parts), sum(m for _, m in parts)


@pytest.mark.parametrize(
    ("c", "out", "k", "stride", "ratio"), list(itertools.product([8, 16], [8, 16], [3, 7], [1, 2], [1, 4]))
)
def test_inverted_residuals(c: int, out: int, k: int, stride: int, ratio: int) -> None:
    """Sandler et al. 2018, table 1, with `k` for 3; fused: Tan & Le 2021, figure 2."""
    hidden, size, after = c * ratio, 14, 14 // stride
    expand = [_unit(c, hidden, 1, size)] if ratio > 1 else []
    separable = _sum(*expand, _unit(hidden, hidden, k, after, groups=hidden), _unit(hidden, out, 1, after))
    two = _sum(_unit(c, hidden, k, after), _unit(hidden, out, 1, after))
    fused = two if ratio > 1 else _unit(c, out, k, after)
    settings = {"out_channels": out, "kernel": k, "stride": stride, "expand_ratio": ratio}
    for kind, expected in (("mbconv", separable), ("fused_mbconv", fused)):
        graph = _block(kind, (c, size, size), **settings)
        cost = graph_cost(graph)
        assert (cost.params, cost.macs) == expected
        assert graph.out_shape == (out, after, after)
        # The shortcut is there only where it needs no projection.
        assert any(isinstance(node.op, ops.Add) for node in graph.nodes) == (stride == 1 and c == out)


@pytest.mark.parametrize(("c", "out", "stride"), list(itertools.product([32, 64], [32, 64], [1, 2])))
def test_residual_blocks(c: int, out: int, stride: int) -> None:
    """He et al. 2016, figure 5, with a projection (option B) where the shape changes."""
    size, after, inner = 14, 14 // stride, out // 4
    shortcut = [_unit(c, out, 1, after)] if stride > 1 or c != out else []
    basic = _sum(_unit(c, out, 3, after), _unit(out, out, 3, after), *shortcut)
    bottleneck = _sum(_unit(c, inner, 1, size), _unit(inner, inner, 3, after), _unit(inner, out, 1, after), *shortcut)
    for kind, expected in (("residual_basic", basic), ("residual_bottleneck", bottleneck)):
        cost = graph_cost(_block(kind, (c, size, size), out_channels=out, stride=stride))
        assert (cost.params, cost.macs) == expected


_UNITS = st.lists(
    st.tuples(
        st.sampled_from(["conv", "mbconv", "residual_basic"]),
        st.fixed_dictionaries(
            {"out_channels": st.integers(1, 12), "kernel": st.sampled_from([1, 3]), "stride": st.integers(1, 2)}
        ),
    ),
    max_size=5,
)


@given(_UNITS)
def test_cost_adds_up_over_blocks(units: list[tuple[str, dict[str, int]]]) -> None:
    parts: list[tuple[str, Graph]] = []
    shape: tuple[int, ...] = (3, 16, 12)
    for i, (kind, settings) in enumerate(units):
        graph = _block(kind, shape, **settings)
        parts.append((f"part{i}", graph))
        shape = graph.out_shape
    whole = chain((3, 16, 12), parts)
    costs = [graph_cost(graph) for _, graph in parts]
    total = graph_cost(whole)
    for name in ("params", "macs", "activations", "size_bytes", "size_fp16_bytes", "size_int8_bytes", "param_tensors"):
        assert getattr(total, name) == sum(getattr(cost, name) for cost in costs)
    assert whole.out_shape == shape
    # Costs are put together from the parts; counting the chain as a whole must give the same.
    blocks = tuple(Block.of(kind, settings) for kind, settings in units)
    arch = nas.Architecture((3, 16, 12), 10, Section(()), (Section(blocks),), Section(()))
    assert nas.cost_of(arch) == total
    assert len({node.name for node in whole.nodes}) == len(whole.nodes)


@pytest.mark.parametrize("name", ["mbconv", "five_stage", "vgg", "nasbench201", "reference/resnet18"])
def test_multiply_adds_of_the_trunk_grow_with_the_area(name: str) -> None:
    """Twice the side is four times the area; parameters stay, and what comes after pooling costs the same."""
    space = nas.load_space(name)
    genotype = space.sample(3)
    small, large = (space.for_data((3, n, n), 10).decode(genotype) for n in (64, 128))
    costs = [nas.cost_of(arch) for arch in (small, large)]
    once = [
        sum(
            node.op.macs(node.shape)
            for node in nas.lower(arch).nodes
            if prod(node.shape[1:]) == 1 and _after(node.name)
        )
        for arch in (small, large)
    ]
    assert costs[0].params == costs[1].params
    assert costs[0].size_bytes == costs[1].size_bytes
    assert once[0] == once[1] > 0
    assert costs[1].macs - once[1] == 4 * (costs[0].macs - once[0])


def _after(name: str) -> bool:
    """Whether an operation reads what a pooling over the whole map gave."""
    return ".se." in name or name.endswith("linear")
