"""Costs against closed formulas and worked examples."""

from __future__ import annotations

from typing import Any

import pytest

import nas
from nas.cost import Cost, graph_cost
from nas.errors import ShapeError
from nas.network.builder import GraphBuilder
from nas.network.lower import lower
from nas.network.registry import Block, block_graph
from nas.network.section import Section
from tests.frozen import changeable


def _block(kind: str, shape: tuple[int, ...], **settings: Any) -> Cost:
    return graph_cost(block_graph(Block.of(kind, settings), shape, 10))


def test_depthwise_separable_against_standard_convolution() -> None:
    """The worked example of MobileNet texts: 3x3, 128 -> 256 channels, 56x56."""
    builder = GraphBuilder((128, 56, 56))
    standard = graph_cost(builder.finish(builder.conv(builder.input, 256, 3)))
    assert standard.macs == 924_844_032
    builder = GraphBuilder((128, 56, 56))
    depthwise = builder.conv(builder.input, 128, 3, groups=128, name="depthwise")
    separable = graph_cost(builder.finish(builder.conv(depthwise, 256, 1, name="pointwise")))
    assert separable.macs == 3_612_672 + 102_760_448
    assert separable.macs / standard.macs == pytest.approx(1 / 256 + 1 / 9)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("out", [16, 24])
def test_mbconv_by_formula(stride: int, kernel: int, out: int) -> None:
    channels, size, expand, squeeze = 16, 12, 6, 4
    hidden, after = channels * expand, size // stride
    weights = channels * hidden + hidden * kernel**2 + hidden * out
    gate = 2 * hidden * squeeze
    macs = channels * hidden * size**2 + (hidden * kernel**2 + hidden * out) * after**2 + gate
    cost = _block(
        "mbconv",
        (channels, size, size),
        out_channels=out,
        kernel=kernel,
        stride=stride,
        expand_ratio=expand,
        se_ratio=0.25,
    )
    assert cost.params == weights + 2 * (hidden + hidden + out) + gate + squeeze + hidden
    assert cost.macs == macs


def test_bottleneck_weights_of_the_paper() -> None:
    """256 -> 64 -> 64 -> 256: 69,632 weights, and scale and shift of three normalisations."""
    cost = _block("residual_bottleneck", (256, 14, 14), out_channels=256)
    assert cost.params == 69_632 + 2 * (64 + 64 + 256)
    assert cost.macs == 69_632 * 14**2


def test_activations_are_what_is_written_to_new_memory() -> None:
    # conv and normalisation write 8x5x5 each; the activation works in place.
    assert _block("conv", (3, 10, 10), out_channels=8, stride=2).activations == 2 * 8 * 5 * 5
    # pool 4, flatten is a view, dropout does nothing, linear 10.
    assert _block("classifier", (4, 6, 6), dropout=0.5).activations == 4 + 10


def test_stored_size_is_weights_statistics_and_counter() -> None:
    cost = _block("conv", (3, 10, 10), out_channels=8)
    assert cost.size_bytes == 4 * (3 * 8 * 9 + 2 * 8) + 4 * 2 * 8 + 8
    assert cost.size_mib == cost.size_bytes / 2**20


def test_resnet_and_vgg_examples() -> None:
    """Three 3x3 layers against one 7x7 layer of 64 channels: 110,592 against 200,704 weights."""

    def weights(kernels: list[int]) -> int:
        builder = GraphBuilder((64, 8, 8))
        x = builder.input
        for i, kernel in enumerate(kernels):
            x = builder.conv(x, 64, kernel, name=f"conv{i}")
        return graph_cost(builder.finish(x)).params

    assert weights([3, 3, 3]) == 110_592
    assert weights([7]) == 200_704


@pytest.mark.parametrize("name", nas.space_names())
def test_a_network_costs_what_its_whole_graph_costs(name: str) -> None:
    """`cost_of` adds up remembered sections; the graph is counted operation by operation."""
    space = nas.load_space(name)
    for seed in range(20):
        arch = space.decode(space.sample(seed))
        assert nas.cost_of(arch) == graph_cost(nas.lower(arch))


def test_known_networks_in_mib() -> None:
    """Stored sizes of the published weights' state: ResNet-50 97.695 MiB, MobileNetV2 13.5 MiB."""
    sizes = {"resnet50": 97.695, "mobilenet_v2": 13.5, "resnet18": 44.629, "efficientnet_b0": 20.334}
    for name, mib in sizes.items():
        assert nas.cost_of(nas.load_space(f"reference/{name}").decode({})).size_mib == pytest.approx(mib, abs=1e-3)


def test_what_gives_several_maps_ends_a_network() -> None:
    """Counting refuses what lowering refuses, in the same words."""
    conv = Section((Block.of("conv", {"out_channels": 8}),))
    pyramid = Block.of("feature_pyramid", {"out_channels": 8, "stages": (conv, conv)})
    arch = nas.Architecture((3, 16, 16), 10, conv, (), Section((pyramid, Block.of("classifier", {}))))
    messages = []
    for what in (nas.cost_of, lower):
        with pytest.raises(ShapeError, match=r"^head\.1: takes one map") as caught:
            what(arch)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_a_cost_never_changes_once_it_is_counted() -> None:
    assert changeable("nas.cost") == set()


def test_a_cost_comes_back_from_its_plain_values() -> None:
    cost = nas.cost_of(nas.load_space("reference/resnet18").decode({}))
    values = cost.to_dict()
    assert Cost.from_dict(values) == cost
    assert Cost.from_dict({**values, "of_another_version": 1}) == cost
    for wrong in (True, "5"):
        with pytest.raises(ValueError, match=f"params is {wrong!r}"):
            Cost.from_dict({**values, "params": wrong})
