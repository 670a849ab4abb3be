"""The surrogate: an ensemble of Gaussian processes over decisions and costs."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrs, dtrtri
from scipy.stats import norm, rankdata

from nas.search.samplers.encoding import Array, Encoding, Levels

_KERNEL_WEIGHTS = (
    (1.0, 0.0, 0.0),
    (0.7, 0.3, 0.0),
    (0.3, 0.7, 0.0),
    (0.5, 0.0, 0.5),
    (0.4, 0.2, 0.4),
    (0.2, 0.2, 0.6),
    (0.15, 0.7, 0.15),
    (0.0, 0.0, 1.0),
)
"""Weights of the kernels over single decisions, pairs of decisions, and costs; they sum to 1, the signal variance."""
_RECIPE_WEIGHTS = ((0.85, 0.1, 0.05), (0.6, 0.2, 0.2), (0.3, 0.5, 0.2), (0.2, 0.2, 0.6), (0.0, 0.5, 0.5))
"""Where the recipe is decided too: weights of the kernel over networks, of that over recipes, and of their product."""
_WITHOUT_RECIPE = (1.0, 0.0, 0.0)
_SLOPE_VARIANCES = (0.0, 1.0, 4.0)
"""Prior variances of the slope over the prior means, in units of the signal variance."""
_LENGTHSCALES = (1.0, 2.0)
"""Of the squared-exponential kernel over costs, in their standard deviations."""
_NOISES = (0.003, 0.03, 0.1, 0.3, 1.0)
"""Noise variances, in units of the signal variance."""
_MEAN_VARIANCE = 0.3
"""Prior variance of the constant mean, in units of the signal variance."""
_ENSEMBLE_SIZE = 3
_MAX_SELECTION_TRIALS = 100
"""Trials by which the members of the ensemble are selected, at most: selection takes most of the time."""


@dataclass(frozen=True)
class Features:
    """Networks as the surrogate sees them."""

    levels: Levels
    """`(networks, decisions)`, see `Encoding.levels`."""
    costs: Array
    """`(networks, costs)`, standardised; no columns where costs cannot be counted."""
    prior_means: Array | None = None
    """`(networks,)`: scores that an earlier search lets expect, standardised; None without one."""

    @property
    def filled_prior_means(self) -> Array:
        """`(networks,)`: the prior means, 0 where there are none."""
        return np.zeros(len(self)) if self.prior_means is None else self.prior_means

    def among(self, indices: Sequence[int]) -> Features:
        """Return those of some of the networks."""
        rows = list(indices)
        return Features(
            self.levels[rows], self.costs[rows], None if self.prior_means is None else self.prior_means[rows]
        )

    def joined(self, others: Features) -> Features:
        """Return these networks and others behind them, whose features are of the same kind."""
        return Features(
            np.concatenate([self.levels, others.levels]),
            np.concatenate([self.costs, others.costs]),
            None if self.prior_means is None else np.concatenate([self.prior_means, others.filled_prior_means]),
        )

    def __len__(self) -> int:
        """Return the number of networks."""
        return len(self.levels)


@dataclass(frozen=True, eq=False)
class _Kernels:
    """What covariances between networks and those that were evaluated are made of, `(networks, evaluated)` each."""

    single: Array
    """The kernel over single decisions."""
    pairs: Array
    """The kernel over pairs of decisions."""
    cost_distances: Array
    """Squared distances of costs."""
    prior_products: Array
    """Products of the prior means."""
    prior_squares: Array
    """`(networks,)`: squares of the prior means."""
    recipe: Array | None = None
    """The kernel over recipes; None where these are not decided."""

    @cached_property
    def _of_costs(self) -> dict[float, Array]:
        """By lengthscale, the kernels over costs that were asked for: members differ mostly in weights and noise."""
        return {}

    def of_costs(self, lengthscale: float) -> Array:
        """Return the kernel over costs, `(networks, evaluated)`."""
        if lengthscale not in self._of_costs:
            self._of_costs[lengthscale] = np.exp(-self.cost_distances / (2 * lengthscale**2))
        return self._of_costs[lengthscale]

    def among(self, subset: NDArray[np.int64]) -> _Kernels:
        """Return those among some of the evaluated networks, where these are the evaluated ones themselves."""
        square = np.ix_(subset, subset)
        return _Kernels(
            self.single[square],
            self.pairs[square],
            self.cost_distances[square],
            self.prior_products[square],
            self.prior_squares[subset],
            self.recipe[square] if self.recipe is not None else None,
        )


@dataclass(frozen=True)
class _Hyperparameters:
    """Hyperparameters of one Gaussian process, but for the signal variance, in whose units they are."""

    weights: tuple[float, float, float]
    """See `_KERNEL_WEIGHTS`."""
    lengthscale: float
    slope_variance: float
    noise: float
    recipe_weights: tuple[float, float, float] = _WITHOUT_RECIPE
    """See `_RECIPE_WEIGHTS`."""

    def covariance(self, kernels: _Kernels) -> Array:
        """Return the prior covariance, `(networks, evaluated)`, without noise."""
        if kernels.recipe is not None:
            return self._with_recipe(kernels, kernels.recipe)
        covariance = self.weights[0] * kernels.single + self.weights[1] * kernels.pairs + _MEAN_VARIANCE
        if self.weights[2]:
            covariance = covariance + self.weights[2] * kernels.of_costs(self.lengthscale)
        return covariance + self.slope_variance * kernels.prior_products if self.slope_variance else covariance

    def _with_recipe(self, kernels: _Kernels, recipe: Array) -> Array:
        """Return the covariance of networks that are trained by recipes of their own.

        What a network is worth by any recipe, what a recipe is worth for any network, and what suits the two.
        """
        network = self.weights[0] * kernels.single + self.weights[1] * kernels.pairs
        if self.weights[2]:
            network = network + self.weights[2] * kernels.of_costs(self.lengthscale)
        of_network, of_recipe, of_both = self.recipe_weights
        covariance = of_network * network + of_recipe * recipe + of_both * network * recipe + _MEAN_VARIANCE
        return covariance + self.slope_variance * kernels.prior_products if self.slope_variance else covariance

    def variance(self, kernels: _Kernels) -> Array | float:
        """Return the prior variance, `(networks,)`, or one for all networks."""
        variance = sum(self.weights) + _MEAN_VARIANCE
        return variance + self.slope_variance * kernels.prior_squares if self.slope_variance else variance


class _GaussianProcess:
    """A Gaussian process conditioned on scores, with the signal variance of the highest likelihood."""

    def __init__(self, hyperparameters: _Hyperparameters, covariance: Array, scores: Array) -> None:
        """Condition on scores `(n,)` of networks with a covariance `(n, n)`, without noise."""
        self.hyperparameters = hyperparameters
        noisy = covariance.copy()
        noisy.flat[:: len(noisy) + 1] += hyperparameters.noise  # the diagonal
        self._factor = np.linalg.cholesky(noisy)
        self._weights, _ = dpotrs(self._factor, scores, lower=1)
        self._signal_variance = max(float(scores @ self._weights) / len(scores), 1e-12)

    @property
    def log_likelihood(self) -> float:
        """The logarithm of the marginal likelihood, without its constant terms."""
        return float(-0.5 * len(self._factor) * np.log(self._signal_variance) - np.log(np.diag(self._factor)).sum())

    @property
    def noise_variance(self) -> float:
        """The variance of the noise of a score."""
        return self._signal_variance * self.hyperparameters.noise

    @cached_property
    def _whitening(self) -> Array:
        """Transpose of the inverse of the factor: one product with it is quicker than solving for each network."""
        inverse, _ = dtrtri(self._factor, lower=1)
        return np.asarray(inverse).T

    def predict(self, kernels: _Kernels) -> tuple[Array, Array]:
        """Return posterior means and variances, `(networks,)` each."""
        covariance = self.hyperparameters.covariance(kernels)
        explained = ((covariance @ self._whitening) ** 2).sum(axis=1)
        prior = self.hyperparameters.variance(kernels)
        return covariance @ self._weights, self._signal_variance * np.maximum(prior - explained, 1e-9)


class Surrogate:
    """Predicts a score of networks from those of others.

    Each member is a Gaussian process (Rasmussen & Williams 2006, "Gaussian Processes for Machine Learning", sections
    2.2 and 5.4) whose covariance is a sum of kernels: over single decisions, pairs of decisions, and costs. Where there
    are prior means the scores may also be linear in them, with a slope that is learned (section 2.7, explicit basis
    functions). Where the recipe is decided too, a kernel over recipes is added, and its product with that over
    networks: one network by two recipes has all of its own features in common. Members differ in weights and in the
    noise, and are averaged by their likelihoods, so that prior means that say nothing of the scores soon count for
    nothing.
    """

    def __init__(self, encoding: Encoding, features: Features, scores: Array) -> None:
        """Learn from networks that were evaluated.

        Args:
            encoding: of the decisions.
            features: the networks.
            scores: `(networks,)`; larger is better.
        """
        self._encoding, self._features = encoding, features
        self._columns = encoding.kernel_columns(features.levels)
        self._mean, self._sd = float(np.mean(scores)), float(np.std(scores)) or 1.0
        self._scores = (scores - self._mean) / self._sd
        kernels = self._kernels(features)
        subset = np.unique(np.linspace(0, len(scores) - 1, min(len(scores), _MAX_SELECTION_TRIALS)).round().astype(int))
        among = kernels.among(subset)
        processes = []
        for member in _hyperparameter_grid(features, among.recipe is not None):
            covariance = member.covariance(among)
            processes += [
                _GaussianProcess(replace(member, noise=noise), covariance, self._scores[subset]) for noise in _NOISES
            ]
        best = sorted(processes, key=lambda process: -process.log_likelihood)[:_ENSEMBLE_SIZE]
        odds = np.exp([process.log_likelihood - best[0].log_likelihood for process in best])
        self._member_weights = odds / odds.sum()
        self._members = [
            _GaussianProcess(process.hyperparameters, process.hyperparameters.covariance(kernels), self._scores)
            for process in best
        ]

    def believing(self, features: Features) -> Surrogate:
        """Return a surrogate that takes its predictions for some networks for their scores, until they are evaluated.

        So it is surer of them and of what is similar (Ginsbourger et al. 2010, "Kriging is well-suited to parallelize
        optimization", the kriging believer).
        """
        other = copy(self)
        means, _ = self.predict(features)
        other._features = self._features.joined(features)
        other._columns = self._encoding.kernel_columns(other._features.levels)
        other._scores = np.concatenate([self._scores, (means - self._mean) / self._sd])
        kernels = other._kernels(other._features)
        members = [member.hyperparameters for member in self._members]
        other._members = [_GaussianProcess(member, member.covariance(kernels), other._scores) for member in members]
        return other

    def _kernels(self, features: Features) -> _Kernels:
        """Return the kernels between networks and those that were evaluated."""
        single, pairs = self._encoding.kernels(features.levels, self._columns)
        costs, evaluated = features.costs, self._features.costs
        squares = (costs**2).sum(1)[:, None] + (evaluated**2).sum(1)[None] - 2 * costs @ evaluated.T
        distances = np.maximum(squares, 0.0) * (2 / max(1, costs.shape[1]))
        means = features.filled_prior_means
        products = np.outer(means, self._features.filled_prior_means)
        recipe = self._encoding.recipe_kernel(features.levels, self._columns)
        return _Kernels(single, pairs, distances, products, means**2, recipe)

    @property
    def noise_sd(self) -> float:
        """The standard deviation of the noise of a score, by the members of the ensemble."""
        variances = np.array([member.noise_variance for member in self._members])
        return self._sd * float(np.sqrt(self._member_weights @ variances))

    def predict(self, features: Features) -> tuple[Array, Array]:
        """Return the expected scores and their standard deviations, without noise, `(networks,)` each."""
        kernels = self._kernels(features)
        predictions = [member.predict(kernels) for member in self._members]
        means, variances = np.array([mean for mean, _ in predictions]), np.array([var for _, var in predictions])
        mean = self._member_weights @ means
        variance = self._member_weights @ (variances + means**2) - mean**2
        return self._mean + self._sd * mean, self._sd * np.sqrt(np.maximum(variance, 1e-12))


def _hyperparameter_grid(features: Features, decides_recipe: bool) -> list[_Hyperparameters]:
    """Return the hyperparameters that make a difference for such features, without noise."""
    has_costs = features.costs.shape[1] > 0
    slopes = _SLOPE_VARIANCES if features.prior_means is not None else _SLOPE_VARIANCES[:1]
    recipes = _RECIPE_WEIGHTS if decides_recipe else (_WITHOUT_RECIPE,)
    return [
        _Hyperparameters(weights, lengthscale, slope, 0.0, recipe)
        for weights, lengthscale, slope, recipe in product(_KERNEL_WEIGHTS, _LENGTHSCALES, slopes, recipes)
        if (weights[2] and has_costs) or (not weights[2] and lengthscale == _LENGTHSCALES[0])
    ]


def warp_lower_half(scores: Array) -> Array:
    """Bring the worse half of scores to where a normal distribution with the better half would have it.

    How bad the bad ones are would else decide what the surrogate sees: a network that does not learn at all is far
    from all others. The better half stays as it is. As in Song et al. 2024, "The Vizier Gaussian process bandit
    algorithm", output warping.

    Args:
        scores: `(networks,)`; larger is better.
    """
    median = np.median(scores)
    sd = float(np.sqrt(np.mean((scores[scores >= median] - median) ** 2)))
    if sd == 0:
        return scores
    lower = scores < median
    warped = scores.astype(float)
    warped[lower] = median + sd * norm.ppf((rankdata(scores)[lower] - 0.5) / len(scores))
    return warped
