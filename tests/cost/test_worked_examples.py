"""Worked examples of teaching texts on convolutional networks, with the numbers that are right.

Where a text had another number (its multiplications were wrong, or its unit), the comment says so.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

import nas
from nas.cost import graph_cost
from nas.network import ops
from nas.network.builder import GraphBuilder
from nas.network.graph import Graph
from nas.network.registry import Block, block_graph
from nas.pytorch import build_graph


def _block(kind: str, shape: tuple[int, ...], **settings: Any) -> Graph:
    return block_graph(Block.of(kind, settings), shape, 10)


def _weights(c_in: int, c_out: int, k: int) -> int:
    return ops.Conv(c_in, c_out, (k, k), (1, 1), (0, 0), (1, 1), 1, False).params


def _macs(c_in: int, c_out: int, k: int, size: int) -> int:
    builder = GraphBuilder((c_in, size, size))
    return graph_cost(builder.finish(builder.conv(builder.input, c_out, k))).macs


def _reference(name: str, **let: Any) -> nas.Cost:
    return nas.cost_of(nas.load_space(f"reference/{name}", **let).decode({}))


def _normalised(arch: nas.Architecture) -> int:
    """Channels that are normalised, all of them: the biases that stand before them in the texts' code."""
    return sum(node.op.channels for node in nas.lower(arch).nodes if isinstance(node.op, ops.BatchNorm))


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "out"),
    [(28, 3, 1, 0, 26), (28, 3, 2, 0, 13), (5, 3, 1, 1, 5), (7, 3, 1, 0, 5)],
)
def test_output_sizes(size: int, kernel: int, stride: int, padding: int, out: int) -> None:
    graph = _block("conv", (1, size, size), out_channels=1, kernel=kernel, stride=stride, padding=padding)
    assert graph.out_shape == (1, out, out)


@pytest.mark.parametrize(("size", "padding", "out"), [(224, 0, 54), (224, 2, 55), (227, 0, 55)])
def test_the_first_layer_of_alexnet(size: int, padding: int, out: int) -> None:
    """55 needs a padding of 2, or 227 pixels; without either 224 give 54."""
    graph = _block("conv", (3, size, size), out_channels=96, kernel=11, stride=4, padding=padding)
    assert graph.out_shape == (96, out, out)


def test_lenet_shapes() -> None:
    arch = nas.load_space("reference/lenet5").decode({})
    shapes = [node.shape for node in nas.lower(arch).nodes if isinstance(node.op, ops.Conv | ops.AvgPool)]
    assert shapes == [(6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5)]


def test_fully_connected_against_convolution() -> None:
    image = 224 * 224 * 3
    assert ops.Linear(image, 1000).params == 150_528_000 + 1000
    assert ops.Linear(image, 1000, bias=False).params == 150_528_000
    assert _weights(3, 1, 3) == 27


def test_max_pooling() -> None:
    """The text has [[4, 8], [6, 9]]."""
    x = torch.arange(1.0, 17).view(1, 1, 4, 4)
    module = build_graph(_block("max_pool", (1, 4, 4)))
    assert module(x).tolist() == [[[[6, 8], [14, 16]]]]


def test_alexnets() -> None:
    assert _reference("alexnet_paper").params == 60_965_224
    assert _reference("alexnet_paper", groups=1).params == 62_378_344
    assert _reference("alexnet").params == 61_100_840


def test_stacks_of_small_kernels() -> None:
    """VGG: two 3x3 see as far as one 5x5, three as one 7x7, with 28 % and 44.9 % fewer weights."""
    for depth, kernel in ((2, 5), (3, 7)):
        arch = nas.Architecture(
            (8, 32, 32),
            10,
            nas.network.Section(()),
            (nas.network.Section(tuple(Block.of("conv", {"out_channels": 8}) for _ in range(depth))),),
            nas.network.Section(()),
        )
        assert nas.cost_of(arch).receptive_field == kernel
    c = 64
    assert (2 * _weights(c, c, 3), _weights(c, c, 5)) == (18 * c * c, 25 * c * c)
    # 0.11 M and 0.20 M; the text has 27 M and 49 M.
    assert (3 * _weights(c, c, 3), _weights(c, c, 7)) == (110_592, 200_704)
    assert round(1 - 18 / 25, 3) == 0.28
    assert round(1 - 27 / 49, 3) == 0.449


