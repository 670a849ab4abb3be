"""Each measurement against its definition, worked out another way."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import nas
from nas.network.graph import Graph
from nas.pytorch.build import build_graph
from nas.training.diagnostics.activations import outputs_of
from nas.training.diagnostics.anti_aliasing import anti_aliased
from nas.training.diagnostics.dead_units import dead_share, units_of
from nas.training.diagnostics.gradients import gradients_of
from nas.training.diagnostics.layers import layers_of
from nas.training.diagnostics.receptive_field import effective_field
from nas.training.diagnostics.sharpness import RADIUS, largest_eigenvalue, sharpness_of
from nas.training.diagnostics.shift import shift_variance

CLASSIFIER = {"block": "classifier"}
FLAT = {"block": "classifier", "pool": None}


def _arch(resolution: int, *blocks: dict[str, Any], channels: int = 1, classes: int = 3) -> nas.Architecture:
    *body, head = blocks
    body = body or [{"block": "avg_pool", "kernel": 1, "stride": 1}]  # which changes nothing
    assume = {"channels": channels, "resolution": resolution, "num_classes": classes}
    return nas.SearchSpace.from_dict({"assume": assume, "stages": body, "head": head}).decode({})


def _conv(out_channels: int, **settings: Any) -> dict[str, Any]:
    return {"block": "conv", "out_channels": out_channels, "norm": None, **settings}


def _built(arch: nas.Architecture, seed: int = 0) -> tuple[nn.Module, Graph]:
    torch.manual_seed(seed)
    return nas.build(arch).eval(), nas.lower(arch)


def _batch(count: int, arch: nas.Architecture, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, *arch.input_shape, generator=generator)
    return inputs, torch.randint(0, arch.num_classes, (count,), generator=generator)


def test_the_depth_is_that_of_the_longest_path() -> None:
    def depths(name: str) -> dict[str, int]:
        arch = nas.load_space(name).decode({})
        return {layer.name: layer.depth for layer, _ in layers_of(nas.lower(arch))}

    assert max(depths("reference/resnet20_cifar").values()) == 20
    found = depths("reference/resnetv2_18")
    # The shortcut of the first block that subsamples lies beside its two convolutions.
    assert found["stages.1.blocks.0.shortcut"] == found["stages.1.blocks.0.conv1"] == 6
    assert max(found.values()) == 18


# Gradients


def test_gradients_of_a_small_network_by_hand() -> None:
    arch = _arch(6, _conv(4), _conv(5, stride=2), CLASSIFIER)
    network, graph = _built(arch)
    inputs, labels = _batch(7, arch)
    first, second, third = (layer.name for layer, _ in layers_of(graph))
    state = {name: value.clone().requires_grad_() for name, value in network.state_dict().items()}
    before = F.conv2d(inputs, state[f"{first}.weight"], state[f"{first}.bias"], padding=1)
    middle = F.conv2d(before.relu(), state[f"{second}.weight"], state[f"{second}.bias"], padding=1, stride=2)
    logits = middle.relu().mean((2, 3)) @ state[f"{third}.weight"].T + state[f"{third}.bias"]
    losses = logits.logsumexp(1) - logits[torch.arange(7), labels]
    weights = [state[f"{name}.weight"] for name in (first, second, third)]
    norms = [float(one.norm()) for one in torch.autograd.grad(losses.mean(), weights, retain_graph=True)]
    # No example sees another one here, so the gradient of the sum is that of each example's own loss.
    signals = [float(one.square().mean().sqrt()) for one in torch.autograd.grad(losses.sum(), [before, middle, logits])]
    found = gradients_of(network, graph, inputs, labels)
    assert found.loss == pytest.approx(float(losses.detach().mean()), rel=1e-5)
    assert [one.depth for one in found.layers] == [1, 2, 3]
    assert [one.gradient_norm for one in found.layers] == pytest.approx(norms, rel=1e-4)
    assert [one.signal_rms for one in found.layers] == pytest.approx(signals, rel=1e-4)
    assert [one.weight_norm for one in found.layers] == pytest.approx([float(w.detach().norm()) for w in weights])
    assert found.ratio == pytest.approx(norms[0] / norms[2], rel=1e-4)
    assert found.signal_ratio == pytest.approx(signals[0] / signals[1], rel=1e-4)


def test_the_gradient_of_a_linear_classifier_is_known() -> None:
    arch = _arch(2, FLAT)
    network, graph = _built(arch)
    inputs, labels = _batch(9, arch)
    with torch.no_grad():
        errors = network(inputs).softmax(1) - F.one_hot(labels, 3)
    (layer,) = gradients_of(network, graph, inputs, labels).layers
    assert layer.gradient_norm == pytest.approx(float((errors.T @ inputs.flatten(1) / 9).norm()), rel=1e-4)
    assert layer.signal_rms == pytest.approx(float(errors.square().mean().sqrt()), rel=1e-4)


def test_batch_normalisation_is_as_in_training_and_the_network_stays_as_it_is() -> None:
    arch = _arch(6, {"block": "conv", "out_channels": 4}, CLASSIFIER)
    network, graph = _built(arch)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    inputs, labels = _batch(8, arch)
    found = gradients_of(network, graph, inputs, labels)
    # Of the batch's own statistics: ten times the contrast changes nothing but the gradient of the first weight.
    larger = gradients_of(network, graph, 10 * inputs, labels)
    assert larger.loss == pytest.approx(found.loss, abs=1e-4)
    sharpness_of(network, inputs, labels)
    effective_field(network, graph, inputs)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module.training for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_gradients_pass_layers_whose_output_is_added_to_in_place() -> None:
    arch = nas.load_space("reference/vit_tiny_16").for_data((3, 16, 16), 4, task="classification").decode({})
    network, graph = _built(arch)
    inputs, labels = _batch(2, arch)
    layers = gradients_of(network, graph, inputs, labels).layers
    assert len(layers) == 50
    assert all(one.signal_rms > 0 for one in layers)


# Activations and dead units


def test_outputs_of_layers_are_those_before_normalisation_and_activation() -> None:
    arch = _arch(6, _conv(4), CLASSIFIER)
    network, graph = _built(arch)
    inputs, _ = _batch(5, arch)
    state = network.state_dict()
    given = F.conv2d(inputs, state["stages.0.blocks.0.conv.weight"], padding=1).numpy()
    first, last = outputs_of(network, graph, inputs)
    assert (first.name, first.depth, last.depth) == ("stages.0.blocks.0.conv", 1, 2)
    assert (first.mean, first.std) == pytest.approx((given.mean(), given.std()), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(
    ("activation", "bias", "dead"),
    [
        ("relu", -100.0, 1.0),
        ("relu", 100.0, 0.0),
        ("relu6", -100.0, 1.0),
        ("relu6", 100.0, 1.0),
        ("hardswish", -100.0, 1.0),
        ("hardswish", -2.9, 0.0),
        ("gelu", -100.0, math.nan),
    ],
)
def test_units_that_a_bias_switches_off_are_dead(activation: str, bias: float, dead: float) -> None:
    arch = _arch(6, _conv(8, activation=activation), CLASSIFIER)
    network, graph = _built(arch)
    with torch.no_grad():
        network.get_parameter("stages.0.blocks.0.conv.bias").fill_(bias)
    found = units_of(network, graph, _batch(16, arch)[0])
    assert dead_share(found) == pytest.approx(dead, nan_ok=True)
    assert [one.inactive == 1 for one in found] == [dead == 1] * len(found)


def test_dead_units_are_counted_by_channel() -> None:
    arch = _arch(6, _conv(8), {"block": "linear", "out_channels": 10}, FLAT)
    network, graph = _built(arch)
    with torch.no_grad():
        network.get_parameter("stages.0.blocks.0.conv.bias")[:3] = -100
        network.get_parameter("stages.1.blocks.0.linear.bias")[:4] = -100
        network.get_parameter("stages.1.blocks.0.linear.bias")[4:] = 100
    first, second = units_of(network, graph, _batch(16, arch)[0])
    assert (first.units, first.dead, second.units, second.dead) == (8, 3, 10, 4)
    assert second.inactive == pytest.approx(0.4)
    assert dead_share((first, second)) == pytest.approx(7 / 18)


# Receptive fields

FIELDS: dict[str, tuple[dict[str, Any], ...]] = {
    "one": (_conv(2),),
    "five": (_conv(2, kernel=5), _conv(2, kernel=1)),
    "stack": (_conv(2),) * 5,
    "strides": (_conv(2, stride=2), _conv(2), _conv(2, stride=2), _conv(2)),
    "dilation": (_conv(2, dilation=3), _conv(2)),
    "pooling": (_conv(2), {"block": "avg_pool"}, _conv(2), {"block": "blur_pool"}, _conv(2)),
    "residual": ({"block": "residual_basic", "out_channels": 2, "stride": 2, "norm": None},) * 2,
    "gates": ({"block": "residual_basic", "out_channels": 2, "norm": None, "se_ratio": 0.5},),
}


@pytest.mark.parametrize("name", FIELDS)
def test_positive_weights_reach_the_whole_theoretical_field(name: str) -> None:
    arch = _arch(64, *FIELDS[name], CLASSIFIER)
    network, graph = _built(arch)
    with torch.no_grad():
        for part, parameter in network.named_parameters():
            # Gates see the whole map, which is not counted: here they are open by half whatever they see.
            parameter.fill_(0.0 if ".se." in part else 0.1)
    field = effective_field(network, graph, torch.ones(1, *arch.input_shape))
    assert field is not None
    assert field.reached == nas.cost_of(arch).receptive_field
    assert field.influence.shape == (64, 64)
    assert field.influence.max() == 1


def test_the_effective_field_of_equal_weights_is_a_power_of_the_kernel() -> None:
    """Luo et al. 2016, section 2.1: without activations the influence is the kernel convolved with itself."""
    arch = _arch(32, *(_conv(1, activation=None, bias=False),) * 6, CLASSIFIER)
    network, graph = _built(arch)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1.0)
    row = np.ones(1)
    for _ in range(6):
        row = np.convolve(row, np.ones(3))
    influence = np.outer(row, row) / row.max() ** 2
    field = effective_field(network, graph, torch.ones(1, 1, 32, 32))
    assert field is not None
    assert (field.layer, field.reached) == ("stages.5.blocks.0.conv", 13)
    assert field.influence[16 - 6 : 16 + 7, 16 - 6 : 16 + 7] == pytest.approx(influence)
    assert field.effective == pytest.approx((influence >= 0.0455).sum() ** 0.5)
    assert field.effective < 10


def test_the_last_map_is_what_the_last_pooling_reads_and_not_gates() -> None:
    arch = _arch(
        16, {"block": "mbconv", "out_channels": 4, "expand_ratio": 2, "se_ratio": 0.5, "stride": 2}, CLASSIFIER
    )
    network, graph = _built(arch)
    pools = [node for node in graph.nodes if type(node.op).__name__ == "GlobalAvgPool"]
    assert len(pools) == 2
    field = effective_field(network, graph, torch.ones(1, 1, 16, 16))
    assert field is not None
    assert field.layer == graph.nodes[pools[1].inputs[0]].name


def test_attention_has_no_last_map() -> None:
    arch = nas.load_space("reference/vit_tiny_16").for_data((3, 16, 16), 4, task="classification").decode({})
    network, graph = _built(arch)
    assert effective_field(network, graph, torch.ones(1, 3, 16, 16)) is None


# Shifts


def test_a_mean_over_all_positions_does_not_see_a_shift() -> None:
    arch = _arch(8, _conv(6, kernel=1), _conv(5, kernel=1), CLASSIFIER)
    network, _ = _built(arch)
    found = shift_variance(network, _batch(10, arch)[0])
    assert found.variation == pytest.approx(0, abs=1e-5)
    assert (found.consistency, found.images) == (1.0, 10)


def test_to_a_linear_classifier_of_noise_a_moved_image_is_another_one() -> None:
    arch = _arch(16, FLAT)
    network, _ = _built(arch)
    assert shift_variance(network, _batch(400, arch)[0]).variation == pytest.approx(1, abs=0.06)


def _stripes(count: int) -> Tensor:
    """Images whose odd columns have one level and whose even ones have another."""
    levels = torch.rand(count, 1, 1, 2, generator=torch.Generator().manual_seed(0))
    return levels.repeat(1, 1, 8, 4)


def test_blurs_take_out_what_subsampling_folds_down() -> None:
    """Every second column alone tells which of the two levels it is on; their mean is the same after a move."""
    arch = _arch(8, _conv(1, kernel=1, stride=2, activation=None, bias=False), CLASSIFIER)
    network, graph = _built(arch)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.linspace(1, 2, parameter.numel()).view_as(parameter))
    changed = anti_aliased(graph)
    assert changed is not None
    blurring = build_graph(changed).eval()
    blurring.load_state_dict(network.state_dict(), strict=False)
    assert shift_variance(network, _stripes(20)).variation > 0.5
    assert shift_variance(blurring, _stripes(20)).variation == pytest.approx(0, abs=1e-5)


def test_blurs_stand_where_an_anti_aliased_block_has_them() -> None:
    """`residual_basic` has the same as a setting of its own."""

    def network(*, anti_alias: bool) -> nas.Architecture:
        block = {"block": "residual_basic", "out_channels": 6, "stride": 2, "anti_alias": anti_alias}
        zero_pad = {**block, "out_channels": 8, "shortcut": "zero_pad"}
        return _arch(16, block, zero_pad, CLASSIFIER)

    plain, graph = _built(network(anti_alias=False))
    blocks, _ = _built(network(anti_alias=True))
    blocks.load_state_dict(plain.state_dict(), strict=False)
    changed = anti_aliased(graph)
    assert changed is not None
    ours = build_graph(changed).eval()
    missing, unexpected = ours.load_state_dict(plain.state_dict(), strict=False)
    assert (len(missing), unexpected) == (4, [])
    inputs, _ = _batch(3, network(anti_alias=False))
    with torch.no_grad():
        assert torch.allclose(ours(inputs), blocks(inputs), atol=1e-6)
        assert not torch.allclose(ours(inputs), plain(inputs), atol=1e-3)


def test_pooling_is_blurred_too_and_what_cannot_be_stays() -> None:
    arch = _arch(8, _conv(4), {"block": "max_pool"}, {"block": "avg_pool"}, _conv(4, kernel=2, stride=2, padding=0),
                 CLASSIFIER)  # fmt: skip
    graph = nas.lower(arch)
    changed = anti_aliased(graph)
    assert changed is not None
    kinds = [type(node.op).__name__ for node in changed.nodes[1:]]
    # The mean is a blur; behind the last convolution a map of 1x1 would have no edge to reflect at.
    assert kinds == ["Conv", "Activation", "MaxPool", "Blur", "Blur", "Conv", "Activation", "Flatten", "Linear"]
    shapes = {node.name: node.shape for node in changed.nodes}
    assert shapes.pop("stages.1.blocks.0.pool") == (4, 7, 7)
    assert shapes.pop("stages.1.blocks.0.pool_blur") == (4, 4, 4)
    assert shapes.items() <= {node.name: node.shape for node in graph.nodes}.items()
    assert anti_aliased(nas.lower(_arch(8, _conv(4), CLASSIFIER))) is None


# Sharpness


@pytest.mark.parametrize(
    ("eigenvalues", "largest"), [((1.0, 5.0, 9.0), 9.0), ((1.0, 5.0, -9.0), 5.0), ((-2.0, -1.0), -1.0)]
)
def test_the_largest_eigenvalue_of_a_quadratic_form(eigenvalues: tuple[float, ...], largest: float) -> None:
    rotation, _ = torch.linalg.qr(torch.randn(len(eigenvalues), len(eigenvalues), dtype=torch.float64,
                                              generator=torch.Generator().manual_seed(3)))  # fmt: skip
    matrix = rotation @ torch.diag(torch.tensor(eigenvalues, dtype=torch.float64)) @ rotation.T
    point = torch.ones(len(eigenvalues), dtype=torch.float64, requires_grad=True)
    gradients = torch.autograd.grad(0.5 * point @ matrix @ point, [point], create_graph=True)
    found = largest_eigenvalue(gradients, [point])
    assert found.converged
    assert found.value == pytest.approx(largest, rel=0.01)


def test_sharpness_of_a_linear_classifier_against_its_whole_hessian() -> None:
    arch = _arch(2, FLAT)
    network, _ = _built(arch)
    inputs, labels = _batch(9, arch)
    given = inputs.flatten(1)
    weights = torch.cat([value.flatten() for value in network.state_dict().values()])

    def loss(flat: Tensor) -> Tensor:
        return F.cross_entropy(given @ flat[:12].view(3, 4).T + flat[12:], labels)

    assert network.state_dict()["head.0.linear.weight"].shape == (3, 4)
    hessian = torch.autograd.functional.hessian(loss, weights)
    gradient = torch.autograd.functional.jacobian(loss, weights)
    found = sharpness_of(network, inputs, labels)
    assert found.converged
    assert found.largest_eigenvalue == pytest.approx(float(torch.linalg.eigvalsh(hessian)[-1]), rel=0.01)
    higher = loss(weights + RADIUS * gradient / gradient.norm())
    assert found.loss_rise == pytest.approx(float(higher - loss(weights)), rel=1e-3)
    assert found.loss_rise == pytest.approx(RADIUS * float(gradient.norm()), rel=0.1)


@pytest.mark.parametrize("activation", ["hardswish", "hardsigmoid", "gelu"])
def test_the_largest_eigenvalue_of_a_network_against_differences_of_its_gradient(activation: str) -> None:
    arch = _arch(4, _conv(2, activation=activation), CLASSIFIER)
    network, _ = _built(arch)
    network = network.double()
    inputs, labels = _batch(6, arch)
    inputs = inputs.double()
    parameters = list(network.parameters())

    def gradient() -> Tensor:
        found = torch.autograd.grad(F.cross_entropy(network(inputs), labels), parameters)
        return torch.cat([one.flatten() for one in found])

    rows = []
    for parameter in parameters:
        for place in range(parameter.numel()):
            sides = []
            for step in (1e-5, -2e-5, 1e-5):
                with torch.no_grad():
                    parameter.view(-1)[place] += step
                sides.append(gradient())
            rows.append((sides[0] - sides[1]) / 2e-5)
    hessian = torch.stack(rows)
    largest = float(torch.linalg.eigvalsh((hessian + hessian.T) / 2)[-1])
    assert sharpness_of(network, inputs, labels).largest_eigenvalue == pytest.approx(largest, rel=0.05)
