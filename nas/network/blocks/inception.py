"""Inception modules: parallel convolutions of several sizes, side by side along the channels."""

from __future__ import annotations

from typing import NamedTuple

from nas.network.builder import GraphBuilder, Value
from nas.network.ops import Ints
from nas.network.registry import block
from nas.network.settings import ActivationKind, Channels, NormKind, OddKernel


@block
def inception(
    g: GraphBuilder,
    x: Value,
    *,
    conv1: Channels,
    reduce3: Channels,
    conv3: Channels,
    reduce5: Channels,
    conv5: Channels,
    pool: Channels,
    large_kernel: OddKernel = 5,
    norm: NormKind = "batch",
    activation: ActivationKind = "relu",
) -> Value:
    """[1x1, 3x3(1x1), 5x5(1x1), 1x1(max pool)]: (C, H, W) -> (conv1 + conv3 + conv5 + pool, H, W).

    Szegedy et al. 2015, "Going deeper with convolutions", figure 2b; the paper has no normalisation, and some
    implementations a `large_kernel` of 3.
    """

    def cell(name: str, y: Value, channels: int, kernel: int = 1) -> Value:
        return g.conv_norm_act(y, channels, kernel, norm=norm, activation=activation, name=name)

    return g.concat(
        [
            cell("branch1", x, conv1),
            cell("branch3.conv", cell("branch3.reduce", x, reduce3), conv3, 3),
            cell("branch5.conv", cell("branch5.reduce", x, reduce5), conv5, large_kernel),
            cell("branch_pool.conv", g.max_pool(x, 3, 1, 1, name="branch_pool.pool"), pool),
        ]
    )


# Inception v3: Szegedy et al. 2016, "Rethinking the Inception architecture", section 6 and its published model.


class _Conv(NamedTuple):
    """A convolution with normalisation and activation."""

    channels: int
    kernel: int | Ints = 1
    stride: int = 1


def _path(g: GraphBuilder, x: Value, name: str, *convs: _Conv) -> Value:
    """Add a chain of convolutions; one with a stride has no padding, as in the paper."""
    for i, conv in enumerate(convs):
        x = g.conv_norm_act(
            x,
            conv.channels,
            conv.kernel,
            stride=conv.stride,
            padding=0 if conv.stride > 1 else None,
            activation="relu",
            name=f"{name}.{i}",
        )
    return x


@block
def inception_a(g: GraphBuilder, x: Value, *, pool: Channels) -> Value:
    """[1x1, 5x5(1x1), 3x3(3x3(1x1)), 1x1(mean)]: (C, H, W) -> (224 + pool, H, W). Figure 5: two 3x3 for a 5x5."""
    return g.concat(
        [
            _path(g, x, "branch1", _Conv(64)),
            _path(g, x, "branch5", _Conv(48), _Conv(64, 5)),
            _path(g, x, "branch3", _Conv(64), _Conv(96, 3), _Conv(96, 3)),
            _path(g, g.avg_pool(x, 3, 1, 1, name="branch_pool.pool"), "branch_pool", _Conv(pool)),
        ]
    )


@block
def inception_reduce_a(g: GraphBuilder, x: Value) -> Value:
    """[3x3 / 2, 3x3(3x3(1x1)) / 2, max / 2]: (C, H, W) -> (480 + C, (H - 1) / 2, (W - 1) / 2). Figure 10."""
    return g.concat(
        [
            _path(g, x, "branch3", _Conv(384, 3, stride=2)),
            _path(g, x, "branch33", _Conv(64), _Conv(96, 3), _Conv(96, 3, stride=2)),
            g.max_pool(x, 3, 2, name="branch_pool"),
        ]
    )


@block
def inception_b(g: GraphBuilder, x: Value, *, inner: Channels) -> Value:
    """[1x1, 7x7 in two, 7x7 twice in four, 1x1(mean)]: (C, H, W) -> (768, H, W). Figure 6: a 7x7 as 1x7 and 7x1."""
    wide, high = (1, 7), (7, 1)
    return g.concat(
        [
            _path(g, x, "branch1", _Conv(192)),
            _path(g, x, "branch7", _Conv(inner), _Conv(inner, wide), _Conv(192, high)),
            _path(
                g,
                x,
                "branch77",
                _Conv(inner),
                _Conv(inner, high),
                _Conv(inner, wide),
                _Conv(inner, high),
                _Conv(192, wide),
            ),
            _path(g, g.avg_pool(x, 3, 1, 1, name="branch_pool.pool"), "branch_pool", _Conv(192)),
        ]
    )


@block
def inception_reduce_b(g: GraphBuilder, x: Value) -> Value:
    """[3x3(1x1) / 2, 3x3(7x1(1x7(1x1))) / 2, max / 2]: (C, H, W) -> (512 + C, (H - 1) / 2, (W - 1) / 2)."""
    return g.concat(
        [
            _path(g, x, "branch3", _Conv(192), _Conv(320, 3, stride=2)),
            _path(g, x, "branch7", _Conv(192), _Conv(192, (1, 7)), _Conv(192, (7, 1)), _Conv(192, 3, stride=2)),
            g.max_pool(x, 3, 2, name="branch_pool"),
        ]
    )


@block
def inception_c(g: GraphBuilder, x: Value) -> Value:
    """[1x1, 1x3 and 3x1(1x1), 1x3 and 3x1(3x3(1x1)), 1x1(mean)]: (C, H, W) -> (2048, H, W). Figure 7."""

    def fork(y: Value, name: str) -> list[Value]:
        return [_path(g, y, f"{name}.wide", _Conv(384, (1, 3))), _path(g, y, f"{name}.high", _Conv(384, (3, 1)))]

    return g.concat(
        [
            _path(g, x, "branch1", _Conv(320)),
            *fork(_path(g, x, "branch3", _Conv(384)), "branch3"),
            *fork(_path(g, x, "branch33", _Conv(448), _Conv(384, 3)), "branch33"),
            _path(g, g.avg_pool(x, 3, 1, 1, name="branch_pool.pool"), "branch_pool", _Conv(192)),
        ]
    )
