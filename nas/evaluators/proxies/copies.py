"""What a proxy finds in a copy of a network, and does to it."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.errors import TrainingError
from nas.pytorch.layers import GlobalAvgPool, InPlaceInInference
from nas.pytorch.probe import BATCH_NORMS

OTHER_NORMS = (nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm)
POOLS = (
    GlobalAvgPool,
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
    *(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d),
)
"""What brings a map to a fixed size."""
_LAYERS = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)
_RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish, nn.GELU)
_IN_PLACE_RECTIFIERS = (F.relu6, F.silu, F.hardswish)
_OTHER_ACTIVATIONS = (nn.Sigmoid, nn.Hardsigmoid, nn.Tanh, InPlaceInInference)


class Pass(nn.Module):
    """Stands where a module is taken out. Gives a tensor of its own, since what follows may overwrite it."""

    def forward(self, x: Tensor) -> Tensor:
        """Return a copy of the input."""
        return x.clone()


def weights_of(network: nn.Module) -> list[Tensor]:
    """Return the weights of convolutions and linear layers, which are what papers mean by a layer's weights."""
    return [module.weight for module in network.modules() if isinstance(module, _LAYERS)]


def draw_gaussian(network: nn.Module, generator: torch.Generator) -> None:
    """Draw all weights from the standard normal distribution; biases are zero, and batch norms do no more than
    normalise, and keep the variance of the last batch.
    """
    for module in network.modules():
        if isinstance(module, _LAYERS):
            module.weight.copy_(torch.randn(module.weight.shape, generator=generator))
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, BATCH_NORMS):
            module.reset_parameters()
            module.momentum = 1.0


def is_rectifier(module: nn.Module) -> bool:
    """Say whether it is ReLU or one of its kind: nearly zero below zero and nearly the identity above."""
    if isinstance(module, InPlaceInInference):
        return module.function in _IN_PLACE_RECTIFIERS
    return isinstance(module, _RECTIFIERS)


def activations_of(network: nn.Module) -> list[nn.Module]:
    """Return the rectifiers of a network; where it has none, its sigmoids and tangents, which bend at zero too.

    Gates beside rectifiers, as in squeeze-and-excitation, are left out.
    """
    rectifiers = [module for module in network.modules() if is_rectifier(module)]
    return rectifiers or [module for module in network.modules() if isinstance(module, _OTHER_ACTIVATIONS)]


def replace_modules(network: nn.Module, wanted: Callable[[nn.Module], bool]) -> None:
    """Put a `Pass` in the place of some modules."""
    for name, module in list(network.named_modules()):
        if name and wanted(module):
            parent, _, last = name.rpartition(".")
            setattr(network.get_submodule(parent), last, Pass())


def loss_gradients(probe: nn.Module, inputs: Tensor, labels: Tensor) -> list[Tensor]:
    """Return the gradients of the mean cross-entropy to `weights_of`, for those weights that it depends on."""
    output = probe(inputs)
    if not isinstance(output, Tensor) or output.dim() != 2:
        raise TrainingError("a proxy of the loss takes networks from (batch, *input) to (batch, classes) only")
    # A part that runs in training only has weights without a gradient.
    gradients = torch.autograd.grad(F.cross_entropy(output, labels), weights_of(probe), allow_unused=True)
    return [gradient for gradient in gradients if gradient is not None]
