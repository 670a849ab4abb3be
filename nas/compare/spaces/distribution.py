"""Distributions of errors, with weights, and how far two of them are apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nas.compare.spaces.complexity import Array

_ROUNDING = 1e-9
"""Sums of weights are as exact as this."""


@dataclass(frozen=True)
class Distribution:
    """The errors of a population of networks. Made by `distribution_of`."""

    errors: Array
    """`(networks,)`, ascending; those of weight zero are left out."""
    shares: Array
    """`(networks,)`: the weights of the errors up to each, added up; the last is 1."""

    def at(self, error: Array | float) -> Array:
        """Return the share of networks whose error is below `error`, in its shape: F(e) = sum w_i 1[e_i < e].

        Radosavovic et al. 2019, "On network design spaces for visual recognition": the empirical distribution
        function, normalised by weights.
        """
        return np.asarray(np.append(0.0, self.shares)[np.searchsorted(self.errors, error, side="left")])

    @property
    def mean(self) -> float:
        """The weighted mean error."""
        return float(np.diff(self.shares, prepend=0.0) @ self.errors)

    @property
    def best(self) -> float:
        """The smallest error."""
        return float(self.errors[0])

    def quantile(self, share: float) -> float:
        """Return the smallest error that at least this share of the networks does not exceed; 0.5 gives the median."""
        index = np.searchsorted(self.shares, share - _ROUNDING, side="left")
        return float(self.errors[min(int(index), len(self.errors) - 1)])


def distribution_of(errors: Array, weights: Array | None = None) -> Distribution:
    """Return the distribution of the errors of some networks.

    Args:
        errors: `(networks,)`, finite.
        weights: `(networks,)`, at least 0 and not all 0; by default all the same.
    """
    weights = np.ones(len(errors)) if weights is None else weights
    assert len(weights) == len(errors)
    assert (weights >= 0).all()
    assert weights.sum() > 0
    order = np.argsort(errors, kind="stable")
    order = order[weights[order] > 0]
    shares = np.cumsum(weights[order])
    return Distribution(errors[order], shares / shares[-1])


def area_between(first: Distribution, second: Distribution) -> float:
    """Return the area between two distribution functions, in units of the error: the Wasserstein distance of order 1.

    It is the least by which errors have to be moved on average to make one distribution the other. Where the functions
    do not cross it is the difference of the means.
    """
    errors, differences = _edf_differences(first, second)
    return float(np.abs(differences) @ np.diff(errors))


def ks_distance(first: Distribution, second: Distribution) -> float:
    """Return the largest difference of two distribution functions, the Kolmogorov-Smirnov distance, from 0 to 1."""
    _, differences = _edf_differences(first, second)
    return float(np.abs(differences).max(initial=0.0))


def _edf_differences(first: Distribution, second: Distribution) -> tuple[Array, Array]:
    """Return all errors, `(errors,)`, and the difference of the functions from each to the next, `(errors - 1,)`."""
    errors = np.unique(np.concatenate([first.errors, second.errors]))
    return errors, first.at(errors[1:]) - second.at(errors[1:])
