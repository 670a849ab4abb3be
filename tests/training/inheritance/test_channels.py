"""Which channels are one."""

from __future__ import annotations

import numpy as np

from nas.network import GraphBuilder, ops
from nas.training.inheritance.channels import channels_of


def _numbers(g: GraphBuilder, *values: object) -> list[list[int]]:
    graph = g.finish(values[-1], simplified=False)  # type: ignore[arg-type]
    found = channels_of(graph)
    return [found.values[value.index].channels.tolist() for value in values]  # type: ignore[attr-defined]


def test_sums_factors_and_depthwise_convolutions_join_channels() -> None:
    g = GraphBuilder((3, 6, 6))
    x = g.conv(g.input, 4, 3)
    y = g.conv(g.activation(g.norm(x), "relu"), 4, 3, groups=4, name="depthwise")
    z = g.conv(y, 4, 1, name="other")
    total = g.add("add", ops.Add(), z, x)
    gate = g.conv(g.global_pool(total), 4, 1, name="gate")
    scaled = g.add("scale", ops.Scale(), total, gate)
    inputs, first, *others = _numbers(g, g.input, x, y, z, total, gate, scaled)
    assert all(numbers == first for numbers in others)
    assert len({*inputs, *first}) == 7


def test_what_moves_channels_keeps_their_numbers() -> None:
    g = GraphBuilder((2, 4, 4))
    x, y = g.conv(g.input, 4, 3, name="x"), g.conv(g.input, 2, 3, name="y")
    joined = g.concat([y, x])
    shuffled = g.add("shuffle", ops.ChannelShuffle(2), joined)
    padded = g.add("pad", ops.ChannelPad(8, 1), shuffled)
    of_x, of_y, of_joined, of_shuffled, of_padded = _numbers(g, x, y, joined, shuffled, padded)
    assert of_joined == of_y + of_x
    assert of_shuffled == [of_joined[i] for i in (0, 3, 1, 4, 2, 5)]
    assert of_padded[:6] == of_shuffled
    assert not {*of_padded[6:]} & {*of_joined}


def test_a_flattened_map_has_each_channel_at_each_position() -> None:
    g = GraphBuilder((2, 2, 3))
    flat = channels_of(g.finish(g.flatten(g.input))).values[-1]
    assert flat.channels.tolist() == [0] * 6 + [1] * 6
    assert (flat.places[:6] == flat.places[6:]).all()
    assert len(set(flat.places.tolist())) == 6
    g = GraphBuilder((2, 2, 2))
    smaller = channels_of(g.finish(g.flatten(g.input))).values[-1]
    assert not np.intersect1d(flat.places, smaller.places).size


def test_attention_keeps_the_heads_of_queries_keys_and_values_together() -> None:
    g = GraphBuilder((3, 2, 2))
    tokens = g.add("tokens", ops.ToTokens(), g.input)
    qkv = g.linear(tokens, 12, name="qkv")
    heads = g.add("heads", ops.SelfAttention(2), qkv)
    found = channels_of(g.finish(heads))
    mixed, out = (found.values[i].channels.tolist() for i in (-2, -1))
    assert mixed == out * 3
    assert [found.parts[channel] for channel in out] == [(0,), (0,), (1,), (1,)]
