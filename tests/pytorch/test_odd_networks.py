"""Networks that nobody would build on purpose: what is counted is what the module does, or there is one error."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import nas
from nas.cost import graph_cost
from nas.errors import ShapeError
from nas.network.lower import lower
from nas.pytorch import build_graph
from tests.pytorch.test_memory import saved_bytes
from tests.pytorch.test_reference import Meter

CONV = {"block": "conv", "out_channels": 8}
LINEAR = {**CONV, "norm": None, "activation": None}
HEAD = {"block": "classifier"}
PATCHES = {"block": "patch_embed", "features": 8, "patch": 4}
ENCODER = {"block": "transformer_encoder", "heads": 2}


def _arch(*blocks: Any, shape: tuple[int, ...] = (3, 8, 8), head: tuple[Any, ...] = (HEAD,)) -> nas.Architecture:
    return nas.Architecture.from_dict(
        {
            "format": "nas.architecture/1",
            "input_shape": list(shape),
            "num_classes": 10,
            "stem": [],
            "stages": [[block] for block in blocks],
            "head": list(head),
        }
    )


CROP = {
    "block": "parallel",
    "crop": True,
    "join": "add",
    "branches": [[{**LINEAR, "kernel": 1, "padding": 8}], [LINEAR]],
}
ODD = {
    "a view of a larger map": _arch(CROP, {**LINEAR, "out_channels": 64}, head=({"block": "pixel_classifier"},)),
    "zeros between": _arch(LINEAR, {"block": "zero", "stride": 3}, LINEAR),
    "an auxiliary classifier that is early": _arch(
        CONV,
        {"block": "auxiliary", "body": [HEAD]},
        {**CONV, "out_channels": 16},
        {**CONV, "out_channels": 16},
    ),
    "an auxiliary classifier of nothing": _arch(
        {"block": "linear", "out_channels": 10}, {"block": "auxiliary", "body": []}, head=()
    ),
    "normalised features": _arch(
        {"block": "linear", "out_channels": 10}, {"block": "norm_act"}, head=({"block": "linear", "out_channels": 10},)
    ),
    "all tokens as features": _arch(PATCHES, ENCODER, head=({"block": "linear", "out_channels": 10},)),
    "tokens in a branch": _arch(
        {"block": "parallel", "branches": [[PATCHES, ENCODER], [PATCHES]], "join": "add"},
        {"block": "norm_act", "norm": "layer"},
        head=({"block": "token_classifier", "pool": "mean"},),
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_counted_is_what_happens(name: str) -> None:
    arch = ODD[name]
    cost, graph = nas.cost_of(arch), lower(arch)
    assert cost == graph_cost(graph)
    module = nas.build(arch)
    assert cost.params == sum(parameter.numel() for parameter in module.parameters())
    assert cost.size_bytes == sum(value.numel() * value.element_size() for value in module.state_dict().values())
    assert module.train()(torch.randn(2, *arch.input_shape)) is not None
    x = torch.randn(1, *arch.input_shape)
    with torch.no_grad(), Meter([x, *module.parameters(), *module.buffers()]) as meter:
        module.eval()(x)
    # To make one zero, torch computes one number for a moment and shows it as a map.
    assert cost.peak_memory_bytes == pytest.approx(meter.peak, abs=4 * name.count("zeros"))
    if name != "normalised features":  # torch does not normalise one example of features in training
        assert cost.training_memory_bytes == saved_bytes(graph, arch.input_shape)


def test_tokens_that_are_mixed_see_everything() -> None:
    assert nas.cost_of(ODD["all tokens as features"]).receptive_field is None


@pytest.mark.parametrize(
    ("arch", "problem"),
    [
        (
            _arch(CONV, {"block": "auxiliary", "body": [CONV, {"block": "auxiliary", "body": [HEAD]}, HEAD]}),
            r"stages\.1\.blocks\.0: auxiliary: a classifier inside an auxiliary classifier",
        ),
        (
            _arch(
                CONV,
                {"block": "auxiliary", "body": [HEAD]},
                head=({"block": "feature_pyramid", "stages": [[CONV], [CONV]]},),
            ),
            r"head\.0: a network with auxiliary classifiers has one output",
        ),
        (
            _arch({"block": "linear", "out_channels": 10}, {"block": "local_response_norm"}, head=()),
            "local_response_norm.*needs a map",
        ),
        (
            _arch({"block": "avg_pool", "kernel": 3, "stride": 1, "padding": 1}, shape=(3, 1, 1, 1)),
            "a map of 1x1x1 is smaller than the kernel 3x3x3",
        ),
    ],
)
def test_what_cannot_be_built_is_refused_in_counting(arch: nas.Architecture, problem: str) -> None:
    for what in (nas.cost_of, lower):
        with pytest.raises(ShapeError, match=problem):
            what(arch)


@pytest.mark.parametrize(
    ("blocks", "field"),
    [
        ([{"block": "up_conv", "out_channels": 2, "kernel": 2, "stride": 2}, {**LINEAR, "kernel": 4}], 3),
        ([{"block": "up_conv", "out_channels": 2, "kernel": 2, "stride": 2}, {**LINEAR, "kernel": 3}], 2),
        ([{"block": "up_conv", "out_channels": 2, "kernel": 2, "stride": 3}, {"block": "blur_pool", "stride": 1}], 2),
    ],
)
def test_receptive_field_of_a_map_that_grew(blocks: list[Any], field: int) -> None:
    """Against the input positions that any output position has a gradient on."""
    arch = _arch(*blocks, shape=(2, 60), head=())
    assert nas.cost_of(arch).receptive_field == field
    module = build_graph(lower(arch)).eval()
    x = torch.randn(1, 2, 60, requires_grad=True)
    y = module(x)
    widest = 0
    for position in range(20, y.shape[-1] - 20):
        (gradient,) = torch.autograd.grad(y[0, :, position].sum(), x, retain_graph=True)
        touched = gradient.abs().sum((0, 1)).nonzero()
        widest = max(widest, int(touched.max() - touched.min()) + 1)
    assert widest == field


def test_equal_ids_cost_the_same() -> None:
    """Behind zeros no weight matters, but there it is: another network to store."""
    three, five = (_arch({"block": "zero"}, {**CONV, "kernel": kernel}) for kernel in (3, 5))
    assert nas.cost_of(three).params != nas.cost_of(five).params
    assert three.arch_id != five.arch_id


def test_what_only_zeros_read_is_left_out() -> None:
    wasted = _arch(CONV, {"block": "parallel", "branches": [[], [CONV, {"block": "zero"}]]})
    plain = _arch(CONV, {"block": "parallel", "branches": [[], [{"block": "zero"}]]})
    assert nas.cost_of(wasted) == nas.cost_of(plain)
    assert wasted.arch_id == plain.arch_id


def test_a_sum_of_one_is_a_value_of_its_own() -> None:
    """Not simplified, an activation behind it must not overwrite what is read elsewhere."""
    inner = {"block": "parallel", "branches": [[]], "join": "add", "activation": "relu"}
    arch = _arch(LINEAR, {"block": "parallel", "branches": [[], [inner]]}, head=())
    x = torch.randn(1, 3, 8, 8)
    plain, simple = build_graph(lower(arch, simplified=False)).eval(), build_graph(lower(arch)).eval()
    plain.load_state_dict(simple.state_dict())
    torch.testing.assert_close(plain(x), simple(x))


@pytest.mark.parametrize(
    "block",
    [
        {"block": "residual_basic", "out_channels": 8, "norm": "batch_fixed"},
        {"block": "mbconv", "out_channels": 8, "drop_path": 0.1},
        {"block": "auxiliary", "body": [{"block": "residual_basic", "out_channels": 8}, HEAD]},
    ],
)
def test_every_residual_branch_that_can_starts_at_zero(block: dict[str, Any]) -> None:
    module = nas.build(_arch(CONV, block), zero_init_last=True)
    zeros = [name for name, weight in module.named_parameters() if name.endswith("weight") and not weight.any()]
    expected = 0 if block.get("norm") == "batch_fixed" else 1
    assert len(zeros) == expected, zeros


def test_three_dimensional_transposed_convolutions_are_initialised() -> None:
    """As those of two dimensions: biases zero, He normal."""
    block = {"block": "up_conv", "out_channels": 64, "kernel": 2, "norm": None}
    deviations = []
    for shape in ((64, 4, 4), (64, 4, 4, 4)):
        weight, bias = nas.build(_arch(block, shape=shape, head=())).parameters()
        assert not bias.any()
        deviations.append(weight.std().item() * weight[0].numel() ** 0.5)
    assert deviations == pytest.approx([2**0.5, 2**0.5], rel=0.05)
