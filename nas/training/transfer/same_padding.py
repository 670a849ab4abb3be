"""Networks that were trained with TensorFlow's padding, which is that of ours only where maps have the right size.

TensorFlow's "same" padding gives a map of ceil(n / stride) positions, and puts what is odd of its zeros behind the map.
Ours has as many on both sides. With a stride of 2 the two are one where n is odd, and differ by a position where it is
even.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from nas.errors import DataError, NasError
from nas.network import ops
from nas.network.architecture import Architecture
from nas.network.graph import Graph
from nas.network.lower import lower

EPS = 1e-3
"""What TensorFlow adds to the variance in batch normalisation."""
_LARGER = 64
"""Pixels by which images are looked at that are larger."""


def word_in(path: Path, words: tuple[str, ...]) -> str:
    """Return the first of some beginnings of names that a path has, e.g. `tf_efficientnet_b0`; empty for none."""
    text = "|".join(map(re.escape, words))
    found = re.search(rf"(?<![0-9A-Za-z])(?:{text})\w*", str(path)) if words else None
    return found[0] if found is not None else ""


def check_same_padding(path: Path, word: str, architecture: Architecture) -> None:
    """Make sure that TensorFlow's padding and ours are one for a network and its image size.

    Args:
        path: of the weights, for messages.
        word: in it, that says that they are of a network which TensorFlow pads.
        architecture: the network.

    Raises:
        DataError: they are not; names the next larger image size where they are, if there is one.
    """
    other = [*_padded_otherwise(lower(architecture))]
    if not other:
        return
    sizes = [max(architecture.input_shape[1:]) + more for more in range(1, _LARGER + 1)]
    fits = next((size for size in sizes if _fits(architecture, size)), None)
    way_out = f"take images of {fits}x{fits} (resolution={fits}), for which both are one, or" if fits else "take"
    names = f"{other[0]} and {len(other) - 1} others" if len(other) > 1 else other[0]
    raise DataError(
        f"weights {path}: {word} is of timm's networks that pad as TensorFlow does: where a map has an even size more "
        f"behind it than before it. With images of {'x'.join(map(str, architecture.input_shape[1:]))} {names} would "
        f"give other numbers: {way_out} weights whose name does not begin with tf_"
    )


def _fits(architecture: Architecture, size: int) -> bool:
    channels, *sides = architecture.input_shape
    try:
        graph = lower(replace(architecture, input_shape=(channels, *(size for _ in sides))))
    except NasError:
        return False
    return next(_padded_otherwise(graph), None) is None


def _padded_otherwise(graph: Graph) -> Iterator[str]:
    """Yield the names of convolutions whose zeros TensorFlow would put elsewhere."""
    for index in graph.live():
        node = graph.nodes[index]
        if not isinstance(node.op, ops.Conv):
            continue
        size = graph.nodes[node.inputs[0]].shape[1:]
        windows = zip(size, node.op.kernel, node.op.stride, node.op.dilation, node.op.padding, strict=True)
        if any(_zeros(n, kernel, stride, dilation) != 2 * padding for n, kernel, stride, dilation, padding in windows):
            yield node.name


def _zeros(size: int, kernel: int, stride: int, dilation: int) -> int:
    """Return the zeros that TensorFlow adds to a side of a map, before and behind it together."""
    return max(0, (-(-size // stride) - 1) * stride + dilation * (kernel - 1) + 1 - size)
