"""How large gradients are at each depth: whether they vanish or explode on their way back.

Glorot & Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks", section 4; He et al.
2015, "Delving deep into rectifiers", section 2.2; He et al. 2016, "Identity mappings in deep residual networks".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.network.graph import Graph
from nas.pytorch.probe import probe_of
from nas.training.diagnostics.layers import hearing, layers_of


@dataclass(frozen=True, slots=True)
class LayerGradient:
    """The gradient at one convolution or linear layer, of the mean cross-entropy of a batch."""

    name: str
    """Of the layer."""
    depth: int
    """As `Layer.depth`."""
    weights: int
    """Numbers of its weight."""
    weight_norm: float
    """Euclidean norm of its weight."""
    gradient_norm: float
    """Euclidean norm of the gradient to its weight."""
    signal_rms: float
    """Root mean square of the gradient of an example's loss to a number of its output, before normalisation and
    activation: what He et al. 2015 follow back through the layers."""


@dataclass(frozen=True, slots=True)
class Gradients:
    """Gradients by depth."""

    loss: float
    """Mean cross-entropy of the batch, in nats."""
    layers: tuple[LayerGradient, ...]
    """In the order in which they run."""

    @property
    def first(self) -> LayerGradient:
        """The layer that reads the input."""
        return self.layers[0]

    @property
    def last(self) -> LayerGradient:
        """The classifier."""
        return self.layers[-1]

    @property
    def ratio(self) -> float:
        """Gradient norm of the first layer over that of the last: far below 1 they vanish, far above 1 they explode."""
        return _over(self.first.gradient_norm, self.last.gradient_norm)

    @property
    def signal_ratio(self) -> float:
        """The same of what reaches the outputs of the first layer and of the one before the last.

        The last one's is left out, since it depends on the loss alone. Unlike norms it does not grow with the layer.
        """
        return _over(self.first.signal_rms, self.layers[-2].signal_rms) if len(self.layers) > 1 else 1.0


def _over(value: float, other: float) -> float:
    return value / other if other else float("nan")


def gradients_of(network: nn.Module, graph: Graph, inputs: Tensor, labels: Tensor) -> Gradients:
    """Measure the gradients of the mean cross-entropy of a batch, with batch normalisation as in training.

    Args:
        network: as `nas.build` makes it; stays as it is.
        graph: of the network.
        inputs: `(batch, *input_shape)`.
        labels: `(batch,)`.
    """
    probe, layers = probe_of(network), layers_of(graph)
    squares: dict[str, float] = {}

    def keep(name: str, gradient: Tensor) -> None:
        squares[name] = float(gradient.double().square().mean())

    def follow(name: str, output: Tensor) -> Tensor:
        # What is added to a view in place takes its gradient past the hooks of the view.
        output = output.clone() if output._is_view() else output
        output.register_hook(partial(keep, name))
        return output

    with hearing(probe, {layer.name: partial(follow, layer.name) for layer, _ in layers}):
        loss = F.cross_entropy(probe(inputs), labels)
    weights = [probe.get_parameter(f"{layer.name}.weight") for layer, _ in layers]
    gradients = torch.autograd.grad(loss, weights)
    measured = (
        LayerGradient(
            name=layer.name,
            depth=layer.depth,
            weights=weight.numel(),
            weight_norm=float(weight.detach().norm()),
            gradient_norm=float(gradient.norm()),
            signal_rms=len(labels) * squares[layer.name] ** 0.5,
        )
        for (layer, _), weight, gradient in zip(layers, weights, gradients, strict=True)
    )
    return Gradients(float(loss.detach()), tuple(measured))
