"""Optimisers of recipes, against their formulas written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nas.training.optimizers import TensorflowRMSprop, optimizer_of
from nas.training.recipe import Recipe


def _gradients(steps: int) -> list[Tensor]:
    return [torch.randn(3, 2, generator=torch.Generator().manual_seed(step)) for step in range(steps)]


def _taken(optimizer: torch.optim.Optimizer, weight: nn.Parameter, gradients: list[Tensor]) -> Tensor:
    for gradient in gradients:
        weight.grad = gradient.clone()
        optimizer.step()
    return weight.detach().double()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_rmsprop_is_that_of_tensorflow(momentum: float) -> None:
    """By the formulas of its `RMSPropOptimizer`, in float64; timm's `rmsproptf` has the same."""
    start, lr, decay, eps, weight_decay = torch.linspace(-1, 1, 6).view(3, 2), 0.1, 0.8, 1e-3, 0.05
    weight = nn.Parameter(start.clone())
    optimizer = TensorflowRMSprop([weight], lr=lr, decay=decay, eps=eps, momentum=momentum, weight_decay=weight_decay)
    found = _taken(optimizer, weight, _gradients(5))
    w, s, m = start.double().numpy(), np.ones((3, 2)), np.zeros((3, 2))
    for gradient in _gradients(5):
        g = gradient.double().numpy() + weight_decay * w
        s = decay * s + (1 - decay) * g**2
        m = momentum * m + lr * g / np.sqrt(s + eps)
        w = w - m
    np.testing.assert_allclose(found.numpy(), w, rtol=1e-5)


def test_it_is_not_the_one_of_torch() -> None:
    ours, theirs = (nn.Parameter(torch.zeros(3, 2)) for _ in range(2))
    first = _taken(TensorflowRMSprop([ours], lr=0.1), ours, _gradients(3))
    second = _taken(torch.optim.RMSprop([theirs], lr=0.1, alpha=0.9, eps=1e-3, momentum=0.9), theirs, _gradients(3))
    assert (first - second).abs().max() > 0.1


def test_a_state_dict_goes_on() -> None:
    gradients = _gradients(6)
    whole = nn.Parameter(torch.ones(3, 2))
    expected = _taken(TensorflowRMSprop([whole], lr=0.1), whole, gradients)
    weight = nn.Parameter(torch.ones(3, 2))
    first = TensorflowRMSprop([weight], lr=0.1)
    _taken(first, weight, gradients[:3])
    second = TensorflowRMSprop([weight], lr=0.1)
    second.load_state_dict(first.state_dict())
    assert torch.equal(_taken(second, weight, gradients[3:]), expected)


@pytest.mark.parametrize("nesterov", [True, False])
def test_momentum_of_sgd_is_plain_where_it_is_said(nesterov: bool) -> None:
    """m <- mu m + g, and a step of m, or of g + mu m (Sutskever et al. 2013, as torch writes it)."""
    weight = nn.Parameter(torch.ones(3, 2))
    recipe = Recipe(optimizer="sgd", lr=0.1, momentum=0.8, nesterov=nesterov)
    found = _taken(optimizer_of(recipe, [{"params": [weight]}]), weight, _gradients(4))
    w, m = np.ones((3, 2)), np.zeros((3, 2))
    for gradient in _gradients(4):
        g = gradient.double().numpy()
        m = 0.8 * m + g
        w = w - 0.1 * (g + 0.8 * m if nesterov else m)
    np.testing.assert_allclose(found.numpy(), w, rtol=1e-5)


def test_each_optimizer_takes_the_settings_of_its_groups() -> None:
    decayed, plain = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2))
    for name in ("adamw", "sgd", "rmsprop"):
        groups = [{"params": [decayed], "weight_decay": 0.5}, {"params": [plain], "weight_decay": 0.0, "lr": 0.2}]
        made = optimizer_of(Recipe(optimizer=name, lr=0.1), groups)
        assert [(group["weight_decay"], group["lr"]) for group in made.param_groups] == [(0.5, 0.1), (0.0, 0.2)]
