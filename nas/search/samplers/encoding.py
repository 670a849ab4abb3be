"""Genotypes as numbers: the level of each decision, and how alike its levels are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

Array = NDArray[np.float64]

_MOST_LEVELS = 33
"""Ranges with more values are told apart in so many steps."""
_REACH = 2 / 3
"""Of ordered levels: the share of the whole range over which likeness falls to 1/e."""


@dataclass(frozen=True, eq=False)
class Column:
    """One decision."""

    distribution: BaseDistribution

    @cached_property
    def _levels(self) -> dict[Any, int]:
        """Of values that were met before."""
        if isinstance(self.distribution, CategoricalDistribution):
            return {value: i for i, value in enumerate(self.distribution.choices)}
        return {}

    @cached_property
    def ordered(self) -> bool:
        """Whether its levels are numbers, so that near ones are more alike."""
        if not isinstance(self.distribution, CategoricalDistribution):
            return True
        return all(isinstance(value, int | float) and type(value) is not bool for value in self.distribution.choices)

    @cached_property
    def count(self) -> int:
        """Number of levels."""
        spread = self.distribution
        if isinstance(spread, CategoricalDistribution):
            return len(spread.choices)
        assert isinstance(spread, IntDistribution | FloatDistribution)
        if spread.log or not spread.step:
            return _MOST_LEVELS if spread.high > spread.low else 1
        return min(_MOST_LEVELS, round((spread.high - spread.low) / spread.step) + 1)

    def level(self, value: Any) -> int:
        """Return the level of a value, from 0; the last one, `count`, is that of a decision that is not active."""
        found = self._levels.get(value)
        if found is not None:
            return found
        spread = self.distribution
        if isinstance(spread, CategoricalDistribution):
            return self.count
        assert isinstance(spread, IntDistribution | FloatDistribution)
        low, high, at = (float(x) for x in (spread.low, spread.high, value))
        if not high > low:
            return 0
        at = min(max(at, low), high)  # ranges may change in the course of a study
        if spread.log:
            low, high, at = math.log(low), math.log(high), math.log(at)
        found = round((at - low) / (high - low) * (self.count - 1))
        if isinstance(value, int):
            self._levels[value] = found
        return found

    @cached_property
    def likeness(self) -> Array:
        """`(count + 1, count + 1)`: 1 for the same level, 0 for two names, and in between for two numbers."""
        found = np.eye(self.count + 1)
        if self.ordered and self.count > 1:
            place = self._places / (np.ptp(self._places) or 1.0)
            near = np.exp(-np.abs(place[:, None] - place[None]) / _REACH)
            found[:-1, :-1] = 0.5 * found[:-1, :-1] + 0.5 * near
        return found

    @property
    def _places(self) -> Array:
        """Where its levels lie: in order, whatever the distances, since channels and kernels grow by factors."""
        if isinstance(self.distribution, CategoricalDistribution):
            order = np.argsort(np.argsort(np.asarray(self.distribution.choices, float)))
            return order.astype(float)
        return np.arange(self.count, dtype=float)


class Encoding:
    """Genotypes of some decisions as rows of levels, and the likeness of rows."""

    def __init__(self, distributions: Mapping[str, BaseDistribution]) -> None:
        self.names = tuple(distributions)
        self._columns = [Column(one) for one in distributions.values()]
        self._starts = np.cumsum([0, *(column.count + 1 for column in self._columns)])

    def rows(self, every: Sequence[Mapping[str, Any]]) -> NDArray[np.int64]:
        """Return the levels of some genotypes, `(len(every), decisions)`."""
        pairs = list(zip(self.names, self._columns, strict=True))
        found = np.array(
            [[c.level(one[n]) if n in one else c.count for n, c in pairs] for one in every], dtype=np.int64
        )
        return found.reshape(len(every), len(pairs))

    def projected(self, rows: NDArray[np.int64]) -> tuple[Array, Array]:
        """Return how alike each level is to those of some rows, and the squares of that: `(all levels, rows)` each."""
        if not self._columns:
            return np.zeros((0, len(rows))), np.zeros((0, len(rows)))
        found = np.concatenate([one.likeness[:, rows[:, place]] for place, one in enumerate(self._columns)])
        return found, found**2

    def likeness(self, rows: NDArray[np.int64], others: tuple[Array, Array]) -> tuple[Array, Array]:
        """Return how alike rows are to others, from 0 to 1: in single decisions, and in pairs of decisions.

        The second is the mean over all pairs of decisions of the product of their likenesses, by the identity
        `2 sum_{i<j} a_i a_j = (sum a)^2 - sum a^2`.

        Args:
            rows: `(n, decisions)`.
            others: `m` rows, `projected`.

        Returns:
            Two arrays `(n, m)`.
        """
        number = max(1, len(self._columns))
        levels = self._one_hot(rows)
        single, squares = levels @ others[0], levels @ others[1]
        pairs = (single**2 - squares) / (number * (number - 1)) if number > 1 else single
        return single / number, pairs

    def _one_hot(self, rows: NDArray[np.int64]) -> Array:
        found = np.zeros((len(rows), int(self._starts[-1])))
        found[np.arange(len(rows))[:, None], rows + self._starts[:-1]] = 1.0
        return found
