"""What an earlier search makes one believe of networks that this one has not evaluated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nas.search.samplers.domain import Domain, Draft, Params
from nas.search.samplers.encoding import Array, Encoding
from nas.search.samplers.surrogate import Facts, Surrogate, upper_half

_ENOUGH = 8
"""Networks of the earlier search without which nothing is believed."""
_MOST = 192
"""Networks that it learns from, the best ones and some of all others."""


class Earlier:
    """A surrogate of an earlier search alone, whose expectations are beliefs for that of the present one."""

    def __init__(self, prior: Sequence[tuple[Params, float]], domain: Domain) -> None:
        """Learn from decisions and values (larger is better), as far as they make networks of the domain."""
        drafted = [(domain.draft(params), value) for params, value in sorted(prior, key=lambda one: -one[1])]
        valid = [one for one in drafted if one[0].candidate is None or one[0].cost is not None]
        half = _MOST // 2
        if len(valid) > _MOST:
            others = np.linspace(half, len(valid) - 1, _MOST - half).round().astype(int)
            valid = valid[:half] + [valid[place] for place in others]
        self.distributions = dict(domain.distributions())
        self.drafts = [draft for draft, _ in valid]
        """Networks of the earlier search, the best first."""
        self._surrogate: Surrogate | None = None
        if len(valid) < _ENOUGH or not self.distributions:
            return
        self._encoding = Encoding(self.distributions)
        traits = np.array([draft.traits for draft in self.drafts])
        self._middle, self._scale = traits.mean(axis=0), np.maximum(traits.std(axis=0), 0.1)
        facts = self._facts(self.drafts)
        self._surrogate = Surrogate(self._encoding, facts, upper_half(np.array([value for _, value in valid])))
        expected, _ = self._surrogate.predict(facts)
        self._mean, self._spread = float(expected.mean()), float(expected.std()) or 1.0

    def _facts(self, every: Sequence[Draft]) -> Facts:
        traits = (np.array([draft.traits for draft in every]) - self._middle) / self._scale
        return Facts(self._encoding.rows([draft.params for draft in every]), traits)

    def beliefs(self, every: Sequence[Draft]) -> Array | None:
        """Return what is expected of networks, `(networks,)`, as standard deviations from a mean; None: nothing is."""
        if self._surrogate is None:
            return None
        expected, _ = self._surrogate.predict(self._facts(every))
        return np.asarray((expected - self._mean) / self._spread)