def test_vgg16() -> None:
    arch = nas.load_space("reference/vgg16").decode({})
    dense = [node.op for node in nas.lower(arch).nodes if isinstance(node.op, ops.Linear)]
    assert len(dense) == 3  # the text counts two
    assert sum(op.params for op in dense) == 123_642_856
    vgg, resnet = nas.cost_of(arch), _reference("resnet50")
    assert vgg.params == 138_357_544
    assert round(vgg.params / resnet.params, 2) == 5.41
    assert round(vgg.macs / resnet.macs, 2) == 3.78


def test_bottleneck_against_one_convolution() -> None:
    weights = _weights(256, 64, 1) + _weights(64, 64, 3) + _weights(64, 256, 1)
    assert weights == 69_632
    assert _weights(256, 256, 3) == 589_824
    assert round(589_824 / weights, 3) == 8.471
    # With normalisation twice 64 + 64 + 256 more.
    assert graph_cost(_block("residual_bottleneck", (256, 8, 8), out_channels=256)).params == weights + 768
    # A basic block has two: 1,179,648.
    assert graph_cost(_block("residual_basic", (256, 8, 8), out_channels=256)).params == 1_179_648 + 2 * 2 * 256


def test_depthwise_separable() -> None:
    assert _macs(128, 256, 3, 56) == 924_844_032
    cost = graph_cost(_block("separable_conv", (128, 56, 56), out_channels=256))
    assert cost.macs == 3_612_672 + 102_760_448 == 106_373_120
    assert round(cost.macs / 924_844_032, 5) == 0.11502 == round(1 / 256 + 1 / 9, 5)
    # The saving depends on the width: below eightfold for fewer than 72 filters.
    saving = {n: 1 / (1 / n + 1 / 9) for n in (16, 32, 64, 71, 72, 128, 1024)}
    assert {n: round(s, 2) for n, s in saving.items() if n in (16, 32, 64, 128, 1024)} == {
        16: 5.76,
        32: 7.02,
        64: 7.89,
        128: 8.41,
        1024: 8.92,
    }
    assert saving[71] < 8 <= saving[72]


def test_depthwise_work_follows_the_output_map() -> None:
    """The text counts the input's positions, which is right at stride 1 only."""
    graph = _block("separable_conv", (32, 16, 16), out_channels=64, stride=2)
    assert graph_cost(graph).macs == 8 * 8 * (32 * 9 + 32 * 64)


def test_mobilenet_against_vgg16() -> None:
    mobile, vgg = _reference("mobilenet_v1"), _reference("vgg16")
    assert (round(vgg.params / mobile.params, 1), round(vgg.macs / mobile.macs, 1)) == (32.7, 27.2)


def test_inception_with_and_without_reduction() -> None:
    """Every product of the text is wrong: 854 M, 358 M, 58 %; 116 M, 48 M, 164 M, 83 M, 95 M, 42 %."""
    whole = _macs(192, 128, 1, 28) + _macs(192, 192, 3, 28) + _macs(192, 96, 5, 28)
    # Written out, the text's first term has 128 x 192 as well.
    assert whole == 28**2 * (128 * 192 + 192 * 192 * 9 + 96 * 192 * 25) == 640_647_168
    reduced = 28**2 * (128 * 192 + (96 * 192 + 192 * 96 * 9) + (16 * 192 + 96 * 16 * 25))
    assert reduced == 196_288_512
    assert round(1 - reduced / whole, 3) == 0.694
    assert (_macs(192, 128, 3, 28), _macs(192, 32, 5, 28)) == (173_408_256, 120_422_400)
    assert _macs(192, 128, 3, 28) + _macs(192, 32, 5, 28) == 293_830_656
    narrow3 = _macs(192, 96, 1, 28) + _macs(96, 128, 3, 28)
    narrow5 = _macs(192, 16, 1, 28) + _macs(16, 32, 5, 28)
    assert (narrow3, narrow5, narrow3 + narrow5) == (101_154_816, 12_443_648, 113_598_464)
    assert round(1 - 113_598_464 / 293_830_656, 3) == 0.613


