"""What the results of an earlier search let expect of networks: prior means for the surrogate of the present one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nas.search.samplers.domain import Domain, Params, Proposal
from nas.search.samplers.encoding import Array, Encoding
from nas.search.samplers.surrogate import Features, Surrogate, warp_lower_half

_MIN_RESULTS = 8
"""Networks of the earlier search, without which nothing is expected."""
_MAX_RESULTS = 192
"""Networks that it learns from: the best ones, and some of all others."""


class PriorModel:
    """A surrogate of an earlier search alone, whose predictions are prior means in the present one.

    It is of networks: by which recipe they were trained then, and are to be now, does not count.
    """

    def __init__(self, prior: Sequence[tuple[Params, float]], domain: Domain) -> None:
        """Learn from decisions and their values (larger is better), as far as they make networks of the domain."""
        ranked = sorted(prior, key=lambda result: -result[1])
        results = [(domain.proposal(params), value) for params, value in ranked]
        valid = [result for result in results if result[0].candidate is None or result[0].cost is not None]
        half = _MAX_RESULTS // 2
        if len(valid) > _MAX_RESULTS:
            others = np.linspace(half, len(valid) - 1, _MAX_RESULTS - half).round().astype(int)
            valid = valid[:half] + [valid[index] for index in others]
        self.distributions = dict(domain.distributions())
        """Those of the domain when the model was made."""
        self.proposals = [proposal for proposal, _ in valid]
        """Networks of the earlier search, the best first."""
        self._surrogate: Surrogate | None = None
        if len(valid) < _MIN_RESULTS or not self.distributions:
            return
        recipe = domain.recipe_distributions()
        self._encoding = Encoding({name: one for name, one in self.distributions.items() if name not in recipe})
        costs = np.array([proposal.cost_features for proposal in self.proposals])
        self._cost_mean, self._cost_sd = costs.mean(axis=0), np.maximum(costs.std(axis=0), 0.1)
        features = self._features(self.proposals)
        self._surrogate = Surrogate(self._encoding, features, warp_lower_half(np.array([value for _, value in valid])))
        expected, _ = self._surrogate.predict(features)
        self._mean, self._sd = float(expected.mean()), float(expected.std()) or 1.0

    def _features(self, proposals: Sequence[Proposal]) -> Features:
        costs = (np.array([proposal.cost_features for proposal in proposals]) - self._cost_mean) / self._cost_sd
        return Features(self._encoding.levels([proposal.params for proposal in proposals]), costs)

    def prior_means(self, proposals: Sequence[Proposal]) -> Array | None:
        """Return the expected values of proposals, `(proposals,)`, standardised; None with too few earlier results."""
        if self._surrogate is None:
            return None
        expected, _ = self._surrogate.predict(self._features(proposals))
        return np.asarray((expected - self._mean) / self._sd)
