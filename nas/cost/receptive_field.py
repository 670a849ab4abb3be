"""Receptive field and stride of a graph, by the arithmetic of windows.

r_out = r_in + (size - 1) j_in and j_out = j_in * stride, with `size` the window with its holes and j the distance of
neighbours in the input (Araujo et al. 2019, "Computing receptive fields of convolutional neural networks"). Parallel
branches: the largest. Gates of squeeze-and-excitation, which see the whole map, are ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from math import inf
from typing import NamedTuple

from nas.network import ops
from nas.network.graph import Graph, Node
from nas.network.ops import Window

ReceptiveField = tuple[Window, ...]
"""A `Window` a spatial dimension of the input: the positions that one position of a map depends on, and the distance of
neighbours. Size inf: all positions."""

_POINT = Window(1, 1)
# Operations whose other inputs decide factors or sizes, not what a position depends on.
_FIRST_ONLY = (ops.Scale, ops.Crop)


class FieldGrowth(NamedTuple):
    """What a part of a network adds to the receptive field in one dimension."""

    growth: float | Fraction
    """Size of its own receptive field less 1, in positions of its input; inf: it sees all of its input."""
    stride: float | Fraction
    """Positions of its input between neighbours of its output."""


@lru_cache(maxsize=4096)  # cells and blocks have few different windows
def extend(field: ReceptiveField, windows: tuple[Window, ...]) -> ReceptiveField:
    """Return the receptive field after an operation with these windows, which reads a map with that field."""
    if not windows or windows == (_POINT,) * len(field):
        return field
    # On tokens, or where channels are taken for a map, windows mix what is everywhere in the input.
    if windows[0].size == 0 or len(windows) != len(field):
        return tuple(Window(inf, before.stride) for before in field)
    return tuple(
        Window(_plain(before.size + (window.size - 1) * before.stride), _plain(before.stride * window.stride))
        for before, window in zip(field, windows, strict=True)
    )


def _plain(value: float | Fraction) -> float | Fraction:
    return int(value) if type(value) is Fraction and value.denominator == 1 else value


@lru_cache(maxsize=4096)
def _join(fields: tuple[ReceptiveField, ...]) -> ReceptiveField:
    return tuple(
        Window(max(window.size for window in windows), max(window.stride for window in windows))
        for windows in zip(*fields, strict=True)
    )


def receptive_field_of(graph: Graph, live: Sequence[int]) -> ReceptiveField:
    """Return the receptive field of the output, or of the last map where the output is pooled or classified.

    Args:
        graph: the graph.
        live: indices of the nodes that run, from `Graph.live`.
    """
    fields: dict[int, ReceptiveField] = {0: (_POINT,) * (len(graph.in_shape) - 1)}
    for index in live[1:]:
        fields[index] = _after(graph, graph.nodes[index], fields)
    return fields[graph.outputs[-1]]


def _after(graph: Graph, node: Node, fields: dict[int, ReceptiveField]) -> ReceptiveField:
    first = fields[node.inputs[0]]
    if len(node.inputs) > 1 and type(node.op) not in _FIRST_ONLY:
        first = _join(tuple([fields[i] for i in node.inputs]))
    windows = node.op.windows(graph.nodes[node.inputs[0]].shape)
    return extend(first, tuple(windows)) if windows else first


def field_growth(graph: Graph, live: Sequence[int]) -> tuple[FieldGrowth, ...]:
    """Return what a graph adds to the receptive field, a dimension each; none where positions do not mix."""
    growths = tuple(FieldGrowth(window.size - 1, window.stride) for window in receptive_field_of(graph, live))
    return () if all(added.growth == 0 and added.stride == 1 for added in growths) else growths


def chain_growth(dims: int, parts: Sequence[tuple[FieldGrowth, ...]]) -> tuple[FieldGrowth, ...]:
    """Return what a chain of parts adds together, which is its receptive field less 1, and its stride.

    Args:
        dims: spatial dimensions of the input of the chain.
        parts: what `field_growth` gives for each part, in order.
    """
    mixing = [growths for growths in parts if growths]
    maps = [growths for growths in mixing if len(growths) == dims]
    # A part that mixes tokens, or channels taken for a map, mixes all positions.
    start = 0 if len(maps) == len(mixing) else inf
    chained = []
    for dim in range(dims):
        growth: float | Fraction = start
        stride: float | Fraction = 1
        for growths in maps:
            step = growths[dim]
            growth += step.growth * stride
            stride *= step.stride
        chained.append(FieldGrowth(growth, stride))
    return tuple(chained)
