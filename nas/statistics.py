"""Statistics that every part of the project needs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct the p-values of a family of tests: where those below a level are believed, the chance that any of them
    is wrong is at most that level, however the tests depend on each other.

    Holm 1979, "A simple sequentially rejective multiple test procedure": the i-th smallest of m, times m - i + 1, and
    not below the one before it.

    Args:
        p_values: in any order.

    Returns:
        The corrected ones, at most 1, in the same order.
    """
    count = len(p_values)
    order = np.argsort(p_values, kind="stable")
    scaled = np.asarray(p_values, float)[order] * np.arange(count, 0, -1)
    corrected = np.empty(count)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return [float(value) for value in corrected]
