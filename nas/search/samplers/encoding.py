"""Genotypes as numbers: the level of each decision, and kernels over levels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from scipy.spatial.distance import cdist

Array = NDArray[np.float64]
Levels = NDArray[np.int64]

_MAX_ORDERED = 33
"""Values of a range that is taken for options in an order, at most; what has more, or is continuous, is a number."""
_NUMBER_LEVELS = 10_001
"""Levels into which the range of a number is divided, at most."""
_LENGTHSCALE = 2 / 3
"""Of the exponential kernel over ordered levels, as a share of the distance from the first to the last."""
_NUMBER_LENGTHSCALES = (0.12, 0.4)
"""Of the two kernels over a number whose mean is taken, as shares of its range."""
_JOINT_LENGTHSCALE = 0.3
"""Of the kernel over all numbers together, in ranges."""


@dataclass(frozen=True, eq=False)
class DecisionLevels:
    """The levels of one decision, numbered from 0; `inactive` is for a decision that is not active."""

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
        if distribution.log and self._num_values > 1:
            return _NUMBER_LEVELS if self.is_number else _MAX_ORDERED
        return min(_NUMBER_LEVELS, self._num_values)

    @cached_property
    def _num_values(self) -> int:
        """Number of values of a range; that of levels where it is continuous."""
        distribution = self.distribution
        assert isinstance(distribution, IntDistribution | FloatDistribution)
        if distribution.step is None:
            return _NUMBER_LEVELS if distribution.high > distribution.low else 1
        return round((distribution.high - distribution.low) / distribution.step) + 1

    @cached_property
    def is_number(self) -> bool:
        """Whether it is a number from a range of many, and not one of a few options."""
        return not isinstance(self.distribution, CategoricalDistribution) and self._num_values > _MAX_ORDERED

    @cached_property
    def inactive(self) -> int:
        """The level of a decision that is not active: the one behind the others; of a number far from them all."""
        return 5 * self.count if self.is_number else self.count

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
        """The kernel between the levels of options, `(count + 1, count + 1)`.

        1 for the same level and 0 for two categories; for two options in an order half of an exponential kernel. For
        numbers, whose levels are too many for that, see `number_kernel`.
        """
        kernel = np.eye(self.count + 1)
        if self.ordered and self.count > 1:
            positions = self._ranks / (np.ptp(self._ranks) or 1.0)
            exponential = np.exp(-np.abs(positions[:, None] - positions[None]) / _LENGTHSCALE)
            kernel[:-1, :-1] = 0.5 * kernel[:-1, :-1] + 0.5 * exponential
        return kernel

    def number_kernel(self, levels: Levels, others: Levels) -> Array:
        """Return the kernel between levels of a number, `(n,)` and `(m,)`, as `(n, m)`."""
        distances = np.abs(levels[:, None] - others[None])
        return np.asarray(_by_distance(self.count)[np.minimum(distances, self.count)])

    @property
    def _ranks(self) -> Array:
        """Ranks of the levels, `(count,)`: distances do not count, since channels and kernel sizes grow by factors."""
        if isinstance(self.distribution, CategoricalDistribution):
            order = np.argsort(np.argsort(np.asarray(self.distribution.choices, float)))
            return order.astype(float)
        return np.arange(self.count, dtype=float)


def _matern(distances: Array) -> Array:
    """Return Matern's kernel with smoothness 5/2 (Rasmussen & Williams 2006, equation 4.17), by lengthscales apart."""
    scaled = np.sqrt(5) * distances
    return np.asarray((1 + scaled + scaled**2 / 3) * np.exp(-scaled))


@cache
def _by_distance(count: int) -> Array:
    """Return the kernel between two levels of a number by their distance, `(count + 1,)`.

    The last one, 0, is for whatever is further apart than two levels can be: an inactive number and another one.
    """
    places = np.linspace(0, 1, count)
    kernels = [_matern(places / lengthscale) for lengthscale in _NUMBER_LENGTHSCALES]
    return np.append(np.mean(kernels, axis=0), 0.0)


class KernelColumns(NamedTuple):
    """The kernel between the levels of each decision and those of `m` genotypes."""

    options: Array
    """`(levels of all decisions that are no numbers, m)`."""
    squares: Array
    """Those of `options`."""
    numbers: Levels
    """The levels of the numbers themselves, `(m, numbers)`."""
    recipe: KernelColumns | None = None
    """The same of decisions of the recipe, where there are any."""


