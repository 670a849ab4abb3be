"""How sharp the minimum is: the largest curvature of the loss, and how much it rises nearby.

Foret et al. 2021, "Sharpness-aware minimization", equations 2 and 4: the loss at w + rho g / |g| less that at w. The
largest eigenvalue of the Hessian by power iteration on Hessian-vector products (Pearlmutter 1994, "Fast exact
multiplication by the Hessian"), as in Yao et al. 2020, "PyHessian".

Both change when weights are multiplied by a number that normalisation or the next layer takes back (Dinh et al. 2017,
"Sharp minima can generalize for deep nets"): they compare trainings of one network rather than networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, nan

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from nas.pytorch.layers import InPlaceInInference
from nas.pytorch.probe import probe_of

RADIUS = 0.05
"""Rho of Foret et al. 2021, where most of their experiments have it."""
_ITERATIONS, _TOLERANCE = 50, 1e-3

Tensors = Sequence[Tensor]


@dataclass(frozen=True, slots=True)
class Eigenvalue:
    """The largest eigenvalue of a Hessian."""

    value: float
    """Not a number where the loss is none."""
    iterations: int
    """Hessian-vector products that were made."""
    converged: bool
    """Whether the last two estimates differ by less than a thousandth."""


@dataclass(frozen=True, slots=True)
class Sharpness:
    """The shape of the loss of a batch around the weights."""

    largest_eigenvalue: float
    """Of the Hessian of the mean cross-entropy to all parameters."""
    iterations: int
    """As `Eigenvalue.iterations`."""
    converged: bool
    """As `Eigenvalue.converged`."""
    loss_rise: float
    """How much the loss grows, in nats, when all parameters together move by `RADIUS` along the gradient."""


def sharpness_of(network: nn.Module, inputs: Tensor, labels: Tensor, *, seed: int = 0) -> Sharpness:
    """Measure the sharpness of the mean cross-entropy of a batch, with batch normalisation as in training.

    Args:
        network: as `nas.build` makes it; stays as it is.
        inputs: `(batch, *input_shape)`.
        labels: `(batch,)`.
        seed: of the direction that the power iteration begins with.
    """
    probe = _twice_differentiable(probe_of(network))
    with sdpa_kernel(SDPBackend.MATH):  # the fast kernels of attention have no second derivative
        loss = F.cross_entropy(probe(inputs), labels)
        found = torch.autograd.grad(loss, list(probe.parameters()), create_graph=True, allow_unused=True)
        # A part that runs in training only has no gradient.
        pairs = [(p, g) for p, g in zip(probe.parameters(), found, strict=True) if g is not None]
        parameters, gradients = [p for p, _ in pairs], [g for _, g in pairs]
        largest = largest_eigenvalue(gradients, parameters, seed=seed)
    with torch.no_grad():
        length = float(_dot(gradients, gradients)) ** 0.5
        if length:
            for parameter, gradient in pairs:
                parameter.add_(gradient, alpha=RADIUS / length)
        rise = float(F.cross_entropy(probe(inputs), labels) - loss)
    return Sharpness(largest.value, largest.iterations, largest.converged, rise)


class _Hardsigmoid(nn.Module):
    """relu6(x + 3) / 6, which torch can differentiate twice; its own hardsigmoid it cannot."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function to each number."""
        return F.relu6(x + 3) / 6


def _twice_differentiable(probe: nn.Module) -> nn.Module:
    """Put what can be differentiated twice in the place of what cannot; the function stays the same."""
    for name, module in list(probe.named_modules()):
        in_place = isinstance(module, InPlaceInInference) and module.function is F.hardsigmoid
        if in_place or isinstance(module, nn.Hardsigmoid):
            parent, _, last = name.rpartition(".")
            setattr(probe.get_submodule(parent), last, _Hardsigmoid())
    return probe


def largest_eigenvalue(gradients: Tensors, parameters: Tensors, *, seed: int = 0) -> Eigenvalue:
    """Find the largest eigenvalue of a Hessian by power iteration.

    That converges to the one of largest size; where it is negative, a second one on H - lambda I finds the largest.

    Args:
        gradients: of a number to the parameters, made with `create_graph=True`.
        parameters: what the number depends on.
        seed: of the first direction.
    """
    first = _power_iteration(gradients, parameters, 0.0, seed)
    if not first.value < 0:
        return first
    second = _power_iteration(gradients, parameters, -first.value, seed)
    return Eigenvalue(second.value, first.iterations + second.iterations, second.converged)


def _power_iteration(gradients: Tensors, parameters: Tensors, shift: float, seed: int) -> Eigenvalue:
    """Return the eigenvalue of H whose distance from -shift is the largest."""
    generator = torch.Generator().manual_seed(seed)
    vector: Tensors = [torch.randn(one.shape, generator=generator).to(one) for one in parameters]
    value = nan
    for iteration in range(1, _ITERATIONS + 1):
        length = float(_dot(vector, vector)) ** 0.5
        if not isfinite(length) or not length:
            return Eigenvalue(value if isfinite(length) else nan, iteration - 1, converged=False)
        vector = [one / length for one in vector]
        product = _hessian_product(gradients, parameters, vector)
        before, value = value, float(_dot(vector, product))
        if abs(value - before) <= _TOLERANCE * abs(value):
            return Eigenvalue(value, iteration, converged=True)
        vector = [there + shift * one for there, one in zip(product, vector, strict=True)]
    return Eigenvalue(value, _ITERATIONS, converged=False)


def _hessian_product(gradients: Tensors, parameters: Tensors, vector: Tensors) -> Tensors:
    found = torch.autograd.grad(gradients, parameters, vector, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(one) if part is None else part for one, part in zip(parameters, found, strict=True)]


def _dot(first: Tensors, second: Tensors) -> Tensor:
    return torch.stack([(one.detach() * other.detach()).sum() for one, other in zip(first, second, strict=True)]).sum()