def test_inception_3a() -> None:
    settings = {"conv1": 64, "reduce3": 96, "conv3": 128, "reduce5": 16, "conv5": 32, "pool": 32, "norm": None}
    graph = _block("inception", (192, 28, 28), **settings)
    cost = graph_cost(graph)
    assert graph.out_shape == (256, 28, 28)
    assert (cost.macs, cost.params) == (128_049_152, 163_328 + 368)


@pytest.mark.parametrize(("layer", "weights"), [(0, 69_632), (1, 73_728), (6, 94_208), (12, 118_784), (24, 167_936)])
def test_dense_layers_grow(layer: int, weights: int) -> None:
    channels = 256 + 32 * layer
    cost = graph_cost(_block("dense_layer", (channels, 7, 7), growth=32))
    assert cost.params == weights + 2 * channels + 2 * 128


def test_densenet121_channels() -> None:
    arch = nas.load_space("reference/densenet121").decode({})
    graph = nas.lower(arch)
    last = {n.name.split(".")[1]: n.shape[0] for n in graph.nodes if n.name.endswith("concat")}
    assert list(last.values()) == [256, 512, 1024, 1024]
    dense, resnet = nas.cost_of(arch), _reference("resnet50")
    assert round(resnet.params / dense.params, 2) == 3.20
    assert round(resnet.params / _reference("densenet169").params, 2) == 1.81


def test_receptive_field_with_dilation_and_stride() -> None:
    """K + (K - 1)(D - 1) for a dilated kernel; r grows by (K - 1) D times the strides before."""

    def field(*layers: dict[str, Any]) -> int | None:
        blocks = tuple(Block.of("conv", {"out_channels": 4, **layer}) for layer in layers)
        empty = nas.network.Section(())
        return nas.cost_of(
            nas.Architecture((4, 64, 64), 10, empty, (nas.network.Section(blocks),), empty)
        ).receptive_field

    assert field({"kernel": 3, "dilation": 2}) == 5
    assert field({"kernel": 3, "dilation": 4}, {"kernel": 3}) == 9 + 2
    assert field({"kernel": 3, "stride": 2}, {"kernel": 3, "stride": 2}, {"kernel": 3}) == 3 + 2 * 2 + 2 * 4


def test_squeeze_and_excitation_in_efficientnet() -> None:
    """The squeeze is a quarter of the block's input; a quarter of the expanded width, as the text has it, together with
    a bias before every normalisation makes 8,444,856 parameters of 5,288,548."""
    assert _reference("efficientnet_b0").params == 5_288_548
    values = nas.load_space("reference/efficientnet_b0").decode({}).to_dict()
    for stage in values["stages"]:
        for block in stage:
            block["se_of"] = "hidden"
    wrong = nas.Architecture.from_dict(values)
    assert nas.cost_of(wrong).params + _normalised(wrong) == 8_444_856


def test_se_resnet50_adds_parameters_rather_than_work() -> None:
    """+9.9 % parameters and +0.06 % multiply-adds; the text has them the other way round."""
    with_se, without = _reference("seresnet50"), _reference("resnet50")
    assert (with_se.params, with_se.macs) == (28_088_024, 4_091_699_200)
    assert round(with_se.params / without.params - 1, 3) == 0.099
    assert round(with_se.macs / without.macs - 1, 4) == 0.0006


