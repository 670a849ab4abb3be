"""ShuffleNet: Zhang et al. 2018, "ShuffleNet: an extremely efficient convolutional neural network"."""

from __future__ import annotations

from nas.network import ops
from nas.network.builder import GraphBuilder, Value
from nas.network.registry import block
from nas.network.settings import ActivationKind, Channels, Count, Groups, OddKernel


@block
def shuffle_unit(
    g: GraphBuilder,
    x: Value,
    *,
    out_channels: Channels,
    groups: Groups = 2,
    reduce_groups: Groups | None = None,
    kernel: OddKernel = 3,
    stride: Count = 1,
    activation: ActivationKind = "relu",
) -> Value:
    """act(expand(depthwise(shuffle(reduce(x)))) + x): (C, H, W) -> (out_channels, H / stride, W / stride).

    Section 3.2, figure 2: both 1x1 convolutions are grouped, with a channel shuffle behind the first; inner width a
    quarter of `out_channels`, rounded to a multiple of `groups`. Where the map shrinks, the input is averaged and
    stands beside the branch, which makes the other channels. `reduce_groups` is for the first unit of stage 2, whose
    few channels the paper does not group in `reduce` (1); null: as `groups`. Beyond the paper: where only the channels
    change, or the map shrinks and they do not grow, the shortcut is a 1x1 convolution.
    """
    beside = stride > 1 and out_channels > x.channels
    inner = max(1, round(out_channels / 4 / groups)) * groups
    y = g.conv_norm_act(x, inner, groups=reduce_groups or groups, activation=activation, name="reduce")
    if 1 < groups < y.channels:  # otherwise every channel stays where it is
        y = g.add("shuffle", ops.ChannelShuffle(groups), y)
    y = g.conv_norm_act(y, inner, kernel, stride=stride, groups=inner, name="depthwise")
    more = out_channels - x.channels if beside else out_channels
    y = g.conv_norm_act(y, more, groups=groups, name="expand")
    if beside:
        return g.activation(g.concat([y, g.avg_pool(x, 3, stride, 1, name="shortcut")]), activation)
    if x.shape != y.shape:
        x = g.conv_norm_act(x, out_channels, stride=stride, name="shortcut")
    return g.activation(g.add("add", ops.Add(), y, x), activation)
