"""The best that free costs alone say of how good networks are: what a proxy has to beat."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

Array = NDArray[np.float64]

_PENALTIES = np.geomspace(1e-3, 1e2, 11)
_LENGTHS = (0.5, 1.0, 2.0)
"""Lengthscales of the Gaussian kernel, in units of the distance that two networks have on average."""


def predicted(costs: Mapping[str, Array], truth: Array) -> Array:
    """Predict how good each network is from its costs, by a model that has not seen that network, `(networks,)`.

    Kernel ridge regression of the normal scores of what training found, over linear, quadratic and Gaussian kernels of
    the costs, as normal scores and as logarithms, so that scores may rise and fall with them as they like. Each network
    is left out in turn, and the kernel and penalty are those that predict best so.

    Args:
        costs: by name, `(networks,)` each, `> 0` or not.
        truth: what training found, `(networks,)`.
    """
    target = _normal(truth)
    target -= target.mean()
    tries = [left_out(kernel, target, penalty) for kernel in _kernels(costs) for penalty in _PENALTIES]
    return min(tries, key=lambda guess: float(((guess - target) ** 2).mean()))


def left_out(kernel: Array, target: Array, penalty: float) -> Array:
    """Predict each value by kernel ridge regression on all others, `(networks,)`, in closed form.

    Hastie, Tibshirani & Friedman 2009, "The elements of statistical learning", section 7.10: with what the regression
    makes of all values, H y, it is (H y - h y) / (1 - h) with h the diagonal of H = K (K + p I)^-1.

    Args:
        kernel: K, `(networks, networks)`.
        target: y, `(networks,)`, with mean 0.
        penalty: p.
    """
    hat = np.linalg.solve(kernel + penalty * np.eye(len(target)), kernel).T
    own = np.diag(hat)
    return np.asarray((hat @ target - own * target) / (1 - own))


def _kernels(costs: Mapping[str, Array]) -> list[Array]:
    """Return kernels between networks, of which the average network is taken away; their mean diagonal is 1."""
    kernels = []
    for columns in _shapes(costs):
        inner = columns @ columns.T / columns.shape[1]
        squares = np.diag(inner)
        distances = np.maximum(0.0, squares[:, None] + squares - 2 * inner)
        unit = distances.mean() or 1.0
        gaussians = [np.exp(-distances / (2 * length**2 * unit)) for length in _LENGTHS]
        kernels += [inner, inner + inner**2, *gaussians]
    middle = np.eye(len(kernels[0])) - 1 / len(kernels[0])
    centred = [middle @ kernel @ middle for kernel in kernels]
    return [kernel / max(float(np.trace(kernel)) / len(kernel), 1e-12) for kernel in centred]


def _shapes(costs: Mapping[str, Array]) -> list[Array]:
    """Return the costs as normal scores and as logarithms, `(networks, costs)`, each column with variance 1."""
    shapes = [np.column_stack([_normal(column) for column in costs.values()])]
    if all((column > 0).all() for column in costs.values()):
        shapes.append(np.log(np.column_stack(list(costs.values()))))
    return [(each - each.mean(axis=0)) / np.maximum(each.std(axis=0), 1e-12) for each in shapes]


def _normal(values: Array) -> Array:
    """Return normal scores of the ranks (Blom 1958)."""
    return np.asarray(norm.ppf((rankdata(values) - 3 / 8) / (len(values) + 1 / 4)))
