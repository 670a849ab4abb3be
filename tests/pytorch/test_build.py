"""Graph -> module: names, generated code, initial weights; and the whole space against torch."""

from __future__ import annotations

import math
import random
import re

import pytest
import torch
from torch import nn

import nas
from nas.network.lower import lower
from nas.pytorch import build_graph
from nas.pytorch.initial_weights import last_norms


def _meta_params(arch: nas.Architecture) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in build_graph(lower(arch)).parameters())


def _check_params(count: int, seed: int) -> None:
    space, rng = nas.load_space("mbconv"), random.Random(seed)
    for _ in range(count):
        arch = space.decode(space.sample(rng))
        assert nas.cost_of(arch).params == _meta_params(arch)


def test_graph_params_are_module_params() -> None:
    _check_params(40, seed=0)


@pytest.mark.slow
def test_graph_params_are_module_params_for_2000_networks() -> None:
    _check_params(2000, seed=1)


def _check_training_step(count: int, seed: int) -> None:
    space, rng = nas.load_space("mbconv").for_data((1, 28, 28), 7), random.Random(seed)
    for _ in range(count):
        arch = space.decode(space.sample(rng))
        module = nas.build(arch)
        output = module(torch.randn(2, 1, 28, 28))
        assert output.shape == (2, 7)
        output.square().sum().backward()
        without = [name for name, p in module.named_parameters() if p.grad is None]
        assert not without
        assert all(bool(torch.isfinite(p.grad).all()) for p in module.parameters() if p.grad is not None)


def test_forward_and_backward_reach_every_parameter() -> None:
    _check_training_step(10, seed=2)


@pytest.mark.slow
def test_forward_and_backward_reach_every_parameter_in_100_networks() -> None:
    _check_training_step(100, seed=3)


def test_names_are_hierarchical_and_in_order() -> None:
    module = nas.build(nas.load_space("reference/mobilenet_v2").decode({}))
    names = [name for name, _ in module.named_parameters()]
    assert names[:3] == ["stem.0.conv.weight", "stem.0.norm.weight", "stem.0.norm.bias"]
    assert "stages.2.blocks.1.expand.conv.weight" in names
    assert names[-1] == "head.1.linear.bias"


def test_generated_code_frees_tensors() -> None:
    arch = nas.load_space("reference/resnet18").decode({})
    freed = re.findall(r"\b(\w+) = (?=(?:\w+ = )*None)", nas.build(arch).code)
    # Each value is set to None once, where it is last used, but for the output.
    assert len(freed) == len(set(freed)) == len(lower(arch).nodes) - 1


def test_inplace_activation_never_overwrites_what_is_read_again() -> None:
    """The gradient is the one without in-place operations."""
    arch = nas.load_space("reference/resnet18").for_data((3, 32, 32), 10).decode({})
    module = nas.build(arch)
    assert any(getattr(part, "inplace", False) for part in module.modules())
    x = torch.randn(2, 3, 32, 32)

    def gradients() -> list[torch.Tensor]:
        module.zero_grad()
        module(x).square().sum().backward()
        return [p.grad.clone() for p in module.parameters() if p.grad is not None]

    first = gradients()
    for part in module.modules():
        if hasattr(part, "inplace"):
            setattr(part, "inplace", False)  # noqa: B010  (a Module attribute that the stubs do not know)
    for a, b in zip(first, gradients(), strict=True):
        torch.testing.assert_close(a, b)


def test_initial_weights_are_he_normal_and_seeded() -> None:
    arch = nas.load_space("reference/resnet50").decode({})
    torch.manual_seed(7)
    module = nas.build(arch)
    conv = module.get_submodule("stages.2.blocks.1.conv.conv")
    assert isinstance(conv, nn.Conv2d)
    # He et al. 2015: variance 2 / (k^2 * out_channels); 589,824 weights, so 1 % is eight standard errors.
    assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / (9 * conv.out_channels)), rel=0.01)
    linear = module.get_submodule("head.0.linear")
    assert isinstance(linear, nn.Linear)
    assert linear.weight.std().item() == pytest.approx(0.01, rel=0.01)
    assert linear.bias.abs().max().item() == 0
    torch.manual_seed(7)
    again = nas.build(arch)
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), again.parameters(), strict=True))


def test_zero_init_last_silences_the_residual_branches() -> None:
    arch = nas.load_space("reference/resnet18").for_data((3, 32, 32), 10).decode({})
    graph = lower(arch)
    names = last_norms(graph)
    assert names == [f"stages.{s}.blocks.{b}.conv2.norm" for s in range(4) for b in range(2)]
    module = nas.build(arch, zero_init_last=True)
    zero = {name for name, p in module.named_parameters() if name.endswith("norm.weight") and not p.any()}
    assert zero == {f"{name}.weight" for name in names}
    assert all(p.any() for name, p in nas.build(arch).named_parameters() if name.endswith("norm.weight"))
