"""Decisions as levels for a surrogate, and values at a share of a range."""

from __future__ import annotations

import math
import random

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from nas.search.samplers.distributions import nearby_value
from nas.search.samplers.encoding import DecisionLevels


@pytest.mark.parametrize(
    ("distribution", "ordered"),
    [
        (IntDistribution(1, 5), True),
        (FloatDistribution(0.0, 1.0), True),
        (CategoricalDistribution([3, 5, 7]), True),
        (CategoricalDistribution(["relu", "silu"]), False),
        (CategoricalDistribution([True, False]), False),
    ],
)
def test_numbers_have_an_order(distribution: object, ordered: bool) -> None:
    assert DecisionLevels(distribution).ordered is ordered  # type: ignore[arg-type]


def test_mutation_on_a_logarithmic_scale() -> None:
    """Whole numbers stay whole, others do not become so, and steps are as large in the logarithm anywhere."""
    rng = random.Random(0)
    whole = [nearby_value(IntDistribution(1, 1024, log=True), 32, rng) for _ in range(200)]
    assert all(type(value) is int and 1 <= value <= 1024 for value in whole)
    real = [nearby_value(FloatDistribution(1e-4, 1e-1, log=True), 3e-3, rng) for _ in range(200)]
    assert all(type(value) is float and 1e-4 <= value <= 1e-1 for value in real)
    logs = [math.log10(value) for value in real]
    assert len({round(value, 12) for value in real}) > 150
    assert abs(sum(logs) / len(logs) - math.log10(3e-3)) < 0.3
