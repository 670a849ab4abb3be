"""What trials have tried."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

from nas.cost import Cost
from nas.search.samplers.domain import Proposal

Kept = TypeVar("Kept")


class Tried(Generic[Kept]):
    """The decisions of trials, and what else their domain compares proposals with, by the costs of the networks.

    Two genotypes of one network cost the same, so only proposals of equal costs need be compared.
    """

    def __init__(self) -> None:
        """Begin with no trial."""
        self._keys: set[Hashable] = set()
        self._by_cost: dict[Cost | None, list[Kept]] = {}

    def add(self, proposal: Proposal, kept: Kept) -> None:
        """Take note of what a trial tries; of decisions that were tried before nothing is kept."""
        if proposal.key not in self._keys:
            self._keys.add(proposal.key)
            self._by_cost.setdefault(proposal.cost, []).append(kept)

    def __len__(self) -> int:
        """Return how many decisions trials have tried, each once."""
        return len(self._keys)

    def has(self, key: Hashable) -> bool:
        """Whether a trial has made the decisions of a proposal with this key."""
        return key in self._keys

    def of_equal_cost(self, proposal: Proposal) -> Sequence[Kept]:
        """Return what was kept of proposals whose networks cost the same."""
        return self._by_cost.get(proposal.cost, ())
