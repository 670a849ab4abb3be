"""Position embeddings of images of another size: the vectors are a map, which is resized."""

from __future__ import annotations

from math import isqrt, prod

import torch
import torch.nn.functional as F
from torch import Tensor

from nas.network import ops
from nas.network.graph import Graph

Size = tuple[int, ...]
"""Of a map, without its channels: height and width of an image, the length of a series."""


def position_maps(graph: Graph) -> dict[str, Size]:
    """Return of which map the tokens are that a position embedding is added to, by the name of its node."""
    found: dict[str, Size] = {}
    for node in graph.nodes:
        if type(node.op) is not ops.PositionEmbedding:
            continue
        before = node
        while before.inputs and type(before.op) is not ops.ToTokens:
            before = graph.nodes[before.inputs[0]]
        if before.inputs:
            found[node.name] = tuple(graph.nodes[before.inputs[0]].shape[1:])
    return found


def square(count: int) -> Size | None:
    """Return the size of a square map of so many positions; None where there is none."""
    side = isqrt(max(0, count))
    return (side, side) if side and side**2 == count else None


def resized(weight: Tensor, before: Size, after: Size) -> Tensor:
    """Return position embeddings for a map of another size; those of the tokens before it, if any, stay.

    By bicubic interpolation, as "An image is worth 16x16 words" (Dosovitskiy et al. 2021, section 3.2) and timm do it,
    smoothed where the map gets smaller.

    Args:
        weight: `(1, tokens, features)`, of which the last ones are of the map.
        before: size of the map that they are of.
        after: size of the one that they are wanted for.

    Returns:
        `(1, tokens, features)`.
    """
    first = weight.shape[1] - prod(before)
    as_map = weight[:, first:].transpose(1, 2).reshape(1, -1, *_rows(before)).float()
    height, width = _rows(after)
    # Of one column torch (2.13) gives other numbers than of one row.
    turn = width == 1
    made = F.interpolate(
        as_map.mT if turn else as_map, (width, height) if turn else (height, width), mode="bicubic", antialias=True
    )
    rest = (made.mT if turn else made).flatten(2).transpose(1, 2)
    return torch.cat([weight[:, :first], rest.to(weight.dtype)], dim=1)


def _rows(size: Size) -> tuple[int, int]:
    """Return a size as height and width; a series is one column."""
    return size[0], prod(size[1:])