class Encoding:
    """Genotypes of some decisions as rows of levels, and kernels between such rows.

    Decisions of the recipe, by which a network is trained, have a kernel of their own.
    """

    def __init__(
        self, distributions: Mapping[str, BaseDistribution], recipe: Mapping[str, BaseDistribution] | None = None
    ) -> None:
        """Take the decisions by name, and those among them that are of the recipe."""
        recipe = recipe or {}
        self._recipe = Encoding(recipe) if recipe else None
        self.names = tuple(name for name in distributions if name not in recipe)
        self._decisions = [DecisionLevels(distributions[name]) for name in self.names]
        self._numbers = [index for index, decision in enumerate(self._decisions) if decision.is_number]
        self._options = [index for index, decision in enumerate(self._decisions) if not decision.is_number]
        self._number_counts = np.array([self._decisions[index].count for index in self._numbers])
        self._starts = np.cumsum([0, *(self._decisions[index].count + 1 for index in self._options)])

    @property
    def has_numbers(self) -> bool:
        """Whether some decision is a number from a range of many."""
        return bool(self._numbers) or (self._recipe is not None and self._recipe.has_numbers)

    def levels(self, genotypes: Sequence[Mapping[str, Any]]) -> Levels:
        """Return the levels of genotypes, `(genotypes, decisions)`, those of the recipe last."""
        named = list(zip(self.names, self._decisions, strict=True))
        rows = [
            [decision.level(genotype[name]) if name in genotype else decision.inactive for name, decision in named]
            for genotype in genotypes
        ]
        own = np.array(rows, dtype=np.int64).reshape(len(genotypes), len(named))
        return own if self._recipe is None else np.concatenate([own, self._recipe.levels(genotypes)], axis=1)

    def kernel_columns(self, levels: Levels) -> KernelColumns:
        """Return what `kernels` needs of the genotypes on its right-hand side, `(m, decisions)`."""
        columns = [self._decisions[index].kernel[:, levels[:, index]] for index in self._options]
        options = np.concatenate([np.zeros((0, len(levels))), *columns])
        recipe = self._recipe.kernel_columns(self._of_recipe(levels)) if self._recipe is not None else None
        return KernelColumns(options, options**2, levels[:, self._numbers], recipe)

    def _of_recipe(self, levels: Levels) -> Levels:
        return levels[:, len(self.names) :]

    def recipe_kernel(self, levels: Levels, columns: KernelColumns) -> Array | None:
        """Return the kernel between the recipes of genotypes, from 0 to 1, `(n, m)`; None where none are decided.

        It is the mean of the two kernels of `kernels`: between its single decisions, and between pairs of them.
        """
        if self._recipe is None or columns.recipe is None:
            return None
        single, pairs = self._recipe.kernels(self._of_recipe(levels), columns.recipe)
        return np.asarray((single + pairs) / 2)

    def kernels(self, levels: Levels, columns: KernelColumns) -> tuple[Array, Array]:
        """Return two kernels between networks, from 0 to 1: of single decisions, and of pairs of decisions.

        The first is the mean over all decisions of their kernels a_i; the second the mean over all pairs of decisions
        of the product of their kernels, by the identity `2 sum_{i<j} a_i a_j = (sum a)^2 - sum a^2`. Where there are
        numbers, half of the second is a kernel over all decisions: a valley across them is not one of single numbers.

        Args:
            levels: `(n, decisions)`.
            columns: of `m` genotypes, see `kernel_columns`.

        Returns:
            Two arrays `(n, m)`.
        """
        number = max(1, len(self._decisions))
        if not self._decisions:  # there is one network
            return np.ones((len(levels), len(columns.numbers))), np.ones((len(levels), len(columns.numbers)))
        one_hot = self._one_hot(levels)
        single, squares = one_hot @ columns.options, one_hot @ columns.squares
        joint = self._joint_kernel(single, levels[:, self._numbers], columns.numbers) if self._numbers else None
        for index, others in zip(self._numbers, columns.numbers.T, strict=True):
            kernel = self._decisions[index].number_kernel(levels[:, index], others)
            single, squares = single + kernel, squares + kernel**2
        pairs = (single**2 - squares) / (number * (number - 1)) if number > 1 else single
        return single / number, pairs if joint is None else (pairs + joint) / 2

    def _joint_kernel(self, option_sums: Array, numbers: Levels, others: Levels) -> Array:
        """Return a kernel over all numbers by their distance, times the mean kernel of the options, `(n, m)`.

        Args:
            option_sums: sums of the kernels of the options, `(n, m)`.
            numbers: levels, `(n, numbers)`.
            others: levels, `(m, numbers)`.
        """
        distances = cdist(numbers / self._number_counts, others / self._number_counts)
        kernel = _matern(distances / _JOINT_LENGTHSCALE)
        return kernel * option_sums / len(self._options) if self._options else kernel

    def _one_hot(self, levels: Levels) -> Array:
        one_hot = np.zeros((len(levels), int(self._starts[-1])))
        one_hot[np.arange(len(levels))[:, None], levels[:, self._options] + self._starts[:-1]] = 1.0
        return one_hot
