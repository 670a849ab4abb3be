"""SqueezeNet: Iandola et al. 2016, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters"."""

from __future__ import annotations

from nas.network import ops
from nas.network.builder import GraphBuilder, Value
from nas.network.registry import block
from nas.network.settings import ActivationKind, Channels, NormKind


@block
def fire(
    g: GraphBuilder,
    x: Value,
    *,
    squeeze: Channels,
    expand1: Channels,
    expand3: Channels,
    bypass: bool = False,
    norm: NormKind = None,
    activation: ActivationKind = "relu",
) -> Value:
    """[1x1(s), 3x3(s)] with s = 1x1(x): (C, H, W) -> (expand1 + expand3, H, W).

    Section 3.2. `bypass` adds the input where the channels are equal (section 6, "simple bypass").
    """
    s = g.conv_norm_act(x, squeeze, norm=norm, activation=activation, name="squeeze")
    y = g.concat(
        [
            g.conv_norm_act(s, expand1, norm=norm, activation=activation, name="expand1"),
            g.conv_norm_act(s, expand3, 3, norm=norm, activation=activation, name="expand3"),
        ]
    )
    return g.add("add", ops.Add(), y, x) if bypass and x.shape == y.shape else y
