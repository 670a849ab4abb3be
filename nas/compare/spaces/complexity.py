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

MIN_NETWORKS = 2
"""Networks of each population that a bin needs: a single one does not show how much they vary."""
_MOST_BINS = 20


@dataclass(frozen=True)
class Matching:
    """The networks of several populations that are compared, in bins of equal complexity."""

    low: float
    high: float
    """Ends of the complexities that all populations have; nan where complexity does not matter."""
    bin_numbers: tuple[Ints, ...]
    """For each population, `(networks,)`: the bin of each network, from 0, or -1 where it does not count."""

    @property
    def num_bins(self) -> int:
        """Number of bins that hold networks of each population."""
        return int(self.bin_numbers[0].max()) + 1

    def weights(self, population: int) -> Array:
        """Return the weights of the population of that index, `(networks,)`; see `weights_of`."""
        return weights_of(self.bin_numbers[population])

    def used(self, population: int) -> int:
        """Return how many networks of the population of that index count."""
        return int((self.bin_numbers[population] >= 0).sum())


def weights_of(bin_numbers: Ints) -> Array:
    """Return the weights of networks by their bins, `(networks,)`, whose sum is one.

    Each of the k bins has the weight 1/k, and each of the m networks in one of them 1/(k m): Radosavovic et al. 2019,
    "On network design spaces for visual recognition", on controlling for complexity.
    """
    num_bins = int(bin_numbers.max()) + 1
    counts = np.bincount(bin_numbers[bin_numbers >= 0], minlength=num_bins)
    return np.where(bin_numbers >= 0, 1 / (num_bins * counts[bin_numbers]), 0.0)


def match(complexities: Sequence[Array], names: Sequence[str], metric: str, num_bins: int | None = None) -> Matching:
    """Divide the complexities that all populations have into bins of equal width on a logarithmic scale.

    A bin is in use where each population has `LEAST` networks in it; those in other bins, and those outside the common
    range, do not count, so that all are compared over the same complexities.

    Args:
        complexities: for each population `(networks,)`.
        names: of the populations, for messages.
        metric: what complexity is, for messages.
        num_bins: number of bins; by default the root of the smallest number of networks in the common range, or the
            next smaller number of which a bin is in use.

    Raises:
        ConfigError: a complexity is not positive.
        SpaceError: the populations have no complexity in common.
    """
    if any((values <= 0).any() for values in complexities):
        raise ConfigError(f"complexity={metric} must be > 0 for every network; take another, or null for none")
    low, high = max(values.min() for values in complexities), min(values.max() for values in complexities)
    in_range = [(values >= low) & (values <= high) for values in complexities]
    smallest = min(int(mask.sum()) for mask in in_range)
    if smallest < MIN_NETWORKS:
        raise SpaceError(_apart(complexities, names, metric))
    for count in [num_bins] if num_bins else range(max(1, min(_MOST_BINS, round(math.sqrt(smallest)))), 0, -1):
        bin_numbers = [
            _binned(values, mask, low, high, count) for values, mask in zip(complexities, in_range, strict=True)
        ]
        counts = np.array([np.bincount(numbers[numbers >= 0], minlength=count) for numbers in bin_numbers])
        used = (counts >= MIN_NETWORKS).all(axis=0)
        if used.any():
            break
    else:
        raise SpaceError(
            f"no bin of {metric} has {MIN_NETWORKS} networks of each of {', '.join(names)}: take more trials, or fewer "
            f"bins than {num_bins}"
        )
    # Networks in no bin have the index -1, which is the last element.
    renumbered = np.append(np.where(used, np.cumsum(used) - 1, -1), -1)
    return Matching(float(low), float(high), tuple(renumbered[numbers] for numbers in bin_numbers))


def unmatched(sizes: Sequence[int]) -> Matching:
    """Return the matching in which every network has the same weight, whatever its complexity.

    Raises:
        SpaceError: a population of fewer than `LEAST` networks.
    """
    if min(sizes) < MIN_NETWORKS:
        raise SpaceError(f"{MIN_NETWORKS} networks of each space are needed, but there are {list(sizes)}")
    return Matching(math.nan, math.nan, tuple(np.zeros(size, np.int64) for size in sizes))


def _binned(values: Array, in_range: NDArray[np.bool_], low: float, high: float, num_bins: int) -> Ints:
    if low == high:
        return np.where(in_range, 0, -1).astype(np.int64)
    position = np.log(values / low) / math.log(high / low) * num_bins
    return np.where(in_range, np.clip(np.floor(position), 0, num_bins - 1), -1).astype(np.int64)


def _apart(complexities: Sequence[Array], names: Sequence[str], metric: str) -> str:
    ranges = ", ".join(
        f"{name} {values.min():,.0f} to {values.max():,.0f}" for name, values in zip(names, complexities, strict=True)
    )
    return (
        f"fewer than {MIN_NETWORKS} networks of a space have {metric} that the others have too ({ranges}): take more "
        f"trials, bring them together with constraints.{metric}=[LOW,HIGH], or set complexity=null"
    )
