"""Genotypes as numbers: the level of each decision, and kernels over levels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

Array = NDArray[np.float64]
Levels = NDArray[np.int64]

_MAX_LEVELS = 33
"""Levels of a range at most: one with more values, or a continuous one, is divided into so many steps."""
_LENGTHSCALE = 2 / 3
"""Of the exponential kernel over ordered levels, as a share of the distance from the first to the last."""


@dataclass(frozen=True, eq=False)
class DecisionLevels:
    """The levels of one decision, numbered from 0; the last number, `count`, is for a decision that is not active."""

    distribution: BaseDistribution

    @cached_property
    def _cache(self) -> dict[Any, int]:
        """Levels by value; of a range those of whole numbers that came up before."""
        if isinstance(self.distribution, CategoricalDistribution):
            return {value: level for level, value in enumerate(self.distribution.choices)}
        return {}

    @cached_property
    def ordered(self) -> bool:
        """Whether its options are numbers, of which near ones are similar."""
        if not isinstance(self.distribution, CategoricalDistribution):
            return True
        return all(isinstance(value, int | float) and type(value) is not bool for value in self.distribution.choices)

    @cached_property
    def count(self) -> int:
        """Number of levels, without that of an inactive decision."""
        distribution = self.distribution
        if isinstance(distribution, CategoricalDistribution):
            return len(distribution.choices)
        assert isinstance(distribution, IntDistribution | FloatDistribution)
        if distribution.log or not distribution.step:
            return _MAX_LEVELS if distribution.high > distribution.low else 1
        return min(_MAX_LEVELS, round((distribution.high - distribution.low) / distribution.step) + 1)

    def level(self, value: Any) -> int:
        """Return the level of a value; `count` for a category that the distribution does not have."""
        cached = self._cache.get(value)
        if cached is not None:
            return cached
        distribution = self.distribution
        if isinstance(distribution, CategoricalDistribution):
            return self.count
        assert isinstance(distribution, IntDistribution | FloatDistribution)
        low, high, position = (float(x) for x in (distribution.low, distribution.high, value))
        if not high > low:
            return 0
        position = min(max(position, low), high)  # ranges may change in the course of a study
        if distribution.log:
            low, high, position = math.log(low), math.log(high), math.log(position)
        level = round((position - low) / (high - low) * (self.count - 1))
        if isinstance(value, int):
            self._cache[value] = level
        return level

    @cached_property
    def kernel(self) -> Array:
        """The kernel between levels, `(count + 1, count + 1)`.

        1 for the same level and 0 for two categories; for two numbers half of an exponential kernel.
        """
        kernel = np.eye(self.count + 1)
        if self.ordered and self.count > 1:
            positions = self._ranks / (np.ptp(self._ranks) or 1.0)
            exponential = np.exp(-np.abs(positions[:, None] - positions[None]) / _LENGTHSCALE)
            kernel[:-1, :-1] = 0.5 * kernel[:-1, :-1] + 0.5 * exponential
        return kernel

    @property
    def _ranks(self) -> Array:
        """Ranks of the levels, `(count,)`: distances do not count, since channels and kernel sizes grow by factors."""
        if isinstance(self.distribution, CategoricalDistribution):
            order = np.argsort(np.argsort(np.asarray(self.distribution.choices, float)))
            return order.astype(float)
        return np.arange(self.count, dtype=float)


class KernelColumns(NamedTuple):
    """The kernel between every level of every decision and the levels of `m` genotypes, `(all levels, m)` each."""

    values: Array
    squares: Array


class Encoding:
    """Genotypes of some decisions as rows of levels, and kernels between such rows."""

    def __init__(self, distributions: Mapping[str, BaseDistribution]) -> None:
        """Take the decisions by name."""
        self.names = tuple(distributions)
        self._decisions = [DecisionLevels(distribution) for distribution in distributions.values()]
        self._starts = np.cumsum([0, *(decision.count + 1 for decision in self._decisions)])

    def levels(self, genotypes: Sequence[Mapping[str, Any]]) -> Levels:
        """Return the levels of genotypes, `(genotypes, decisions)`."""
        named = list(zip(self.names, self._decisions, strict=True))
        rows = [
            [decision.level(genotype[name]) if name in genotype else decision.count for name, decision in named]
            for genotype in genotypes
        ]
        return np.array(rows, dtype=np.int64).reshape(len(genotypes), len(named))

    def kernel_columns(self, levels: Levels) -> KernelColumns:
        """Return what `kernels` needs of the genotypes on its right-hand side, `(m, decisions)`."""
        if not self._decisions:
            return KernelColumns(np.zeros((0, len(levels))), np.zeros((0, len(levels))))
        values = np.concatenate(
            [decision.kernel[:, levels[:, index]] for index, decision in enumerate(self._decisions)]
        )
        return KernelColumns(values, values**2)

    def kernels(self, levels: Levels, columns: KernelColumns) -> tuple[Array, Array]:
        """Return two kernels between genotypes, from 0 to 1: of single decisions, and of pairs of decisions.

        The first is the mean over all decisions of their kernels a_i; the second the mean over all pairs of decisions
        of the product of their kernels, by the identity `2 sum_{i<j} a_i a_j = (sum a)^2 - sum a^2`.

        Args:
            levels: `(n, decisions)`.
            columns: of `m` genotypes, see `kernel_columns`.

        Returns:
            Two arrays `(n, m)`.
        """
        number = max(1, len(self._decisions))
        one_hot = self._one_hot(levels)
        single, squares = one_hot @ columns.values, one_hot @ columns.squares
        pairs = (single**2 - squares) / (number * (number - 1)) if number > 1 else single
        return single / number, pairs

    def _one_hot(self, levels: Levels) -> Array:
        one_hot = np.zeros((len(levels), int(self._starts[-1])))
        one_hot[np.arange(len(levels))[:, None], levels + self._starts[:-1]] = 1.0
        return one_hot
