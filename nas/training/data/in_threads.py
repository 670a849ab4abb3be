"""Work on pictures by several threads: decoding, hashing and scaling leave Python's lock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import ceil
from typing import TypeVar

_MOST_THREADS = 8
"""More wait for Python's lock."""
_MOST_AT_A_TIME = 32
"""Items that a thread takes together: handing over one costs as much as half of the decoding of a small picture."""
Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(work: Callable[[Item], Result], items: Sequence[Item], threads: int) -> list[Result]:
    """Return what becomes of each item, in order; the first error in that order is raised.

    Args:
        work: what is done with an item.
        items: of which.
        threads: that there may be. With one it is done by the thread that asks.
    """
    threads = min(_MOST_THREADS, threads)
    if threads < 2:
        return [work(item) for item in items]
    size = max(1, min(_MOST_AT_A_TIME, ceil(len(items) / threads)))
    parts = [items[start : start + size] for start in range(0, len(items), size)]
    with ThreadPoolExecutor(max_workers=threads) as pool:
        return [one for part in pool.map(lambda some: [work(item) for item in some], parts) for one in part]
