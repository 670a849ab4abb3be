"""Observed losses and their mean for each size. Runs of the same size share the size's own deviation from a law."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt
from statistics import fmean

import numpy as np
from scipy.stats import norm

from nas.scaling.laws.forms import Array

_MAX_STDS = 4.0
"""Standard deviations from the median of its size to which a run is clipped, so that a diverged one moves no mean."""
EXACT_STD = 1e-6
"""Standard deviation, in logarithms, below which losses count as exact: their differences are rounding."""
_MEDIAN_GAP = sqrt(2) * float(norm.ppf(0.75))
"""Median of the absolute difference of two normal values, in standard deviations."""


@dataclass(frozen=True)
class Observation:
    """The loss of a trained network."""

    size: tuple[float, ...]
    """A number per axis of the law, e.g. multiply-adds of the network, or parameters and training examples."""
    loss: float
    """A positive loss, or error rate."""
    run: str
    """The key of the training run: observations of the same run, as of several epochs, are not independent."""


@dataclass(frozen=True, eq=False)
class SizeMeans:
    """The mean logarithm of the losses of each size, smallest size first."""

    sizes: tuple[tuple[float, ...], ...]
    """The n sizes, `(axes,)` each."""
    unit: tuple[float, ...]
    """The size, `(axes,)`, that sizes are relative to in fits."""
    y: Array
    """`(n,)` means of the logarithms of the losses."""
    counts: Array
    """`(n,)` numbers of runs."""
    squares: float
    """Sum of the squared differences of runs from the mean of their size."""
    num_runs: int
    """Number of different runs; a run with several sizes, as of epochs of the same training, counts once."""

    @property
    def x(self) -> Array:
        """`(axes, n)` logarithms of the sizes relative to the unit."""
        return self.relative(self.sizes)

    @property
    def noise_freedom(self) -> int:
        """Degrees of freedom of `noise`."""
        return int(self.counts.sum()) - len(self.y)

    @property
    def noise(self) -> float:
        """Standard deviation between runs of the same size, in logarithms; 0 where no size has two that differ."""
        std = sqrt(self.squares / self.noise_freedom) if self.noise_freedom else 0.0
        return std if std > EXACT_STD else 0.0

    @property
    def mean_log_loss(self) -> float:
        """The mean of `y`, which losses are relative to in fits."""
        return float(self.y.mean())

    def relative(self, sizes: Sequence[tuple[float, ...]]) -> Array:
        """Return the logarithms of sizes relative to the unit, `(axes, n)`."""
        logs: Array = np.log(np.array(sizes, dtype=float) / np.array(self.unit)).T
        return logs

    def freedom(self, constants: int) -> int:
        """Return the degrees of freedom of the scatter of sizes around a law with some constants, at least 1."""
        return max(1, min(len(self.y), self.num_runs) - constants)

    def smallest(self, count: int) -> SizeMeans:
        """Return the `count` smallest sizes alone, in the same unit."""
        return SizeMeans(
            self.sizes[:count], self.unit, self.y[:count], self.counts[:count], self.squares, min(self.num_runs, count)
        )


def size_means(observations: Sequence[Observation]) -> SizeMeans:
    """Average the logarithms of the losses by size.

    Several losses of a run at the same size, as of its last epochs, are averaged first. A run that is further than four
    standard deviations from the median of its size is clipped to that distance.
    """
    values: dict[tuple[float, ...], dict[str, list[float]]] = {}
    for observation in observations:
        values.setdefault(observation.size, {}).setdefault(observation.run, []).append(float(np.log(observation.loss)))
    sizes = sorted(values, key=lambda size: float(np.prod(size)))
    groups = [np.array([fmean(logs) for logs in values[size].values()]) for size in sizes]
    clip = _clipper(groups)
    clipped = [clip(group) for group in groups]
    unit = tuple(float(np.exp(np.mean(np.log(axis)))) for axis in zip(*sizes, strict=True))
    return SizeMeans(
        tuple(sizes),
        unit,
        np.array([group.mean() for group in clipped]),
        np.array([float(len(group)) for group in clipped]),
        float(sum(((group - group.mean()) ** 2).sum() for group in clipped)),
        len({observation.run for observation in observations}),
    )


def _clipper(groups: Sequence[Array]) -> Callable[[Array], Array]:
    """Return a function that clips the runs of a size to four standard deviations around their median.

    The standard deviation follows from the median difference of pairs of runs, which a few diverged runs do not move.
    """
    gaps = [abs(first - second) for group in groups for first, second in combinations(group.tolist(), 2)]
    furthest = _MAX_STDS * float(np.median(gaps)) / _MEDIAN_GAP if gaps else 0.0
    if furthest == 0:
        return lambda group: group
    return lambda group: np.clip(group, np.median(group) - furthest, np.median(group) + furthest)
