"""What was observed, and its mean for each size: runs of one size share whatever that size is off by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt
from statistics import fmean

import numpy as np
from scipy.stats import norm

from nas.scaling.laws.forms import Array

_FURTHEST = 4.0
"""Standard deviations from its size's median at which a run is held: one that diverged must not move its mean far."""
EXACT = 1e-6
"""Standard deviation, in logarithms, below which losses count as exact: what they differ by is rounding."""
_MEDIAN_GAP = sqrt(2) * float(norm.ppf(0.75))
"""Median of the difference of two normal values, in standard deviations."""


@dataclass(frozen=True)
class Observation:
    """What one trained network showed."""

    size: tuple[float, ...]
    """What the law is in, e.g. multiply-adds of the network, or parameters and training examples."""
    loss: float
    """Positive; an error rate, or a loss."""
    run: str
    """What trained it: observations of one run are not independent, as those of several epochs."""


@dataclass(frozen=True, eq=False)
class Means:
    """Logarithms of the losses by size, smallest size first."""

    sizes: tuple[tuple[float, ...], ...]
    unit: tuple[float, ...]
    """Sizes are fitted relative to it."""
    y: Array
    """`(n,)` means of the logarithms."""
    counts: Array
    """`(n,)` runs of each."""
    squares: float
    """Sum of the squared differences of runs from the mean of their size."""
    runs: int
    """Different runs; one that has several sizes, as epochs of one training, counts once."""

    @property
    def x(self) -> Array:
        """`(axes, n)` logarithms of the sizes relative to the unit."""
        return self.relative(self.sizes)

    @property
    def repeated(self) -> int:
        """Degrees of freedom of the noise between runs of one size."""
        return int(self.counts.sum()) - len(self.y)

    @property
    def noise(self) -> float:
        """Standard deviation between runs of one size, in logarithms; 0 where no size has two runs that differ."""
        found = sqrt(self.squares / self.repeated) if self.repeated else 0.0
        return found if found > EXACT else 0.0

    @property
    def level(self) -> float:
        """What laws are fitted relative to: the mean of `y`."""
        return float(self.y.mean())

    def relative(self, sizes: Sequence[tuple[float, ...]]) -> Array:
        """`(axes, n)` logarithms of any sizes relative to the unit."""
        found: Array = np.log(np.array(sizes, dtype=float) / np.array(self.unit)).T
        return found

    def freedom(self, constants: int) -> int:
        """Degrees of freedom of the scatter of sizes around a law of so many constants, at least 1."""
        return max(1, min(len(self.y), self.runs) - constants)

    def keep(self, count: int) -> Means:
        """The `count` smallest sizes alone, in the same unit."""
        return Means(
            self.sizes[:count], self.unit, self.y[:count], self.counts[:count], self.squares, min(self.runs, count)
        )


def means_of(observations: Sequence[Observation]) -> Means:
    """Average the logarithms of the losses by size.

    Several losses of one run at one size, as of its last epochs, are one value. A run that is further than four
    standard deviations from the median of its size counts as being so far off.
    """
    values: dict[tuple[float, ...], dict[str, list[float]]] = {}
    for one in observations:
        values.setdefault(one.size, {}).setdefault(one.run, []).append(float(np.log(one.loss)))
    sizes = sorted(values, key=lambda size: float(np.prod(size)))
    groups = [np.array([fmean(logs) for logs in values[size].values()]) for size in sizes]
    held = _clip(groups)
    kept = [held(group) for group in groups]
    unit = tuple(float(np.exp(np.mean(np.log(axis)))) for axis in zip(*sizes, strict=True))
    return Means(
        tuple(sizes),
        unit,
        np.array([group.mean() for group in kept]),
        np.array([float(len(group)) for group in kept]),
        float(sum(((group - group.mean()) ** 2).sum() for group in kept)),
        len({one.run for one in observations}),
    )


def _clip(groups: Sequence[Array]) -> Callable[[Array], Array]:
    """What holds runs near the median of their size; the median gap of pairs says how near, whatever a few runs did."""
    gaps = [abs(one - other) for group in groups for one, other in combinations(group.tolist(), 2)]
    furthest = _FURTHEST * float(np.median(gaps)) / _MEDIAN_GAP if gaps else 0.0
    if furthest == 0:
        return lambda group: group
    return lambda group: np.clip(group, np.median(group) - furthest, np.median(group) + furthest)
