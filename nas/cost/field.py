"""Receptive field and stride, by the arithmetic of windows.

r_out = r_in + (size - 1) j_in and j_out = j_in * stride, with `size` the window with its holes and j the distance of
neighbours in the input (Araujo et al. 2019, "Computing receptive fields of convolutional neural networks"). Parallel
branches: the largest. Gates of squeeze-and-excitation, which see the whole map, are ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import inf

from nas.network import ops
from nas.network.graph import Graph, Node
from nas.network.ops import Window

Field = tuple[Window, ...]
"""A `Window` a spatial dimension of the input: how far the last map looks into it. Size inf: it sees everything."""

_POINT = Window(1, 1)
# Operations whose other inputs decide factors or sizes, not what a position sees.
_FIRST_ONLY = (ops.Scale, ops.Crop)


def extend(field: Field, windows: Sequence[Window]) -> Field:
    """Return the field of an operation with these windows on a map with that field."""
    if not windows:
        return field
    # On tokens, or where channels are taken for a map, windows mix what is everywhere in the input.
    if windows[0].size == 0 or len(windows) != len(field):
        return tuple(Window(inf, one.stride) for one in field)
    return tuple(
        Window(_plain(one.size + (window.size - 1) * one.stride), _plain(one.stride * window.stride))
        for one, window in zip(field, windows, strict=True)
    )


def _plain(value: float | Fraction) -> float | Fraction:
    return int(value) if isinstance(value, Fraction) and value.denominator == 1 else value


def _join(fields: Sequence[Field]) -> Field:
    return tuple(
        Window(max(one.size for one in dims), max(one.stride for one in dims)) for dims in zip(*fields, strict=True)
    )


def field_of(graph: Graph, live: Sequence[int]) -> Field:
    """Return the field of the output's last map: what pools and classifies that map passes it on."""
    fields: dict[int, Field] = {0: (_POINT,) * (len(graph.in_shape) - 1)}
    for index in live[1:]:
        fields[index] = _step(graph, graph.nodes[index], fields)
    return fields[graph.outputs[-1]]


def _step(graph: Graph, node: Node, fields: dict[int, Field]) -> Field:
    first = fields[node.inputs[0]]
    if len(node.inputs) > 1 and type(node.op) not in _FIRST_ONLY:
        others = [fields[i] for i in node.inputs[1:]]
        first = first if all(other == first for other in others) else _join([first, *others])
    windows = node.op.windows(graph.nodes[node.inputs[0]].shape)
    return extend(first, windows) if windows else first
