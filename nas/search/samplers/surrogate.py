"""What is known so far, and how surely: an ensemble of Gaussian processes over decisions and costs."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve
from scipy.linalg.lapack import dtrtri
from scipy.stats import norm, rankdata

from nas.search.samplers.encoding import Array, Encoding

_MIXES = (
    (1.0, 0.0, 0.0),
    (0.7, 0.3, 0.0),
    (0.3, 0.7, 0.0),
    (0.5, 0.0, 0.5),
    (0.4, 0.2, 0.4),
    (0.2, 0.2, 0.6),
    (0.15, 0.7, 0.15),
    (0.0, 0.0, 1.0),
)
"""Shares of what single decisions, pairs of decisions, and costs explain."""
_SLOPES = (0.0, 1.0, 4.0)
"""Variance of the slope over what is believed of networks beforehand, in the same shares."""
_REACHES = (1.0, 2.0)
"""Over how many standard deviations of the costs what is known of one network holds for another."""
_NOISES = (0.003, 0.03, 0.1, 0.3, 1.0)
"""Variance of what cannot be explained, as a share of what can."""
_LEVEL = 0.3
"""Variance of the mean of all networks, in the same shares."""
_MEMBERS = 3
_JUDGED = 100
"""Trials by which the members are chosen, at most: choosing takes most of the time."""


@dataclass(frozen=True)
class Facts:
    """Networks as the surrogate sees them."""

    rows: NDArray[np.int64]
    """`(networks, decisions)`, see `Encoding`."""
    costs: Array
    """`(networks, costs)`, as standard deviations from a mean; no columns where costs are not known."""
    beliefs: Array | None = None
    """`(networks,)`: what is believed of them beforehand, as standard deviations from a mean; None where nothing is."""

    @property
    def believed(self) -> Array:
        """`(networks,)`: the beliefs, 0 where there are none."""
        return np.zeros(len(self)) if self.beliefs is None else self.beliefs

    def and_others(self, others: Facts) -> Facts:
        """Return these and others of the same kind."""
        return Facts(
            np.concatenate([self.rows, others.rows]),
            np.concatenate([self.costs, others.costs]),
            None if self.beliefs is None else np.concatenate([self.beliefs, others.believed]),
        )

    def __len__(self) -> int:
        return len(self.rows)


class _Likeness(NamedTuple):
    """How alike some networks are to those that were evaluated, `(networks, evaluated)` each."""

    single: Array
    """In single decisions."""
    pairs: Array
    """In pairs of decisions."""
    distance: Array
    """The squared distance in costs."""
    belief: Array
    """The products of what is believed of them."""
    own: Array
    """`(networks,)`: the squares of what is believed of each."""

    def among(self, some: NDArray[np.int64]) -> _Likeness:
        """Return that of some of the evaluated networks among each other."""
        here = np.ix_(some, some)
        return _Likeness(self.single[here], self.pairs[here], self.distance[here], self.belief[here], self.own[some])


@dataclass(frozen=True)
class _Setting:
    """What one Gaussian process takes for granted."""

    mix: tuple[float, float, float]
    reach: float
    slope: float
    noise: float

    def covariance(self, likeness: _Likeness) -> Array:
        found = self.mix[0] * likeness.single + self.mix[1] * likeness.pairs + _LEVEL
        if self.mix[2]:
            found = found + self.mix[2] * np.exp(-likeness.distance / (2 * self.reach**2))
        return found + self.slope * likeness.belief if self.slope else found

    def variance(self, likeness: _Likeness) -> Array | float:
        """Return the variance before anything is known."""
        found = sum(self.mix) + _LEVEL
        return found + self.slope * likeness.own if self.slope else found


class _Process:
    """A Gaussian process of some scores."""

    def __init__(self, setting: _Setting, covariance: Array, scores: Array) -> None:
        self.setting = setting
        noisy = covariance.copy()
        noisy[np.diag_indices_from(noisy)] += setting.noise
        self._factor = np.linalg.cholesky(noisy)
        self._solved = cho_solve((self._factor, True), scores, check_finite=False)
        # The most likely variance of the process.
        self._scale = max(float(scores @ self._solved) / len(scores), 1e-12)

    @property
    def evidence(self) -> float:
        """Logarithm of the marginal likelihood at the most likely variance, without its constant terms."""
        return float(-0.5 * len(self._factor) * np.log(self._scale) - np.log(np.diag(self._factor)).sum())

    @cached_property
    def _whitening(self) -> Array:
        """Transpose of the inverse of the factor: one product with it is quicker than solving for each candidate."""
        inverse, _ = dtrtri(self._factor, lower=1)
        return np.asarray(inverse).T

    def predict(self, likeness: _Likeness) -> tuple[Array, Array]:
        """Return means and variances."""
        covariance = self.setting.covariance(likeness)
        known = ((covariance @ self._whitening) ** 2).sum(axis=1)
        before = self.setting.variance(likeness)
        return covariance @ self._solved, self._scale * np.maximum(before - known, 1e-9)


class Surrogate:
    """Predicts a score of networks from those of others.

    Each member is a Gaussian process (Rasmussen & Williams 2006, "Gaussian Processes for Machine Learning", sections
    2.2 and 5.4) whose covariance is a sum of likenesses: of single decisions, of pairs of decisions, and of costs.
    Where something is believed beforehand the scores may also rise or fall with that in a line, whose slope is learned
    (section 2.7, explicit basis functions). Members differ in the shares of these and in the noise, and count by their
    evidence, so that beliefs that say nothing of the scores soon count for nothing.
    """

    def __init__(self, encoding: Encoding, facts: Facts, scores: Array) -> None:
        """Learn.

        Args:
            encoding: of the decisions.
            facts: networks that were evaluated.
            scores: theirs; larger is better.
        """
        self._encoding, self._facts = encoding, facts
        self._projected = encoding.projected(facts.rows)
        self._middle, self._spread = float(np.mean(scores)), float(np.std(scores)) or 1.0
        self._values = (scores - self._middle) / self._spread
        likeness = self._likeness(facts)
        some = np.unique(np.linspace(0, len(scores) - 1, min(len(scores), _JUDGED)).round().astype(int))
        part = likeness.among(some)
        tried = []
        for mix, reach, slope in _kinds(facts):
            covariance = _Setting(mix, reach, slope, 0.0).covariance(part)
            tried += [_Process(_Setting(mix, reach, slope, noise), covariance, self._values[some]) for noise in _NOISES]
        best = sorted(tried, key=lambda one: -one.evidence)[:_MEMBERS]
        odds = np.exp([one.evidence - best[0].evidence for one in best])
        self._weights = odds / odds.sum()
        self._members = [_Process(one.setting, one.setting.covariance(likeness), self._values) for one in best]

    def believing(self, facts: Facts) -> Surrogate:
        """Return a surrogate that takes what it expects of some networks for true, until they are evaluated.

        So it is surer of them and of what is like them (Ginsbourger et al. 2010, "Kriging is well-suited to parallelize
        optimization", the believer).
        """
        other = copy(self)
        mean = self.predict(facts)[0]
        other._facts = self._facts.and_others(facts)
        other._projected = self._encoding.projected(other._facts.rows)
        other._values = np.concatenate([self._values, (mean - self._middle) / self._spread])
        likeness = other._likeness(other._facts)
        settings = [one.setting for one in self._members]
        other._members = [_Process(one, one.covariance(likeness), other._values) for one in settings]
        return other

    def _likeness(self, facts: Facts) -> _Likeness:
        """Likeness to the networks that were evaluated."""
        single, pairs = self._encoding.likeness(facts.rows, self._projected)
        mine, known = facts.costs, self._facts.costs
        squares = (mine**2).sum(1)[:, None] + (known**2).sum(1)[None] - 2 * mine @ known.T
        distance = np.maximum(squares, 0.0) * (2 / max(1, mine.shape[1]))
        return _Likeness(single, pairs, distance, np.outer(facts.believed, self._facts.believed), facts.believed**2)

    def predict(self, facts: Facts) -> tuple[Array, Array]:
        """Return the expected scores and their standard deviations, without the noise of an evaluation."""
        likeness = self._likeness(facts)
        found = [member.predict(likeness) for member in self._members]
        means, variances = np.array([one[0] for one in found]), np.array([one[1] for one in found])
        mean = self._weights @ means
        variance = self._weights @ (variances + means**2) - mean**2
        return self._middle + self._spread * mean, self._spread * np.sqrt(np.maximum(variance, 1e-12))


def _kinds(facts: Facts) -> list[tuple[tuple[float, float, float], float, float]]:
    knows_costs = facts.costs.shape[1] > 0
    return [
        (mix, reach, slope)
        for mix, reach, slope in product(_MIXES, _REACHES, _SLOPES if facts.beliefs is not None else _SLOPES[:1])
        if (mix[2] and knows_costs) or (not mix[2] and reach == _REACHES[0])
    ]


def upper_half(scores: Array) -> Array:
    """Bring the worse half of some scores to where a normal distribution with the better half would have it.

    How bad the bad ones are would else decide what the surrogate sees: a network that does not learn at all is far
    from all others. The better half stays as it is. As in Song et al. 2024, "The Vizier Gaussian process bandit
    algorithm", output warping.
    """
    middle = np.median(scores)
    spread = float(np.sqrt(np.mean((scores[scores >= middle] - middle) ** 2)))
    if spread == 0:
        return scores
    below = scores < middle
    found = scores.astype(float)
    found[below] = middle + spread * norm.ppf((rankdata(scores)[below] - 0.5) / len(scores))
    return found
