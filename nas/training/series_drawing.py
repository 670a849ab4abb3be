"""Draws a series as a small line chart that a page holds."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

_WIDTH, _HEIGHT = 176, 96
"""Of a drawing, in pixels."""
_COLOURS = ("#2a6fbb", "#c8553d", "#4b8f5b", "#8a5aa8", "#b8860b", "#3a8a8c")
_MOST_CHANNELS = 12
"""That are drawn."""
_MOST_STEPS = 2_000
"""Of a channel; of longer ones only every so manyth is drawn."""


def line_chart(series: NDArray[Any], text: str) -> str:
    """Return a series `(channels, length)` as an `svg` element: a line a channel, with gaps where it has no value.

    Args:
        series: all channels are drawn to one scale.
        text: what it is, for those who do not see it.
    """
    channels = series[:_MOST_CHANNELS, :: -(-series.shape[1] // _MOST_STEPS)].astype(np.float64)
    there = channels[np.isfinite(channels)]
    low, high = (float(there.min()), float(there.max())) if there.size else (0.0, 1.0)
    across = np.linspace(2, _WIDTH - 2, channels.shape[1])
    up = _HEIGHT - 2 - (channels - low) / ((high - low) or 1.0) * (_HEIGHT - 4)
    lines = "".join(
        f'<polyline points="{points}" fill="none" stroke="{_COLOURS[number % len(_COLOURS)]}"/>'
        for number, row in enumerate(up)
        for points in _pieces(across, row)
    )
    return f'<svg width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="{escape(text)}">{lines}</svg>'


def _pieces(across: NDArray[np.float64], up: NDArray[np.float64]) -> list[str]:
    """Return the points of each piece of a line that has no gap."""
    gaps = np.flatnonzero(~np.isfinite(up))
    pieces = zip(np.split(across, gaps), np.split(up, gaps), strict=True)
    found = []
    for x, y in pieces:
        points = [f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True) if np.isfinite(b)]
        found += [" ".join(points if len(points) > 1 else points * 2)] if points else []
    return found
