"""Weights that give populations of networks the same distribution of complexity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.errors import ConfigError, SpaceError

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

LEAST = 2
"""Networks of each population that a bin needs: one alone does not show how much they vary."""
_MOST_BINS = 20


@dataclass(frozen=True)
class Matching:
    """Which networks of several populations are compared with each other, and with what weight."""

    low: float
    high: float
    """Ends of the complexities that all populations have; nan where complexity does not matter."""
    cells: tuple[Ints, ...]
    """For each population `(networks,)`: the bin of each network, from 0, or -1 where it does not count."""

    @property
    def bins(self) -> int:
        """Number of bins in use."""
        return int(self.cells[0].max()) + 1

    def weights(self, which: int) -> Array:
        """Return the weights of a population, `(networks,)`; see `weights_of`."""
        return weights_of(self.cells[which])

    def used(self, which: int) -> int:
        """Return how many networks of a population count."""
        return int((self.cells[which] >= 0).sum())


def weights_of(cells: Ints) -> Array:
    """Return the weights of networks in bins, `(networks,)`, whose sum is one.

    Each of the k bins has the weight 1/k, and each of the m networks in one of them 1/(k m): Radosavovic et al. 2019,
    "On network design spaces for visual recognition", on controlling for complexity.
    """
    bins = int(cells.max()) + 1
    counts = np.bincount(cells[cells >= 0], minlength=bins)
    return np.where(cells >= 0, 1 / (bins * counts[cells]), 0.0)


def match(complexities: Sequence[Array], names: Sequence[str], metric: str, bins: int | None = None) -> Matching:
    """Divide the complexities that all populations have into bins of equal width on a logarithmic scale.

    A bin is in use where each population has `LEAST` networks in it; those in other bins, and those outside the common
    range, do not count, so that all are compared over the same complexities.

    Args:
        complexities: for each population `(networks,)`.
        names: of the populations, for messages.
        metric: what complexity is, for messages.
        bins: number of bins; by default the root of the smallest number of networks in the common range, or as many
            fewer as it takes to have one in use.

    Raises:
        ConfigError: a complexity that has no logarithm. SpaceError: nothing in common.
    """
    if any((values <= 0).any() for values in complexities):
        raise ConfigError(f"complexity={metric} must be > 0 for every network; take another, or null for none")
    low, high = max(values.min() for values in complexities), min(values.max() for values in complexities)
    inside = [(values >= low) & (values <= high) for values in complexities]
    fewest = min(int(mask.sum()) for mask in inside)
    if fewest < LEAST:
        raise SpaceError(_apart(complexities, names, metric))
    for count in [bins] if bins else range(max(1, min(_MOST_BINS, round(math.sqrt(fewest)))), 0, -1):
        cells = [_binned(values, mask, low, high, count) for values, mask in zip(complexities, inside, strict=True)]
        held = np.array([np.bincount(cell[cell >= 0], minlength=count) for cell in cells])
        kept = (held >= LEAST).all(axis=0)
        if kept.any():
            break
    else:
        raise SpaceError(
            f"no bin of {metric} has {LEAST} networks of each of {', '.join(names)}: take more trials, or fewer "
            f"bins than {bins}"
        )
    # The last place is that of the networks that are in no bin.
    number = np.append(np.where(kept, np.cumsum(kept) - 1, -1), -1)
    return Matching(float(low), float(high), tuple(number[cell] for cell in cells))


def unmatched(sizes: Sequence[int]) -> Matching:
    """Return the matching in which every network has the same weight, whatever its complexity.

    Raises:
        SpaceError: a population of fewer than `LEAST` networks.
    """
    if min(sizes) < LEAST:
        raise SpaceError(f"{LEAST} networks of each space are needed, but there are {list(sizes)}")
    return Matching(math.nan, math.nan, tuple(np.zeros(size, np.int64) for size in sizes))


def _binned(values: Array, inside: NDArray[np.bool_], low: float, high: float, count: int) -> Ints:
    if low == high:
        return np.where(inside, 0, -1).astype(np.int64)
    place = np.log(values / low) / math.log(high / low) * count
    return np.where(inside, np.clip(np.floor(place), 0, count - 1), -1).astype(np.int64)


def _apart(complexities: Sequence[Array], names: Sequence[str], metric: str) -> str:
    ranges = ", ".join(
        f"{name} {values.min():,.0f} to {values.max():,.0f}" for name, values in zip(names, complexities, strict=True)
    )
    return (
        f"fewer than {LEAST} networks of a space have {metric} that the others have too ({ranges}): take more trials, "
        f"bring them together with constraints.{metric}=[LOW,HIGH], or set complexity=null"
    )
