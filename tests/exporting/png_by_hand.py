"""PNG files written chunk by chunk, so that what is in them is known without pillow."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

COLOUR_TYPES = {1: 0, 3: 2, 2: 4, 4: 6}
"""By channels: grey, RGB, grey with alpha, RGB with alpha."""
_PASSES = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))
"""Of Adam7: first row, step, first column, step."""


def png(
    levels: NDArray[Any],
    bits: int,
    chunks: Mapping[bytes, bytes] | None = None,
    *,
    colour_type: int | None = None,
    filters: Iterable[int] = (0,),
    interlaced: bool = False,
) -> bytes:
    """Return a PNG of levels `(height, width, channels)`.

    Args:
        levels: whole numbers below `2**bits`.
        bits: of a level.
        chunks: before the pixels, by name.
        colour_type: 3 for places in a palette; None: as there are channels.
        filters: of the rows, in turn; 0 none, 1 the pixel on the left, 2 that above.
        interlaced: whether by Adam7.
    """
    height, width, channels = levels.shape
    kind = COLOUR_TYPES[channels] if colour_type is None else colour_type
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, int(interlaced))
    parts = [levels[a::b, c::d] for a, b, c, d in _PASSES] if interlaced else [levels]
    rows = b"".join(_rows(part, bits, tuple(filters)) for part in parts if part.size)
    named = [(b"IHDR", header), *(chunks or {}).items(), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, data) for name, data in named)


def chunk(name: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _rows(levels: NDArray[Any], bits: int, filters: tuple[int, ...]) -> bytes:
    height, _, channels = levels.shape
    if bits < 8:
        single = (levels.reshape(height, -1, 1) >> np.arange(bits - 1, -1, -1)) & 1
        raw = np.packbits(single.reshape(height, -1).astype(np.uint8), axis=1)
    else:
        raw = levels.astype(">u2" if bits == 16 else "u1").reshape(height, -1).view(np.uint8)
    raw = raw.reshape(height, -1)
    pixel = max(1, channels * bits // 8)
    left = np.pad(raw, ((0, 0), (pixel, 0)))[:, : raw.shape[1]]
    above = np.pad(raw, ((1, 0), (0, 0)))[:height]
    ways = (raw, raw - left, raw - above)
    kinds = [filters[row % len(filters)] for row in range(height)]
    return b"".join(bytes([kind]) + ways[kind][row].tobytes() for row, kind in enumerate(kinds))
