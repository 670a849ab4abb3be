"""How often intervals hold, over many simulated studies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from scipy.stats import beta

Outcome = TypeVar("Outcome")


def share(hits: int, count: int) -> str:
    """A share with its 95 % interval (Clopper & Pearson 1934)."""
    low = float(beta.ppf(0.025, hits, count - hits + 1)) if hits else 0.0
    high = float(beta.ppf(0.975, hits + 1, count - hits)) if hits < count else 1.0
    return f"{hits / count:.1%} ({low:.1%} to {high:.1%})"


def simulated(
    simulate: Callable[[int, int, int], Outcome], place: int, count: int, seed: int, workers: int
) -> Sequence[Outcome]:
    """Simulate `count` studies of the condition at `place`, each by its number."""
    with ProcessPoolExecutor(workers) as pool:
        places, seeds = [place] * count, [seed] * count
        return list(pool.map(simulate, places, range(count), seeds, chunksize=count // (4 * workers) + 1))
