"""What an untrained network promises, by five measures; larger is better.

Each takes a network, images `(batch, *input_shape)` as in training and labels `(batch,)`, on one device, and works on a
copy: weights, buffers, gradients and mode of the network stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from nas.errors import NasError, TrainingError
from nas.evaluators.proxies.copies import (
    OTHER_NORMS,
    POOLS,
    activations_of,
    draw_gaussian,
    is_rectifier,
    loss_gradients,
    replace_modules,
    weights_of,
)
from nas.pytorch.layers import SelfAttention
from nas.pytorch.probe import BATCH_NORMS, probe_of

Proxy = Callable[[nn.Module, Tensor, Tensor], float]

_ZEN_ALPHA = 0.01
"""How far inputs are moved, in standard deviations."""
_ZEN_BATCH = 16
"""Images a draw at most."""


@torch.no_grad()
def naswot(network: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    """Tell images apart: log |K_H|, where K_H[i, j] counts the activations that are on, or off, for both images.

    Mellor et al. 2021, "Neural architecture search without training". An activation is on where what it
    reads is above zero; that is defined for all kinds of them (see `activations_of`).
    """
    probe = probe_of(network)
    activations = activations_of(probe)
    if not activations:
        raise NasError("naswot: the network has no activation, so there is no code to tell images apart by")
    kernel = torch.zeros(len(inputs), len(inputs), dtype=torch.float64, device=inputs.device)

    def count(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        # Before the call, since it may overwrite what it reads. Counts are exact in float32 up to 2^24.
        on = (args[0] > 0).flatten(1).float()
        kernel.add_(on @ on.T + (1 - on) @ (1 - on).T)

    for module in activations:
        module.register_forward_pre_hook(count)
    probe(inputs)
    return _finite("naswot", float(torch.linalg.slogdet(kernel).logabsdet), "two images may have the same code")


def synflow(network: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    """Add up the paths: log of sum |w dR/dw|, with R the sum of outputs for ones, all weights being positive.

    Tanaka et al. 2020, "Pruning neural networks without any data"; as a score of networks in Abdelfattah et al. 2021,
    "Zero-cost proxies for lightweight NAS". Weights are those of convolutions and linear layers, made positive in R and
    in dR/dw. Normalisation is left out, and so are rectifiers, which let positive values pass anyway, but for ReLU6,
    whose bound would cut off the paths. Reads no more of `inputs` than their shape.
    """
    if any(isinstance(module, SelfAttention) for module in network.modules()):
        raise NasError("synflow takes networks without attention, whose weights are no factors of a path")
    probe = probe_of(network).eval().double()
    replace_modules(probe, lambda one: is_rectifier(one) or isinstance(one, (*BATCH_NORMS, *OTHER_NORMS)))
    with torch.no_grad():
        for parameter in probe.parameters():
            parameter.abs_()
    output = probe(torch.ones_like(inputs[:1], dtype=torch.float64))
    outputs = output if isinstance(output, tuple) else (output,)
    weights = weights_of(probe)
    gradients = torch.autograd.grad([output.sum() for output in outputs], weights, allow_unused=True)
    pairs = zip(weights, gradients, strict=True)
    total = sum(float((weight * gradient).detach().sum()) for weight, gradient in pairs if gradient is not None)
    return _finite("synflow", _log(total), "the sum over paths is zero or beyond float64")


def gradnorm(network: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    """Add up the Euclidean norms of the loss's gradients to the weights of each convolution and linear layer.

    Abdelfattah et al. 2021, "Zero-cost proxies for lightweight NAS" (`grad_norm`).
    """
    gradients = loss_gradients(probe_of(network), inputs, labels)
    return _finite("gradnorm", sum(float(gradient.norm()) for gradient in gradients), "a gradient is not a number")


def zico(network: nn.Module, inputs: Tensor, labels: Tensor, *, batches: int = 2) -> float:
    """Prefer gradients that are large and agree: sum over layers of log(sum over weights of mean |g| / std |g|).

    Li et al. 2023, "ZiCo: zero-shot NAS via inverse coefficient of variation on gradients". Mean and
    standard deviation are over the batches; a weight whose gradient does not vary is left out, as in the paper's code.

    Args:
        network: the network.
        inputs: images of all batches.
        labels: of the images.
        batches: into how many batches of one size the images are dealt, 2 at least.
    """
    if batches < 2 or len(inputs) < 2 * batches:
        raise NasError(f"zico takes 2 batches of 2 images at least, but got {len(inputs)} images in {batches} batches")
    probe = probe_of(network)
    parts = zip(inputs.tensor_split(batches), labels.tensor_split(batches), strict=True)
    by_batch = [loss_gradients(probe, *part) for part in parts]
    total = 0.0
    for gradients in zip(*by_batch, strict=True):
        size = torch.stack(gradients).abs().double()
        mean, std = size.mean(0), size.std(0, correction=0)
        varies = std != 0
        if varies.any():
            total += _log(float((mean[varies] / std[varies]).sum()))
    return _finite("zico", total, "a gradient is not a number")


@torch.no_grad()
def zen(network: nn.Module, inputs: Tensor, labels: Tensor, *, repeats: int = 4) -> float:
    """Measure how far the last map moves with the input: log E ||f(x) - f(x + 0.01 e)|| + sum of log batch norm scales.

    Lin et al. 2021, "Zen-NAS", algorithm 1: weights, x and e are standard normal, f ends before the last pooling (or
    before the last linear layer where there is none), and the second term gives back what batch norms divided by.
    Unlike there, shortcuts and squeeze-and-excitation stay in. Reads no more of `inputs` than their shape; what it
    draws follows from `torch.initial_seed()` alone.

    Args:
        network: the network.
        inputs: images.
        labels: not read.
        repeats: draws of all weights, whose scores are averaged.
    """
    probe = probe_of(network)
    others = sorted({type(module).__name__ for module in probe.modules() if isinstance(module, OTHER_NORMS)})
    if others:
        raise NasError(f"zen takes networks whose normalisation is batch norm, but this one has {', '.join(others)}")
    generator = torch.Generator().manual_seed(torch.initial_seed())
    scores = [_zen(probe, inputs[:_ZEN_BATCH], generator) for _ in range(repeats)]
    return _finite("zen", sum(scores) / repeats, "the network does not react to its input, or too strongly")


def _zen(probe: nn.Module, inputs: Tensor, generator: torch.Generator) -> float:
    draw_gaussian(probe, generator)
    x, e = (torch.randn(inputs.shape, generator=generator).to(inputs) for _ in range(2))
    before = _last_map(probe, x)
    norms = [module for module in probe.modules() if isinstance(module, BATCH_NORMS)]
    variances = [float(norm.running_var.mean()) for norm in norms if norm.running_var is not None]
    moved = (before - _last_map(probe, x + _ZEN_ALPHA * e)).double().flatten(1).norm(dim=1)
    # What a path without any input gives has no variance, and its batch norms scale nothing.
    return _log(float(moved.mean())) + sum(0.5 * _log(variance) for variance in variances if variance != 0)


def _last_map(probe: nn.Module, x: Tensor) -> Tensor:
    """Return what the last pooling to a fixed size reads; without one what the last linear layer reads."""
    read: dict[type, Tensor] = {}

    def keep(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        read[nn.Linear if isinstance(module, nn.Linear) else nn.Module] = args[0].clone()

    hooks = [m.register_forward_pre_hook(keep) for m in probe.modules() if isinstance(m, (*POOLS, nn.Linear))]
    output = probe(x)
    for hook in hooks:
        hook.remove()
    features = read.get(nn.Module, read.get(nn.Linear, output))
    assert isinstance(features, Tensor)
    return features


def _log(value: float) -> float:
    return math.log(value) if value > 0 else (-math.inf if value == 0 else math.nan)


def _finite(name: str, value: float, hint: str) -> float:
    if not math.isfinite(value):
        raise TrainingError(f"proxy {name} is {value}: {hint}")
    return value


PROXIES: dict[str, Proxy] = {"naswot": naswot, "synflow": synflow, "gradnorm": gradnorm, "zico": zico, "zen": zen}
"""By name, in the order of `PROXY_NAMES`."""