def test_resnet50_v1_and_v15() -> None:
    assert _reference("resnet50").macs == 4_089_184_256
    first = _reference("resnet50", stride_in="reduce")
    assert first.params == 25_557_032
    assert round(first.macs / 1e9, 2) == 3.86
    assert _reference("resnet152").macs == 11_513_626_624


def test_shortcuts() -> None:
    """Zero padding costs nothing (option A); a projection has a normalisation of its own (option B)."""
    shape, wide = (16, 8, 8), {"out_channels": 32, "stride": 2}
    padded = graph_cost(_block("residual_basic", shape, **wide, shortcut="zero_pad"))
    projected = graph_cost(_block("residual_basic", shape, **wide))
    assert projected.params - padded.params == 16 * 32 + 2 * 32
    assert padded.params == 9 * 16 * 32 + 9 * 32 * 32 + 4 * 32


def test_mobilenet_v2_does_not_expand_at_ratio_1() -> None:
    graph = _block("mbconv", (32, 8, 8), out_channels=16, expand_ratio=1)
    assert not any("expand" in node.name for node in graph.nodes)


def test_mobilenet_v3_small() -> None:
    """2.5 M parameters; 2.9 M with 66 M multiply-adds is the first version of the paper."""
    cost = _reference("mobilenet_v3_small")
    assert (cost.params, cost.macs) == (2_542_856, 56_510_400)


def test_vit_tokens() -> None:
    arch = nas.load_space("reference/vit_b_16").decode({})
    shapes = {node.name: node.shape for node in nas.lower(arch).nodes}
    assert (224 // 16) ** 2 == 196
    assert 16 * 16 * 3 == 768
    assert shapes["stem.0.class_token"] == (197, 768)
    assert nas.cost_of(arch).params == 86_567_656


def test_sizes_in_mebibytes() -> None:
    """The text prints millions of parameters as MB; fp32 takes four bytes each, and normalisations have statistics."""
    expected = {
        "mobilenet_v2": 14.0,
        "mobilenet_v3_small": 10.2,
        "efficientnet_b0": 21.2,
        "resnet50": 102.2,
        "resnet101": 178.2,
    }
    for name, megabytes in expected.items():
        assert round(4 * _reference(name).params / 1e6, 1) == megabytes
    cost = _reference("resnet50")
    norms = [
        n.op
        for n in nas.lower(nas.load_space("reference/resnet50").decode({})).nodes
        if isinstance(n.op, ops.BatchNorm)
    ]
    assert sum(2 * op.channels for op in norms) == 53_120
    assert cost.size_bytes == 4 * cost.params + 4 * 53_120 + 8 * len(norms) == 102_441_032
    assert round(cost.size_mib, 1) == 97.7


def test_the_macro_template() -> None:
    """Blocks 2, 3, 4, 3 and widths 64 to 512: 19,074,024 parameters with a bias before every normalisation, 2.739 G
    multiply-adds at 224."""
    stages = [
        {"block": "residual_basic", "depth": depth, "out_channels": width, "stride": 1 if width == 64 else 2}
        for depth, width in ((2, 64), (3, 128), (4, 256), (3, 512))
    ]
    space = nas.SearchSpace.from_dict(
        {
            "stem": [
                {"block": "conv", "out_channels": 64, "kernel": 7, "stride": 2},
                {"block": "max_pool", "kernel": 3, "stride": 2, "padding": 1},
            ],
            "stages": stages,
            "head": {"block": "classifier"},
        }
    )
    arch = space.decode({})
    assert nas.cost_of(arch).params + _normalised(arch) == 19_074_024
    assert nas.cost_of(arch).macs == 2_738_917_376


def test_width_multiplier_of_mobilenet_v1_at_these_widths() -> None:
    """int(32 a) and rounding to multiples of 8 agree for a quarter, a half, three quarters and one."""
    from nas.network.rounding import round_to

    for width in (0.25, 0.5, 0.75, 1.0):
        assert all(int(c * width) == round_to(c * width, 8) for c in (32, 64, 128, 256, 512, 1024))
