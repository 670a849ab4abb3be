"""Squeeze-and-excitation, a part of other blocks."""

from __future__ import annotations

from nas.network import ops
from nas.network.builder import GraphBuilder, Value
from nas.network.rounding import round_to
from nas.network.settings import ActivationKind


def squeeze_width(channels: int, ratio: float, divisor: int) -> int:
    """Return `ratio` of the channels, at least 1, or a multiple of `divisor` near it."""
    share = channels * ratio
    return max(1, int(share)) if divisor == 1 else round_to(share, divisor)


def squeeze_excite(
    g: GraphBuilder,
    x: Value,
    squeeze_channels: int,
    *,
    activation: ActivationKind = "relu",
    gate: ActivationKind = "sigmoid",
) -> Value:
    """x * gate(W2 act(W1 mean(x))): (C, H, W) -> (C, H, W), one factor a channel.

    Hu et al. 2018, "Squeeze-and-excitation networks", section 3. W1 and W2 are 1x1 convolutions with bias.
    """
    with g.scope("se"):
        s = g.global_pool(x)
        s = g.activation(g.conv(s, squeeze_channels, 1, bias=True, name="reduce"), activation)
        s = g.activation(g.conv(s, x.channels, 1, bias=True, name="expand"), gate, name="gate")
        return g.add("scale", ops.Scale(), x, s)
