"""Which channels of a network are one and the same: those that operations add up, scale or filter each by itself.

Such channels are kept or dropped together when a network becomes narrower. They are found channel by channel, so that a
map that is joined of several needs no rule of its own for what reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from nas.network import ops
from nas.network.graph import Graph, Node
from nas.network.ops import Shape, Tokens

Numbers = NDArray[np.int64]

_KEEP = frozenset(
    {
        *(ops.Activation, ops.AdaptiveAvgPool, ops.AvgPool, ops.BatchNorm, ops.Blur, ops.ClassToken, ops.Crop),
        *(ops.DropPath, ops.Dropout, ops.GlobalAvgPool, ops.GlobalMaxPool, ops.GroupNorm, ops.LayerNorm),
        *(ops.LayerScale, ops.LocalResponseNorm, ops.MaxPool, ops.MeanToken, ops.Pad, ops.PositionEmbedding),
        *(ops.TakeToken, ops.ToTokens, ops.Upsample, ops.UpsampleBilinear),
    }
)
"""They read one value, and give the channels that it has."""


@dataclass(frozen=True, slots=True)
class Features:
    """The channels of a value, or its features, in their order."""

    channels: Numbers
    """Number of the channel that each is; equal numbers are kept or dropped together."""
    places: Numbers
    """Which position of a flattened map each is, of maps of all sizes; 0 where nothing is flattened."""


@dataclass(frozen=True, slots=True)
class Channels:
    """The channels of a network, numbered through all of it."""

    values: tuple[Features, ...]
    """Those of each node of the graph."""
    parts: dict[int, tuple[int, ...]]
    """For a channel the groups of convolutions, heads, or ends of maps with new channels that it is in."""
    count: int
    """Numbers that there are."""


def is_depthwise(op: ops.Op) -> bool:
    """Whether an operation is a convolution of each channel by itself."""
    return type(op) is ops.Conv and op.groups == op.in_channels == op.out_channels > 1


def channels_of(graph: Graph) -> Channels:
    """Number the channels of all values of a graph."""
    found = _Numbering()
    values: list[Features] = []
    for node in graph.nodes:
        value = _features(node, [values[i] for i in node.inputs], found)
        if type(node.op) is ops.Flatten:
            value = _flat(values[node.inputs[0]], graph.nodes[node.inputs[0]].shape)
        values.append(value)
    first = found.firsts()
    values = [Features(first[value.channels], value.places) for value in values]
    return Channels(tuple(values), _parts(graph, values), len(first))


class _Numbering:
    """New numbers, and which of them turned out to be one (union-find)."""

    def __init__(self) -> None:
        self._above: list[int] = []

    def new(self, count: int) -> Features:
        start = len(self._above)
        self._above.extend(range(start, start + count))
        return Features(np.arange(start, start + count), np.zeros(count, np.int64))

    def join(self, first: Features, second: Features) -> None:
        for one, other in zip(first.channels.tolist(), second.channels.tolist(), strict=True):
            a, b = self._first(one), self._first(other)
            self._above[max(a, b)] = min(a, b)

    def firsts(self) -> Numbers:
        return np.array([self._first(i) for i in range(len(self._above))], np.int64)

    def _first(self, number: int) -> int:
        while self._above[number] != number:
            self._above[number] = self._above[self._above[number]]
            number = self._above[number]
        return number


def _features(node: Node, reads: list[Features], found: _Numbering) -> Features:
    op = node.op
    if type(op) in _KEEP or is_depthwise(op):
        return reads[0]
    if type(op) is ops.Add or type(op) is ops.Scale:
        for other in reads[1:]:
            found.join(reads[0], other)
        return reads[0]
    if type(op) is ops.SelfAttention:
        queries, keys, values = (_slice(reads[0], part, 3) for part in range(3))
        found.join(queries, keys)
        found.join(queries, values)
        return queries
    return _rearranged(node, reads, found)


def _rearranged(node: Node, reads: list[Features], found: _Numbering) -> Features:
    op = node.op
    if type(op) is ops.Concat:
        return _joined(reads)
    if type(op) is ops.ChannelPad:
        return _joined([reads[0], found.new(op.out_channels - len(reads[0].channels))])
    if type(op) is ops.ChannelShuffle:
        dealt = np.arange(len(reads[0].channels)).reshape(op.groups, -1).T.reshape(-1)
        return Features(reads[0].channels[dealt], reads[0].places[dealt])
    return found.new(num_channels(node.shape))


def num_channels(shape: Shape) -> int:
    """Return the channels of a map, or the features of anything else."""
    return shape[-1] if isinstance(shape, Tokens) else shape[0]


def _joined(parts: list[Features]) -> Features:
    return Features(np.concatenate([p.channels for p in parts]), np.concatenate([p.places for p in parts]))


def _slice(features: Features, part: int, parts: int) -> Features:
    size = len(features.channels) // parts
    among = slice(part * size, (part + 1) * size)
    return Features(features.channels[among], features.places[among])


def _flat(features: Features, shape: Shape) -> Features:
    """Each channel at all positions of a value of a shape; places in values of unlike sizes differ."""
    positions, count = prod(shape) // len(features.channels), len(features.channels)
    if positions == 1:
        return features
    places = positions * (positions - 1) // 2 + np.arange(positions)
    if isinstance(shape, Tokens):
        return Features(np.tile(features.channels, positions), np.repeat(places, count))
    return Features(np.repeat(features.channels, positions), np.tile(places, count))


def _parts(graph: Graph, values: list[Features]) -> dict[int, tuple[int, ...]]:
    parts: dict[int, tuple[int, ...]] = {}

    def note(features: Features, part_of: Numbers) -> None:
        for channel, part in zip(features.channels.tolist(), part_of.tolist(), strict=True):
            parts[channel] = (*parts.get(channel, ()), part)

    for index, node in enumerate(graph.nodes):
        op = node.op
        if type(op) is ops.Conv and op.groups > 1 and not is_depthwise(op):
            for value in (values[node.inputs[0]], values[index]):
                note(value, _nth(len(value.channels), op.groups))
        elif type(op) is ops.SelfAttention:
            note(values[index], _nth(len(values[index].channels), op.heads))
        elif type(op) is ops.ChannelPad:
            given = len(values[node.inputs[0]].channels)
            note(values[index], (np.arange(op.out_channels) >= given).astype(np.int64))
    return parts


def _nth(count: int, parts: int) -> Numbers:
    return np.arange(count) // (count // parts)
